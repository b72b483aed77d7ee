"""An MLflow model of any flavour, through mlflow.pyfunc, by its signature.

Names follow MLServer: a tensor or column without one is `input-0`, `input-1`, … and `output-0`, …
"""

import json
import os

import numpy as np

from . import InvalidInput
from .described import Described, spec
from .estimator import use_threads
from .rows import check_lengths, to_column
from .tensors import cast, datatype_of, text_array

# MLflow reports its use to its makers unless told not to
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
import mlflow  # noqa: E402
import pandas  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.types import DataType  # noqa: E402

NUMBERS = {
    DataType.boolean: "?",
    DataType.integer: "i4",
    DataType.long: "i8",
    DataType.float: "f4",
    DataType.double: "f8",
}
BAD_REQUEST = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def load(file, threads):
    model = mlflow.pyfunc.load_model(os.path.dirname(file))
    try:
        use_threads(model.get_raw_model(), threads)
    except (AttributeError, NotImplementedError, TypeError, MlflowException):
        # not every flavour has a model of another library inside
        pass
    return MlflowModel(model)


class MlflowModel(Described):
    def __init__(self, model):
        self._model = model
        signature = model.metadata.signature
        schema = signature.inputs if signature else None
        self._results = signature.outputs if signature else None
        self._read, open_ = _reader(schema)
        inputs = _specs(schema, "input-")
        outputs = _specs(self._results, "output-")
        flavor = model.metadata.flavors.get("python_function", {})
        super().__init__(
            inputs=inputs,
            outputs=outputs,
            open=open_,
            # a library's own predict takes rows; what a custom one does is its author's
            batchable=flavor.get("loader_module") != "mlflow.pyfunc.model"
            and bool(inputs)
            and all(each["shape"][:1] == [-1] for each in inputs),
            notes=[f"MLflow {mlflow.__version__}, {flavor.get('loader_module')}"],
        )

    def predict(self, inputs, wanted):
        data = self._read(inputs)
        try:
            result = self._model.predict(data)
        except MlflowException as error:
            if error.error_code in BAD_REQUEST:
                raise InvalidInput(error.message) from error
            raise
        return self._named(result)

    def _named(self, result):
        """The answer's arrays by name: its own names, else the signature's, else `output-0`."""
        if isinstance(result, list) and result and all(isinstance(each, dict) for each in result):
            result = pandas.DataFrame(result)
        if isinstance(result, pandas.DataFrame):
            return {str(name): result[name] for name in result.columns}
        if isinstance(result, dict):
            return {str(name): value for name, value in result.items()}
        names = [each["name"] for each in self.outputs] or ["output-0"]
        if isinstance(result, pandas.Series):
            own = result.name if result.name is not None and not self.outputs else names[0]
            return {str(own): result}
        if len(names) > 1 and getattr(result, "ndim", 0) == 2 and result.shape[1] == len(names):
            return {name: result[:, at] for at, name in enumerate(names)}
        return {names[0]: result}


def _specs(schema, prefix):
    specs = []
    for at, each in enumerate(schema.inputs if schema else []):
        name = each.name or f"{prefix}{at}"
        if schema.is_tensor_spec():
            specs.append(spec(name, datatype_of(np.dtype(each.type)), map(int, each.shape)))
        else:
            dtype = NUMBERS.get(each.type) if isinstance(each.type, DataType) else None
            specs.append(spec(name, datatype_of(np.dtype(dtype)) if dtype else "BYTES", [-1]))
    return specs


def _reader(schema):
    """What turns inputs into what the model's predict takes, and whether it takes other inputs than the schema's."""
    if schema is None or not schema.inputs:
        return _read_any, True
    if not schema.is_tensor_spec():
        return lambda inputs: _read_columns(schema, inputs), True
    if not schema.has_input_names():
        return lambda inputs: _read_tensor(schema.inputs[0], inputs), True
    types = {each.name: np.dtype(each.type) for each in schema.inputs}
    return lambda inputs: {name: _as_type(name, inputs[name], dtype) for name, dtype in types.items()}, False


