"""An XGBoost model, kept by `save_model` of its Booster or of its scikit-learn interface.

What its scikit-learn interface kept is that estimator again: a classifier's `predict` gives labels, `predict_proba`
probabilities. A plain Booster is a regressor: `predict` gives what its objective gives.
"""

import xgboost

from .estimator import Estimator

ESTIMATORS = (xgboost.XGBRegressor, xgboost.XGBClassifier, xgboost.XGBRanker)


def load(file, threads):
    estimator = _read(file)
    estimator.set_params(n_jobs=threads)
    booster = estimator.get_booster()
    return Estimator(
        estimator,
        names=booster.feature_names,
        width=booster.num_features(),
        notes=[f"{type(estimator).__name__}, XGBoost {xgboost.__version__}"],
    )


def _read(file):
    problem = None
    for kind in ESTIMATORS:
        estimator = kind()
        try:
            estimator.load_model(file)
            return estimator
        except TypeError as error:
            # it says that the file holds another kind of estimator
            problem = error
    raise problem
