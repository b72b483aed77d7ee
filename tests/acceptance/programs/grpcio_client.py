"""What gRPC's own Python implementation and protobuf see of a server that answers with what it was sent.
Prints {check: null or problem}.

    python grpcio_client.py HOST:PORT PROTO
"""
import json
import os
import random
import struct
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import grpc

HOST, PROTO = sys.argv[1:3]
sys.path.insert(0, os.path.dirname(PROTO))
pb, services = grpc.protos_and_services(os.path.basename(PROTO))
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
report = {}


def check(name):
    def run(body):
        try:
            body()
            report[name] = None
        except BaseException:
            report[name] = traceback.format_exc()[-1500:]

    return run


def channel(**more):
    return grpc.insecure_channel(HOST, options=OPTIONS + list(more.items()))


stub = services.GRPCInferenceServiceStub(channel())
TENSOR = pb.ModelInferRequest.InferInputTensor
CONTENTS = {
    "BOOL": ("bool_contents", lambda r: r.random() < 0.5),
    "INT8": ("int_contents", lambda r: r.randint(-(2**7), 2**7 - 1)),
    "INT16": ("int_contents", lambda r: r.randint(-(2**15), 2**15 - 1)),
    "INT32": ("int_contents", lambda r: r.randint(-(2**31), 2**31 - 1)),
    "INT64": ("int64_contents", lambda r: r.randint(-(2**63), 2**63 - 1)),
    "UINT8": ("uint_contents", lambda r: r.randint(0, 2**8 - 1)),
    "UINT16": ("uint_contents", lambda r: r.randint(0, 2**16 - 1)),
    "UINT32": ("uint_contents", lambda r: r.randint(0, 2**32 - 1)),
    "UINT64": ("uint64_contents", lambda r: r.randint(0, 2**64 - 1)),
    "FP32": ("fp32_contents", lambda r: struct.unpack("<f", struct.pack("<f", r.uniform(-1e30, 1e30)))[0]),
    "FP64": ("fp64_contents", lambda r: r.uniform(-1e300, 1e300)),
    "BYTES": ("bytes_contents", lambda r: r.randbytes(r.randint(0, 300))),
}


def raw_request(data, **more):
    return pb.ModelInferRequest(
        model_name="m",
        inputs=[TENSOR(name="x", datatype="UINT8", shape=[len(data)])],
        raw_input_contents=[data],
        **more,
    )


def seen(call):
    """What the server read of a request."""
    return json.loads(dict(call.trailing_metadata())["x-seen"])


def refused(code, words, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()}: {error.details()}"
        assert words in error.details(), error.details()
        return error
    raise AssertionError("nothing was refused")


@check("messages: random contents of every type come back")
def _():
    random_ = random.Random(5)
    for _ in range(100):
        request = pb.ModelInferRequest(model_name="m", model_version="1", id="7")
        for at in range(random_.randint(1, 4)):
            datatype = random_.choice(list(CONTENTS))
            field, make = CONTENTS[datatype]
            values = [make(random_) for _ in range(random_.choice([0, 1, 5, 100]))]
            tensor = TENSOR(name=f"t{at}", datatype=datatype, shape=[len(values)])
            getattr(tensor.contents, field).extend(values)
            request.inputs.append(tensor)
        answer = stub.ModelInfer(request)
        assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "7")
        assert not answer.raw_output_contents
        for given, got in zip(request.inputs, answer.outputs, strict=True):
            assert (given.name, given.datatype, given.shape) == (got.name, got.datatype, got.shape)
            assert given.contents == got.contents, (given, got)


@check("messages: raw contents come back raw, half precision too")
def _():
    data = os.urandom(6)
    request = pb.ModelInferRequest(
        model_name="m",
        inputs=[TENSOR(name="x", datatype="FP16", shape=[3]), TENSOR(name="y", datatype="INT32", shape=[0])],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="x")],
        raw_input_contents=[data, b""],
    )
    answer = stub.ModelInfer(request)
    assert [output.name for output in answer.outputs] == ["x"]
    assert list(answer.raw_output_contents) == [data]


@check("messages: the server and its models")
def _():
    assert stub.ServerLive(pb.ServerLiveRequest()).live is True
    assert stub.ServerReady(pb.ServerReadyRequest()).ready is True
    metadata = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert (metadata.name, list(metadata.extensions)) == ("sluice", ["a", "b"])
    answer, call = stub.ModelReady.with_call(pb.ModelReadyRequest(name="m", version="2"))
    assert answer.ready is False
    assert seen(call) == {"name": "m", "version": "2"}
    model = stub.ModelMetadata(pb.ModelMetadataRequest(name="m"))
    assert list(model.versions) == ["1", "2"]
    assert list(model.inputs[0].shape) == list(model.outputs[0].shape) == [-1, 64]
    config = stub.ModelConfig(pb.ModelConfigRequest(name="m")).config
    assert (config.backend, config.max_batch_size) == ("onnxruntime", 8)
    assert (config.input[0].data_type, list(config.input[0].dims)) == (pb.TYPE_FP32, [64])
    assert (config.output[0].data_type, list(config.output[0].dims)) == (pb.TYPE_STRING, [-1])


@check("messages: statistics")
def _():
    [stats] = stub.ModelStatistics(pb.ModelStatisticsRequest()).model_stats
    assert stats.last_inference == 1_700_000_000_000 and stats.inference_count == 2**40
    assert (stats.inference_stats.success.count, stats.inference_stats.cache_miss.ns) == (7, 8000)
    assert (stats.batch_stats[0].batch_size, stats.batch_stats[0].compute_infer.count) == (4, 9)


