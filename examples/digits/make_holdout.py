"""Writes holdout.json beside this file: the rows that train.py never sees, as an inference request with its answers."""

import json
from pathlib import Path

from split import split

_, _, x, y = split()
document = {
    "inputs": [
        {
            "name": "X",
            "datatype": "FP32",
            "shape": list(x.shape),
            "data": [int(value) for value in x.ravel()],
        }
    ],
    "expected": {
        "name": "label",
        "datatype": "INT64",
        "shape": list(y.shape),
        "data": [int(value) for value in y],
    },
}
path = Path(__file__).with_name("holdout.json")
path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
print(f"wrote {path.name}: {len(y)} rows, {path.stat().st_size} bytes")
