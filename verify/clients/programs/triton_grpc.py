"""Everything an application does with tritonclient.grpc, against HOST:PORT with a key.

    python triton_grpc.py HOST:PORT KEY
"""
import queue
import sys
import threading

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as aio
from tritonclient.utils import InferenceServerException

from checks import check, finish

HOST, KEY = sys.argv[1:3]
HEADERS = {"authorization": f"Bearer {KEY}"}
ROW = (np.arange(64, dtype=np.float32) % 17).reshape(1, 64)
client = grpc.InferenceServerClient(HOST)


def tensor(name, array, datatype):
    given = grpc.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def infer(model, inputs, outputs=None, **options):
    options.setdefault("headers", HEADERS)
    return client.infer(model, inputs, outputs=outputs, **options)


def refused(status, words, call):
    try:
        call()
    except InferenceServerException as error:
        assert str(error.status()) == f"StatusCode.{status}", f"{error.status()}: {error.message()}"
        assert words in error.message(), error.message()
        return
    raise AssertionError("nothing was refused")


@check("server live, ready and metadata")
def _():
    assert client.is_server_live(headers=HEADERS) and client.is_server_ready(headers=HEADERS)
    metadata = client.get_server_metadata(headers=HEADERS)
    assert metadata.name == "sluice" and "statistics" in metadata.extensions, metadata


@check("model ready, metadata and configuration")
def _():
    assert client.is_model_ready("digits", headers=HEADERS)
    assert client.is_model_ready("digits", "1", headers=HEADERS)
    assert not client.is_model_ready("nothing", headers=HEADERS)
    metadata = client.get_model_metadata("digits", headers=HEADERS)
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [("X", "FP32", [-1, 64])], metadata
    config = client.get_model_config("digits", headers=HEADERS, as_json=True)["config"]
    assert config["max_batch_size"] == 32 and config["input"][0]["dims"] == ["64"], config


@check("infer: as over HTTP")
def _():
    answer = infer("digits", [tensor("X", ROW, "FP32")])
    assert answer.as_numpy("probabilities").shape == (1, 10)
    assert answer.as_numpy("label").dtype == np.int64
    assert answer.get_response().model_name == "digits" and answer.get_response().model_version == "1"


@check("infer: only the requested output")
def _():
    answer = infer("digits", [tensor("X", ROW, "FP32")], [grpc.InferRequestedOutput("label")])
    assert answer.as_numpy("label") is not None and answer.as_numpy("probabilities") is None


@check("infer: request id, revision, compression")
def _():
    for compression in (None, "gzip", "deflate"):
        x = np.repeat(ROW, 500, axis=0)
        answer = infer(
            "digits", [tensor("X", x, "FP32")], request_id="mine", model_version="1", compression_algorithm=compression
        )
        assert answer.get_response().id == "mine"
        assert answer.as_numpy("label").shape == (500,)


@check("infer: all types")
def _():
    for name, dtype in {
        "fp32": np.float32,
        "fp64": np.float64,
        "fp16": np.float16,
        "int8": np.int8,
        "int16": np.int16,
        "int32": np.int32,
        "int64": np.int64,
        "uint8": np.uint8,
        "uint16": np.uint16,
        "uint32": np.uint32,
        "uint64": np.uint64,
        "bool": np.bool_,
    }.items():
        values = np.array([[0, 1, 1]], dtype=dtype)
        if np.issubdtype(dtype, np.integer):
            values[0, :2] = np.iinfo(dtype).min, np.iinfo(dtype).max
        elif np.issubdtype(dtype, np.floating):
            values[0] = np.nan, np.inf, np.finfo(dtype).tiny
        answer = infer(f"identity-{name}", [tensor("x", values, name.upper())])
        back = answer.as_numpy("y")
        assert back.dtype == values.dtype and back.tobytes() == values.tobytes(), (name, back)
    words = np.array([["é", "", "a" * 5000]], dtype=np.object_)
    answer = infer("identity-string", [tensor("x", words, "BYTES")])
    assert [w.decode() for w in answer.as_numpy("y").ravel()] == list(words.ravel())


