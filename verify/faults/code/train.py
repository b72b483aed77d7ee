"""A training script for the fault verification: the bare interpreter, a second or two, and a model that differs by job.

Takes a prebuilt model from its own folder and writes the job's tag into the field that names the model's producer: other
bytes and so another version, the same answers.
"""
import json
import os
import sys
import time
from pathlib import Path

PRODUCER = b"sluice-fixtures"

with open(os.environ["SLUICE_PARAMS"], encoding="utf8") as file:
    params = json.load(file)
steps = int(params["steps"])
for step in range(1, steps + 1):
    time.sleep(params["seconds"] / steps)
    print(f"loss={1 / step:.4f} accuracy={0.9 + step / steps / 20:.4f} step={step}", flush=True)
if params["fails"]:
    sys.exit("this job was made to fail")
tag = str(params["tag"]).encode().ljust(len(PRODUCER), b"-")
model = (Path(__file__).parent / "model.onnx").read_bytes()
if len(tag) != len(PRODUCER) or model.count(PRODUCER) != 1:
    sys.exit("the tag does not fit into the model")
model = model.replace(PRODUCER, tag)
with open(Path(os.environ["SLUICE_OUTPUT_DIR"]) / "model.onnx", "wb") as file:
    # in two parts, so that a kill can leave half a model behind
    file.write(model[: len(model) // 2])
    file.flush()
    time.sleep(0.05)
    file.write(model[len(model) // 2 :])
print("done", flush=True)
