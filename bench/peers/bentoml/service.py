"""An ONNX model as a BentoML service."""

import os
from typing import Annotated

import bentoml
import numpy as np
import onnxruntime
from bentoml.validators import DType, Shape


@bentoml.service(workers=1)
class Digits:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    async def infer(self, X: Annotated[np.ndarray, DType("float32"), Shape((-1, 64))]) -> dict:
        label, probabilities = self.session.run(["label", "probabilities"], {"X": X})
        return {"label": label.tolist(), "probabilities": probabilities.tolist()}
