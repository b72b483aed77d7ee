"""Stands for a training script: reports a metric and writes the model that its parameters name, with a mark of its own."""

import json
import os
import shutil
from pathlib import Path

params = json.loads(Path(os.environ["SLUICE_PARAMS"]).read_text())
print(f"epoch=1 accuracy={params['accuracy']}", flush=True)
output = Path(os.environ["SLUICE_OUTPUT_DIR"])
shutil.copy(Path(__file__).parent / params["file"], output / "model.onnx")
# other bytes make another version; the model is the same
(output / "mark.txt").write_text(os.environ["SLUICE_JOB_ID"])
