"""A model server with nothing in it that the Open Inference Protocol's JSON and binary tensors do not need."""

import os

import numpy as np
import onnxruntime
import orjson

DATATYPES = {"int64": "INT64", "float32": "FP32"}
HEAD_LENGTH = b"inference-header-content-length"

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
output_names = [output.name for output in session.get_outputs()]


def predict(body, head_length):
    request = orjson.loads(body if head_length is None else body[:head_length])
    tensor = request["inputs"][0]
    if head_length is None:
        array = np.array(tensor["data"], dtype=np.float32)
    else:
        array = np.frombuffer(body, dtype=np.float32, offset=head_length)
    results = session.run(output_names, {tensor["name"]: array.reshape(tensor["shape"])})
    binary = request.get("parameters", {}).get("binary_data_output", False)
    outputs, raws = [], []
    for name, result in zip(output_names, results):
        output = {"name": name, "datatype": DATATYPES[result.dtype.name], "shape": result.shape}
        if binary:
            output["parameters"] = {"binary_data_size": result.nbytes}
            raws.append(result.tobytes())
        else:
            output["data"] = result.ravel()
        outputs.append(output)
    head = orjson.dumps({"model_name": "digits", "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binary:
        return head, [(b"content-type", b"application/json")]
    headers = [(b"content-type", b"application/octet-stream"), (HEAD_LENGTH, b"%d" % len(head))]
    return b"".join([head, *raws]), headers


async def app(scope, receive, send):
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    head_length = None
    for name, value in scope["headers"]:
        if name == HEAD_LENGTH:
            head_length = int(value)
    body, headers = predict(chunks[0] if len(chunks) == 1 else b"".join(chunks), head_length)
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
