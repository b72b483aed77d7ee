"""Estimators with scikit-learn's interface: methods that take rows, each an output of its own name."""

import warnings

import numpy as np

from . import InvalidInput
from .described import INPUT, Described, spec
from .rows import to_rows
from .tensors import as_array, datatype_of

# what may be asked for, the first one there being the answer to who asks for none
METHODS = ("predict", "transform", "predict_proba", "decision_function")


class Estimator(Described):
    """`names` and `width` are the columns that it was trained with, where it knows."""

    def __init__(self, estimator, names=None, width=None, notes=()):
        self._estimator = estimator
        self._names = names
        self._width = width
        self._methods = [method for method in METHODS if callable(getattr(estimator, method, None))]
        if not self._methods:
            raise TypeError(f"{type(estimator).__name__} has neither predict nor transform")
        inputs, outputs = self._describe()
        super().__init__(inputs=inputs, outputs=outputs, open=True, batchable=True, notes=list(notes))

    def predict(self, inputs, wanted):
        methods = wanted or self._methods[:1]
        for name in methods:
            if name not in self._methods:
                have = ", ".join(f'"{method}"' for method in self._methods)
                raise InvalidInput(f'{type(self._estimator).__name__} has no output "{name}"; it gives {have}')
        rows = to_rows(inputs, self._names, self._width)
        return {name: getattr(self._estimator, name)(rows) for name in methods}

    def _describe(self):
        """Inputs and outputs, seen from what two rows of zeros give; nothing for models that take no numbers."""
        if self._width is None:
            return [], []
        zeros = {INPUT: np.zeros((2, self._width))}
        outputs = []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for name, value in self.predict(zeros, self._methods).items():
                    array = as_array(name, value)
                    outputs.append(spec(name, datatype_of(array.dtype), [-1, *array.shape[1:]]))
        except Exception:
            return [], []
        return [spec(INPUT, "FP64", [-1, self._width])], outputs


def use_threads(estimator, threads):
    """Tells the estimator, and those inside it, how many threads to use, whatever it was trained with."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    jobs = {name: threads for name in parameters if name == "n_jobs" or name.endswith("__n_jobs")}
    if jobs:
        estimator.set_params(**jobs)
