"""Writes holdout-<dataset>.json beside this file: the rows that train.py never sees, as a request with its answers."""

import json
from pathlib import Path

from split import DATASETS, REGRESSION, split


def shortest(value):
    """The shortest decimal that reads back as the same float32."""
    return float(str(value))


for dataset in DATASETS:
    _, _, x, y = split(dataset)
    regression = dataset in REGRESSION
    expected = {
        "name": "value" if regression else "label",
        "datatype": "FP32" if regression else "INT64",
        "shape": [len(y), 1] if regression else [len(y)],
        "data": [shortest(value) if regression else int(value) for value in y],
    }
    inputs = [{"name": "X", "datatype": "FP32", "shape": list(x.shape), "data": [shortest(value) for value in x.ravel()]}]
    path = Path(__file__).with_name(f"holdout-{dataset.replace('_', '-')}.json")
    path.write_text(json.dumps({"inputs": inputs, "expected": expected}, separators=(",", ":")) + "\n")
    print(f"wrote {path.name}: {len(y)} rows, {path.stat().st_size} bytes")