def _read_any(inputs):
    """Without a signature: one tensor as it is, several as the columns of a table or, of more dimensions, by name."""
    arrays = {name: text_array(name, array) if array.dtype == object else array for name, array in inputs.items()}
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if all(array.ndim == 1 or array.ndim == 2 and array.shape[1] == 1 for array in arrays.values()):
        columns = {name: to_column(name, array) for name, array in arrays.items()}
        check_lengths(columns)
        return pandas.DataFrame(columns)
    return arrays


def _read_tensor(tensor, inputs):
    """The one tensor of a schema without names: whatever a client calls it."""
    if len(inputs) != 1:
        raise InvalidInput(f"there are {len(inputs)} inputs, the model takes one tensor")
    ((name, array),) = inputs.items()
    shape = [int(size) for size in tensor.shape]
    if len(shape) != array.ndim or any(size not in (-1, own) for size, own in zip(shape, array.shape)):
        raise InvalidInput(f'input "{name}" has shape {list(array.shape)}, the model takes {shape}')
    return _as_type(name, array, np.dtype(tensor.type))


def _as_type(name, array, dtype):
    if dtype.kind in "US":
        return text_array(name, array) if array.dtype == object else cast(name, array, dtype)
    if dtype.kind == "O":
        return text_array(name, array) if array.dtype == object else array
    return cast(name, array, dtype)


def _read_columns(schema, inputs):
    """A table: one tensor a column, or one two-dimensional tensor of numbers with all of them."""
    specs = {each.name or f"input-{at}": each for at, each in enumerate(schema.inputs)}
    table = _single_table(specs, inputs)
    if table is None:
        for name in inputs:
            if name not in specs:
                raise InvalidInput(f'the model has no input "{name}"; it takes {_list(specs)}')
        for name, each in specs.items():
            if name not in inputs and getattr(each, "required", True):
                raise InvalidInput(f'input "{name}" is missing; the model takes {_list(specs)}')
        table = {name: to_column(name, inputs[name]) for name in specs if name in inputs}
        check_lengths(table)
    columns = {name: _as_column(name, column, specs[name].type) for name, column in table.items()}
    if schema.has_input_names():
        return pandas.DataFrame(columns)
    values = list(columns.values())
    # what type hints made of a list of objects is that list again
    if len(values) == 1 and not isinstance(schema.inputs[0].type, DataType):
        return values[0].tolist()
    return pandas.DataFrame(dict(enumerate(values)))


def _single_table(specs, inputs):
    if len(inputs) != 1:
        return None
    ((name, array),) = inputs.items()
    if array.ndim != 2 or array.dtype == object or name in specs and array.shape[1] == 1:
        return None
    if array.shape[1] != len(specs):
        raise InvalidInput(f'input "{name}" has shape {list(array.shape)}, the model takes {len(specs)} columns')
    return {column: array[:, at] for at, column in enumerate(specs)}


def _as_column(name, array, kind):
    dtype = NUMBERS.get(kind) if isinstance(kind, DataType) else None
    if dtype is not None:
        return cast(name, array, np.dtype(dtype))
    if array.dtype != object:
        raise InvalidInput(f'input "{name}" is {datatype_of(array.dtype)}, the model takes BYTES')
    if kind == DataType.binary:
        return array
    texts = text_array(name, array)
    if kind == DataType.string:
        return texts
    try:
        if kind == DataType.datetime:
            return pandas.to_datetime(texts)
        # arrays, objects and maps travel as JSON
        values = np.empty(len(texts), dtype=object)
        values[:] = [json.loads(text) for text in texts]
        return values
    except ValueError as error:
        raise InvalidInput(f'input "{name}" holds what is no {kind}: {error}') from error


def _list(names):
    return ", ".join(f'"{name}"' for name in names)
