"""A model that is a Python class: `class Model` in model.py, with `predict` and, if it likes, `load` and more."""

import importlib.util
import inspect
import os
import sys

from . import Unsupported
from .described import OUTPUT, Described
from .tensors import DTYPES


def load(file, threads):
    made = importlib.util.spec_from_file_location("model", file)
    module = importlib.util.module_from_spec(made)
    # under its name before it runs, as for any import: pickles and its own modules may ask for it
    sys.modules["model"] = module
    made.loader.exec_module(module)
    if not hasattr(module, "Model"):
        raise AttributeError("model.py defines no class Model")
    return ClassModel(module.Model(), os.path.dirname(file))


class ClassModel(Described):
    def __init__(self, model, path):
        self._model = model
        self._loop = None
        if not callable(getattr(model, "predict", None)):
            raise AttributeError("class Model in model.py has no method predict(self, inputs)")
        if hasattr(model, "load"):
            self._finish(model.load(path))
        signature = getattr(model, "signature", None)
        if callable(signature):
            signature = signature()
        inputs, outputs = ([], []) if signature is None else (_specs(signature, "inputs"), _specs(signature, "outputs"))
        super().__init__(
            inputs=inputs,
            outputs=outputs,
            open=signature is None,
            batchable=_batchable(model, inputs + outputs),
            device=str(getattr(model, "device", "cpu")),
            widen=False,
            promised={each["name"]: each["datatype"] for each in outputs},
        )

    def predict(self, inputs, wanted):
        return self._named(self._finish(self._model.predict(inputs)))

    def explain(self, inputs, wanted):
        if not callable(getattr(self._model, "explain", None)):
            raise Unsupported("this model explains nothing: class Model has no method explain(self, inputs)")
        return self._named(self._finish(self._model.explain(inputs)), OUTPUT)

    def _finish(self, result):
        """Waits for what an async method answers, always in the same event loop: clients it made belong to that one."""
        if not inspect.isawaitable(result):
            return result
        # not a small import, and most models have no use for it
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(result)

    def _named(self, result, name=None):
        if isinstance(result, dict):
            return result
        if name is None and len(self.outputs) > 1:
            raise TypeError(f"predict answered {type(result).__name__}, expected a dict with the {len(self.outputs)} outputs")
        return {name or (self.outputs[0]["name"] if self.outputs else OUTPUT): result}


def _specs(signature, role):
    """The tensors of one role, checked: a wrong declaration is better found at load."""
    if not isinstance(signature, dict) or not isinstance(signature.get(role), (list, tuple)):
        raise TypeError(f'signature has no list "{role}"; it is {{"inputs": […], "outputs": […]}}')
    specs = []
    for given in signature[role]:
        name, datatype, shape = (given.get(key) for key in ("name", "datatype", "shape"))
        if not isinstance(name, str) or not name:
            raise TypeError(f"signature: one of the {role} has no name")
        if datatype not in DTYPES:
            raise ValueError(f'signature: datatype of "{name}" is {datatype!r}, expected one of {", ".join(DTYPES)}')
        if not isinstance(shape, (list, tuple)) or any(type(size) is not int or size < -1 for size in shape):
            raise ValueError(f'signature: shape of "{name}" is {shape!r}, expected a list of sizes, -1 for a variable one')
        if any(other["name"] == name for other in specs):
            raise ValueError(f'signature: "{name}" is twice among the {role}')
        specs.append({"name": name, "datatype": datatype, "shape": list(shape)})
    return specs


def _batchable(model, specs):
    batchable = getattr(model, "batchable", False) is True
    for each in specs if batchable else []:
        if not each["shape"] or each["shape"][0] != -1:
            raise ValueError(f'the model says batchable, but the shape of "{each["name"]}" does not begin with -1')
    return batchable
