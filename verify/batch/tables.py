"""Tables as numpy and pyarrow write and read them.

    python tables.py make FOLDER    writes NAME.npy, NAME.parquet and NAME.bin, the elements' bytes, for every datatype
    python tables.py check FOLDER   reads NAME.npy and NAME.parquet that somebody else wrote, and compares with NAME.bin
"""
import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}
ROWS, WIDTH = 1000, 3
mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def values(kind):
    rng = np.random.default_rng(len(kind))
    dtype = np.dtype(kind)
    if kind == "?":
        return rng.integers(0, 2, (ROWS, WIDTH)).astype(bool)
    array = rng.integers(0, 256, ROWS * WIDTH * dtype.itemsize, dtype=np.uint8).view(dtype).reshape(ROWS, WIDTH).copy()
    # NaN has many bits, and a table keeps one of them
    return np.where(np.isnan(array), np.array(np.nan, dtype), array) if dtype.kind == "f" else array


def as_list(array):
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), WIDTH).cast(pa.list_(pa.array(array[0]).type))


if mode == "make":
    for name, kind in TYPES.items():
        array = values(kind)
        np.save(folder / f"{name}.npy", array)
        (folder / f"{name}.bin").write_bytes(array.tobytes())
        table = pa.table({"x": as_list(array), "first": pa.array(array[:, 0])})
        codec = ["snappy", "zstd", "gzip", "none", "brotli", "lz4"][len(name) % 6]
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=300, compression=codec)
else:
    compared, problems = 0, []
    for name, kind in TYPES.items():
        wanted = np.frombuffer((folder / f"{name}.bin").read_bytes(), np.dtype(kind)).reshape(-1, WIDTH)
        npy = np.load(folder / f"{name}.npy")
        table = pq.read_table(folder / f"{name}.parquet")
        # 16-bit floats are widened
        lists = np.array(table["x"].to_pylist(), dtype=np.dtype("<f4") if kind == "<f2" else np.dtype(kind))
        if npy.dtype != np.dtype(kind) or npy.tobytes() != wanted.tobytes():
            problems.append(f"{name}.npy")
        if not np.array_equal(lists.astype(np.dtype(kind)), wanted, equal_nan=kind.startswith("<f")):
            problems.append(f"{name}.parquet")
        if table.num_rows != len(wanted) or list(table["s"].to_pylist()) != [f"ü{row},\n" for row in range(len(wanted))]:
            problems.append(f"{name}.parquet: text")
        compared += 2 * wanted.size
    print(json.dumps({"compared": compared, "problems": problems}))
