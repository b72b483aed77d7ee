"""Rows for estimators that take one table: from one two-dimensional tensor, or from one tensor a column."""

import numpy as np

from . import InvalidInput
from .tensors import text_array

try:
    import pandas
except ImportError:
    pandas = None


def to_rows(inputs, names=None, width=None):
    """The table; `names` and `width` are what the model was trained with, where it knows."""
    arrays = {name: text_array(name, array) if array.dtype == object else array for name, array in inputs.items()}
    if not arrays:
        raise InvalidInput("there are no inputs")
    (first, array), *more = arrays.items()
    if more or (array.ndim < 2 and not _is_text(array, names)) or (names and first in names and array.ndim < 3):
        return _from_columns({name: to_column(name, each) for name, each in arrays.items()}, names, width)
    if _is_text(array, names):
        return array
    if array.ndim != 2:
        raise InvalidInput(f'input "{first}" has shape {list(array.shape)}, the model takes rows: [-1, {width or -1}]')
    if width is not None and array.shape[1] != width:
        raise InvalidInput(f'input "{first}" has shape {list(array.shape)}, the model takes [-1, {width}]')
    return _table(array, names)


def to_column(name, array):
    """A tensor of shape [n] or [n, 1] as [n]."""
    if array.ndim == 1:
        return array
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    raise InvalidInput(f'input "{name}" has shape {list(array.shape)}, a column has [-1] or [-1, 1]')


def check_lengths(columns):
    """Refuses columns of different lengths."""
    (first, column), *more = columns.items()
    for name, other in more:
        if len(other) != len(column):
            raise InvalidInput(f'inputs "{first}" and "{name}" differ in length: {len(column)} and {len(other)}')


def check_names(given, names):
    """Refuses a column too many or too few, by name."""
    for name in given:
        if name not in names:
            raise InvalidInput(f'the model has no input "{name}"; it takes {_list(names)}')
    for name in names:
        if name not in given:
            raise InvalidInput(f'input "{name}" is missing; the model takes {_list(names)}')


def _from_columns(columns, names, width):
    check_lengths(columns)
    if names is not None:
        check_names(columns, names)
        columns = {name: columns[name] for name in names}
    elif width is not None and len(columns) != width:
        raise InvalidInput(f"there are {len(columns)} columns, the model takes {width}")
    if pandas is not None and (names is not None or any(column.dtype == object for column in columns.values())):
        return pandas.DataFrame(columns)
    return np.column_stack(list(columns.values()))


def _table(array, names):
    if names is None or pandas is None:
        return array
    # a view: the frame shares the array's memory
    return pandas.DataFrame(array, columns=names, copy=False)


def _is_text(array, names):
    """One list of texts, which is what pipelines of text take."""
    return array.dtype == object and array.ndim == 1 and names is None


def _list(names):
    return ", ".join(f'"{name}"' for name in names)
