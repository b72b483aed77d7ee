"""An ONNX model in Ray Serve, behind the Open Inference Protocol's JSON."""

import os
import signal

import numpy as np
import orjson
import ray
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.responses import Response

DATATYPES = {"int64": "INT64", "float32": "FP32"}


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=1000,
    ray_actor_options={"num_cpus": 0.5},
    logging_config=LoggingConfig(enable_access_log=False),
)
class Digits:
    def __init__(self, model):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.output_names = [output.name for output in self.session.get_outputs()]

    async def __call__(self, request):
        tensor = orjson.loads(await request.body())["inputs"][0]
        array = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        results = self.session.run(self.output_names, {tensor["name"]: array})
        outputs = [
            {"name": name, "datatype": DATATYPES[result.dtype.name], "shape": result.shape, "data": result.ravel()}
            for name, result in zip(self.output_names, results)
        ]
        body = orjson.dumps({"model_name": "digits", "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(body, media_type="application/json")


# blocked before Ray starts threads, so that only the wait at the end hears them
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
ray.init(
    num_cpus=2,
    include_dashboard=False,
    object_store_memory=200 * 1024 * 1024,
    _temp_dir=os.environ["SESSIONS"],
)
serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
serve.run(Digits.bind(os.environ["MODEL"]), route_prefix="/v2/models/digits/infer")
signal.sigwait([signal.SIGTERM, signal.SIGINT])
serve.shutdown()
ray.shutdown()
