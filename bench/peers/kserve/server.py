"""An ONNX model in KServe's model server."""

import os
import uuid

import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer

DATATYPES = {"int64": "INT64", "float32": "FP32"}


class Digits(Model):
    def __init__(self):
        super().__init__("digits")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.output_names = [output.name for output in self.session.get_outputs()]
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        feeds = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        binary = bool(payload.use_binary_outputs)
        outputs = []
        for name, result in zip(self.output_names, self.session.run(self.output_names, feeds)):
            output = InferOutput(name, list(result.shape), DATATYPES[result.dtype.name])
            output.set_data_from_numpy(result, binary_data=binary)
            outputs.append(output)
        answer_id = payload.id or str(uuid.uuid4())
        return InferResponse(answer_id, self.name, outputs, use_binary_outputs=binary)


if __name__ == "__main__":
    ModelServer().start([Digits()])
