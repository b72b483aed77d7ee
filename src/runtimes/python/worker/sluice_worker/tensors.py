"""Tensors of the Open Inference Protocol as numpy arrays, and what models answer as tensors."""

import base64
import datetime
import json
import struct

import numpy as np

from . import InvalidInput

try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = None

# BF16 is the raw 16 bits where no library knows the type
DTYPES = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2") if bfloat16 is None else np.dtype(bfloat16),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
DATATYPES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}
if bfloat16 is not None:
    DATATYPES[DTYPES["BF16"]] = "BF16"

LENGTH = struct.Struct("<I")


def datatype_of(dtype):
    """The datatype that carries a numpy type; None when there is none."""
    if dtype.kind in "OSUT":
        return "BYTES"
    if dtype.kind in "mM":
        return "BYTES"
    if dtype.kind == "f" and dtype.itemsize > 8:
        return "FP64"
    return DATATYPES.get(dtype.newbyteorder("<") if dtype.byteorder == ">" else dtype)


def decode(specs, body, widen):
    """The arrays by name, writable views into the body; BYTES are arrays of `bytes` objects. `widen`: BF16 as float32."""
    arrays = {}
    at = 0
    for spec in specs:
        size = spec["bytes"]
        shape = spec["shape"]
        if spec["datatype"] == "BYTES":
            array = _decode_bytes(memoryview(body)[at : at + size]).reshape(shape)
        else:
            dtype = DTYPES[spec["datatype"]]
            array = np.frombuffer(body, dtype, size // dtype.itemsize, at).reshape(shape)
            if widen and spec["datatype"] == "BF16":
                array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        arrays[spec["name"]] = array
        at += size + -size % 8
    return arrays


def encode(name, value, datatype=None):
    """What a model answered as (spec, bytes). `datatype` is what its signature promises, if anything."""
    array = as_array(name, value)
    if datatype is not None:
        array = _as_promised(name, array, datatype)
    actual = datatype or datatype_of(array.dtype)
    if actual is None:
        raise TypeError(f'output "{name}" is {array.dtype}, which the protocol cannot carry')
    if actual == "BYTES":
        part = _encode_bytes(name, array)
    else:
        flat = np.ascontiguousarray(array, DTYPES[actual])
        part = memoryview(flat.reshape(-1).view(np.uint8))
    return {"name": name, "datatype": actual, "shape": list(array.shape), "bytes": len(part)}, part


def as_array(name, value):
    """Arrays, scalars, lists, pandas columns, sparse matrices and tensors of other libraries as numpy arrays."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "toarray"):
        value = value.toarray()
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f'output "{name}" is no array: {error}') from error
    if array.dtype.kind == "O" and array.size:
        # a column of numbers that was kept as objects
        plain = np.array(array.reshape(-1).tolist()) if _all_numbers(array) else None
        if plain is not None and plain.dtype.kind in "biuf" and plain.shape == (array.size,):
            return plain.reshape(array.shape)
    return array


def text_array(name, array):
    """An array of `bytes` as one of `str`; refuses what is not UTF-8."""
    texts = np.empty(array.size, dtype=object)
    for at, element in enumerate(array.reshape(-1)):
        try:
            texts[at] = element.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput(f'input "{name}": element {at} is not UTF-8') from None
    return texts.reshape(array.shape)


def cast(name, array, dtype):
    """A client's numbers as the type that the model takes, where that loses no more than a float's last digits."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "biuf" or dtype.kind not in "biuf":
        raise InvalidInput(f'input "{name}" is {datatype_of(array.dtype)}, the model takes {datatype_of(dtype)}')
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
        kept = array.dtype.kind == "f" and dtype.kind == "f" or np.array_equal(converted, array)
    if not kept:
        raise InvalidInput(f'input "{name}" has values that {datatype_of(dtype)}, which the model takes, cannot hold')
    return converted


def _all_numbers(array):
    return all(isinstance(element, (bool, int, float, np.number, np.bool_)) for element in array.reshape(-1))


def _as_promised(name, array, datatype):
    if datatype == "BYTES":
        if datatype_of(array.dtype) == "BYTES":
            return array
    elif datatype == "BF16":
        if array.dtype == DTYPES["BF16"]:
            return array
        if array.dtype.kind == "f":
            return array.astype(bfloat16) if bfloat16 is not None else _bfloat16_bits(array)
        if array.dtype == np.uint16:
            return array.view(DTYPES["BF16"])
    elif np.can_cast(array.dtype, DTYPES[datatype], "same_kind"):
        return array.astype(DTYPES[datatype], copy=False)
    raise TypeError(f'output "{name}" is {array.dtype}, its signature says {datatype}')


def _bfloat16_bits(array):
    """The upper half of each single-precision number, rounded to nearest even."""
    single = np.ascontiguousarray(array, np.float32)
    bits = single.view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(single), np.uint16(0x7FC0), rounded)


def _decode_bytes(view):
    elements = []
    at = 0
    while at < len(view):
        (length,) = LENGTH.unpack_from(view, at)
        at += 4
        elements.append(bytes(view[at : at + length]))
        at += length
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array


def _encode_bytes(name, array):
    if array.dtype.kind in "mM":
        array = _times(array)
    parts = []
    for at, element in enumerate(array.reshape(-1).tolist()):
        encoded = _element(name, at, element)
        parts.append(LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)


def _times(array):
    """Times of numpy as Python's own, or as text where those are not fine enough."""
    if array.dtype.kind == "m":
        return array.astype(str)
    micros = array.astype("datetime64[us]")
    same = np.array_equal(micros, array) or np.isnat(array).any()
    return micros.astype(object) if same else np.datetime_as_string(array)


def _element(name, at, element):
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        return element.encode("utf-8")
    if _is_missing(element):
        raise TypeError(f'output "{name}": element {at} is missing ({element}), which BYTES cannot carry')
    if isinstance(element, (datetime.date, datetime.datetime)):
        return element.isoformat().encode()
    if isinstance(element, (dict, list, tuple, np.ndarray)):
        return json.dumps(element, default=_plain).encode("utf-8")
    return str(element).encode("utf-8")


def _is_missing(element):
    """None, NaN, and pandas' own two, which need pandas to be named."""
    if isinstance(element, float):
        return element != element
    return element is None or type(element).__name__ in ("NAType", "NaTType")


def _plain(value):
    """What JSON does not know: numpy's numbers and arrays, bytes as base64, anything else as its text."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
