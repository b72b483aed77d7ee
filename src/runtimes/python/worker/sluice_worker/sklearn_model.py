"""A scikit-learn estimator or pipeline, kept by joblib or pickle."""

from .estimator import Estimator, use_threads


def load(file, threads):
    estimator = _read(file)
    use_threads(estimator, threads)
    names = getattr(estimator, "feature_names_in_", None)
    return Estimator(
        estimator,
        names=None if names is None else [str(name) for name in names],
        width=getattr(estimator, "n_features_in_", None),
        notes=[f"{type(estimator).__module__}.{type(estimator).__qualname__}, {_version()}"],
    )


def _read(file):
    try:
        import joblib
    except ImportError:
        import pickle

        with open(file, "rb") as opened:
            return pickle.load(opened)
    return joblib.load(file)


def _version():
    try:
        import sklearn
    except ImportError:
        return "no scikit-learn"
    return f"scikit-learn {sklearn.__version__}"
