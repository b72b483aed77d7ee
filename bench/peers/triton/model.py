"""An ONNX model in Triton's Python backend: the requests of a batch become one inference."""

import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        inputs = [backend.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        label, probabilities = self.session.run(["label", "probabilities"], {"X": batch})
        label = label.reshape(-1, 1)
        responses = []
        start = 0
        for rows in inputs:
            end = start + rows.shape[0]
            outputs = [
                backend.Tensor("label", label[start:end]),
                backend.Tensor("probabilities", probabilities[start:end]),
            ]
            responses.append(backend.InferenceResponse(outputs))
            start = end
        return responses