@check("infer: asynchronous requests")
def _():
    answers = queue.Queue()
    for _ in range(200):
        client.async_infer(
            "digits", [tensor("X", ROW, "FP32")], lambda result, error: answers.put((result, error)), headers=HEADERS
        )
    for _ in range(200):
        result, error = answers.get(timeout=20)
        assert error is None, error
        assert result.as_numpy("label").shape == (1,)


@check("infer: asyncio")
async def _():
    async with aio.InferenceServerClient(HOST) as other:
        import asyncio

        calls = [other.infer("digits", [tensor("X", ROW, "FP32")], headers=HEADERS) for _ in range(100)]
        assert all(a.as_numpy("label").shape == (1,) for a in await asyncio.gather(*calls))


@check("infer: cancelled")
def _():
    done = threading.Event()
    seen = []

    def on_answer(result, error):
        seen.append(error)
        done.set()

    steps = np.array(3000, dtype=np.int64)
    call = client.async_infer("slow", [tensor("steps", steps, "INT64")], on_answer, headers=HEADERS)
    call.cancel()
    assert done.wait(20) and "cancel" in str(seen[0]).lower(), seen


@check("a stream, in order, errors among the answers")
def _():
    answers = queue.Queue()
    stream = grpc.InferenceServerClient(HOST)
    stream.start_stream(lambda result, error: answers.put((result, error)), headers=HEADERS)
    for at in range(100):
        model = "nothing" if at % 20 == 7 else "digits"
        stream.async_stream_infer(model, [tensor("X", ROW, "FP32")], request_id=str(at))
    for at in range(100):
        result, error = answers.get(timeout=20)
        if at % 20 == 7:
            assert "no endpoint" in error.message(), error
        else:
            response = result.get_response()
            assert error is None and response.id == str(at), (error, at)
            assert response.parameters["triton_final_response"].bool_param
    stream.stop_stream()


@check("repository: index, unload, load")
def _():
    index = client.get_model_repository_index(headers=HEADERS, as_json=True)["models"]
    assert {"name": "divide", "version": "1", "state": "READY"} in index, index
    client.unload_model("divide", headers=HEADERS)
    assert not client.is_model_ready("divide", headers=HEADERS)
    client.load_model("divide", headers=HEADERS)
    assert client.is_model_ready("divide", headers=HEADERS)


@check("statistics")
def _():
    before = client.get_inference_statistics("digits", headers=HEADERS).model_stats[0]
    infer("digits", [tensor("X", ROW, "FP32")])
    after = client.get_inference_statistics("digits", headers=HEADERS).model_stats[0]
    assert after.inference_count == before.inference_count + 1, (before, after)
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert len(client.get_inference_statistics(headers=HEADERS).model_stats) > 5


@check("trace and log settings")
def _():
    assert client.get_trace_settings(headers=HEADERS, as_json=True)["settings"]["trace_level"]["value"] == ["OFF"]
    settings = client.update_log_settings({"log_verbose_level": 0, "log_info": False}, headers=HEADERS, as_json=True)
    assert settings["settings"]["log_info"]["bool_param"] is False, settings


@check("errors")
def _():
    row = [tensor("X", ROW, "FP32")]
    refused("NOT_FOUND", 'no endpoint "nothing"', lambda: infer("nothing", row))
    refused("NOT_FOUND", 'no revision "9"', lambda: infer("digits", row, model_version="9"))
    refused("UNAUTHENTICATED", "key", lambda: infer("digits", row, headers={}))
    refused("INVALID_ARGUMENT", "[1,3]", lambda: infer("digits", [tensor("X", ROW[:, :3], "FP32")]))
    refused("INVALID_ARGUMENT", "FP64", lambda: infer("digits", [tensor("X", ROW.astype(np.float64), "FP64")]))
    slow = [tensor("steps", np.array(5000, dtype=np.int64), "INT64")]
    refused("DEADLINE_EXCEEDED", "", lambda: infer("slow", slow, client_timeout=0.05))


finish()