@check("messages: repository, trace and log settings")
def _():
    answer, call = stub.RepositoryIndex.with_call(pb.RepositoryIndexRequest(ready=True))
    assert answer.models[0].state == "READY"
    assert seen(call) == {"repository_name": "", "ready": True}
    parameters = {
        "config": pb.ModelRepositoryParameter(string_param="{}"),
        "file:1/model": pb.ModelRepositoryParameter(bytes_param=b"\x00\xff"),
        "flag": pb.ModelRepositoryParameter(bool_param=False),
        "number": pb.ModelRepositoryParameter(int64_param=-3),
    }
    _, call = stub.RepositoryModelLoad.with_call(pb.RepositoryModelLoadRequest(model_name="m", parameters=parameters))
    assert seen(call)["parameters"] == {
        "config": {"string_param": "{}"},
        "file:1/model": {"bytes_param": "00ff"},
        "flag": {"bool_param": False},
        "number": {"int64_param": -3},
    }
    request = pb.TraceSettingRequest(model_name="m")
    request.settings["trace_rate"].value.append("5")
    request.settings["trace_level"].SetInParent()
    answer, call = stub.TraceSetting.with_call(request)
    assert seen(call) == {"settings": {"trace_rate": {"value": ["5"]}, "trace_level": {"value": []}}, "model_name": "m"}
    assert list(answer.settings["trace_level"].value) == ["TIMESTAMPS", "TENSORS"]
    settings = stub.LogSettings(pb.LogSettingsRequest()).settings
    assert settings["log_info"].WhichOneof("parameter_choice") == "bool_param"
    assert settings["log_verbose_level"].uint32_param == 2
    assert settings["log_format"].WhichOneof("parameter_choice") == "string_param"


@check("metadata, deadline and binary metadata")
def _():
    metadata = [("authorization", "Bearer k"), ("x-data-bin", b"\x00\x01\xff")]
    answer, call = stub.ModelInfer.with_call(raw_request(b"1"), metadata=metadata, timeout=30)
    head = dict(call.initial_metadata())
    assert head["x-auth"] == "Bearer k"
    assert 20_000 < float(head["x-deadline"]) <= 31_000, head
    assert dict(call.trailing_metadata())["x-data-bin"] == b"\x00\x01\xff"


@check("a status with words beyond ASCII")
def _():
    request = pb.ModelInferRequest(model_name="missing")
    refused(grpc.StatusCode.NOT_FOUND, 'there is no endpoint "missing", 100 % sure: é', lambda: stub.ModelInfer(request))


@check("an unknown method")
def _():
    call = channel().unary_unary("/inference.GRPCInferenceService/Nothing")
    refused(grpc.StatusCode.UNIMPLEMENTED, "there is no method", lambda: call(b""))


@check("what is no message")
def _():
    call = channel().unary_unary("/inference.GRPCInferenceService/ModelInfer")
    refused(grpc.StatusCode.INVALID_ARGUMENT, "not valid protobuf", lambda: call(b"\xff\xff"))


@check("a message of 50 MB both ways")
def _():
    data = os.urandom(50_000_000)
    assert stub.ModelInfer(raw_request(data)).raw_output_contents[0] == data


@check("a message beyond the bound, and the connection goes on")
def _():
    request = raw_request(bytes(70_000_000))
    refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "at most 67108864 are allowed", lambda: stub.ModelInfer(request))
    assert stub.ModelInfer(raw_request(b"1")).raw_output_contents[0] == b"1"


@check("gzip and deflate")
def _():
    data = bytes(200_000)
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert stub.ModelInfer(raw_request(data), compression=compression).raw_output_contents[0] == data
        answers = stub.ModelStreamInfer(iter([raw_request(data), raw_request(b"1")]), compression=compression)
        assert [len(answer.infer_response.raw_output_contents[0]) for answer in answers] == [200_000, 1]


@check("100 calls at once")
def _():
    def call(at):
        data = os.urandom(1 + 1000 * at)
        return stub.ModelInfer(raw_request(data)).raw_output_contents[0] == data

    with ThreadPoolExecutor(100) as pool:
        assert all(pool.map(call, range(100)))


@check("a stream, answered as it goes")
def _():
    answers = None
    got = threading.Semaphore(1)

    def requests():
        for at in range(200):
            got.acquire()
            name = "missing" if at == 100 else "m"
            yield pb.ModelInferRequest(
                model_name=name,
                id=str(at),
                inputs=[TENSOR(name="x", datatype="UINT8", shape=[at])],
                raw_input_contents=[bytes(at)],
            )

    answers = stub.ModelStreamInfer(requests())
    for at, answer in enumerate(answers):
        if at == 100:
            assert answer.error_message == 'there is no endpoint "missing"'
        else:
            assert (answer.infer_response.id, len(answer.infer_response.raw_output_contents[0])) == (str(at), at)
        got.release()
    assert at == 199
    assert answers.code() == grpc.StatusCode.OK


@check("a stream of large messages, one way after the other")
def _():
    data = os.urandom(3_000_000)
    answers = list(stub.ModelStreamInfer(iter([raw_request(data, id=str(at)) for at in range(20)])))
    assert [answer.infer_response.id for answer in answers] == [str(at) for at in range(20)]
    assert all(answer.infer_response.raw_output_contents[0] == data for answer in answers)


@check("cancelling, by hand and by deadline")
def _():
    never = pb.ModelInferRequest(model_name="never")
    call = stub.ModelInfer.future(never)
    time.sleep(0.1)
    call.cancel()
    refused(grpc.StatusCode.DEADLINE_EXCEEDED, "", lambda: stub.ModelInfer(never, timeout=0.2))
    assert stub.ModelInfer(raw_request(b"1")).raw_output_contents[0] == b"1"


print(json.dumps(report))
