"""Everything an application does with tritonclient.http, against HOST:PORT with a key. Prints {check: null or problem}.

    python tritonclient.py HOST:PORT KEY
"""
import json
import sys
import traceback

# this file has the package's name: its folder must not be where imports begin
sys.path.pop(0)

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

HOST, KEY = sys.argv[1:3]
HEADERS = {"Authorization": f"Bearer {KEY}"}
report = {}


def check(name):
    def run(body):
        try:
            body()
            report[name] = None
        except BaseException:
            report[name] = traceback.format_exc()[-1500:]

    return run


def client(**options):
    return http.InferenceServerClient(HOST, concurrency=8, **options)


def tensor(name, array, datatype, binary):
    given = http.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def infer(model, inputs, outputs=None, **options):
    # a copy for each call: the client writes its own headers into the one it is given, and they would stay for the next
    options.setdefault("headers", HEADERS)
    options["headers"] = options["headers"] and dict(options["headers"])
    return client().infer(model, inputs, outputs=outputs, **options)


def output(name, binary):
    return http.InferRequestedOutput(name, binary_data=binary)


def refused(status, words, call):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == str(status), f"{error.status()}: {error.message()}"
        assert words in error.message(), error.message()
        return
    raise AssertionError("nothing was refused")


ROW = (np.arange(64, dtype=np.float32) % 17).reshape(1, 64)


@check("server live, ready and metadata")
def _():
    assert client().is_server_live(headers=HEADERS)
    assert client().is_server_ready(headers=HEADERS)
    metadata = client().get_server_metadata(headers=HEADERS)
    assert metadata["name"] == "sluice" and "binary_tensor_data" in metadata["extensions"], metadata


@check("model ready and metadata")
def _():
    assert client().is_model_ready("digits", headers=HEADERS)
    assert client().is_model_ready("digits", "1", headers=HEADERS)
    assert not client().is_model_ready("nothing", headers=HEADERS)
    metadata = client().get_model_metadata("digits", headers=HEADERS)
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}], metadata
    assert [o["name"] for o in metadata["outputs"]] == ["label", "probabilities"], metadata
    assert metadata["platform"] == "onnx_onnxv1" and metadata["versions"] == ["1"], metadata


@check("repository index")
def _():
    index = client().get_model_repository_index(headers=HEADERS)
    assert {"digits", "add"} <= {model["name"] for model in index}, index


def digits(binary_in, binary_out):
    result = infer("digits", [tensor("X", ROW, "FP32", binary_in)], [output("label", binary_out), output("probabilities", binary_out)])
    label, probabilities = result.as_numpy("label"), result.as_numpy("probabilities")
    assert label.dtype == np.int64 and label.shape == (1,), label
    assert probabilities.dtype == np.float32 and probabilities.shape == (1, 10), probabilities
    assert abs(probabilities.sum() - 1) < 1e-5 and probabilities.argmax() == label[0]
    sizes = ["binary_data_size" in o.get("parameters", {}) for o in result.get_response()["outputs"]]
    assert sizes == [binary_out] * 2, result.get_response()
    assert result.get_response()["model_name"] == "digits"


for binary_in in (False, True):
    for binary_out in (False, True):
        words = {False: "JSON", True: "binary"}
        check(f"infer: {words[binary_in]} in, {words[binary_out]} out")(lambda: digits(binary_in, binary_out))


@check("infer: only the requested output")
def _():
    result = infer("digits", [tensor("X", ROW, "FP32", True)], [output("label", False)])
    assert [o["name"] for o in result.get_response()["outputs"]] == ["label"]


@check("infer: all outputs when none is requested")
def _():
    result = infer("digits", [tensor("X", ROW, "FP32", True)])
    assert result.as_numpy("label").shape == (1,) and result.as_numpy("probabilities").shape == (1, 10)


@check("infer: many rows, large bodies")
def _():
    rows = np.tile(ROW, (20_000, 1))
    result = infer("digits", [tensor("X", rows, "FP32", True)], [output("probabilities", True)])
    assert result.as_numpy("probabilities").shape == (20_000, 10)
    result = infer("digits", [tensor("X", rows[:2000], "FP32", False)], [output("probabilities", False)])
    assert result.as_numpy("probabilities").shape == (2000, 10)


@check("infer: strings, JSON and binary")
def _():
    words = np.array([["Grüße", "", "日本語 \"x\""]], dtype=np.object_)
    for binary_in in (False, True):
        for binary_out in (False, True):
            result = infer("identity-string", [tensor("x", words, "BYTES", binary_in)], [output("y", binary_out)])
            got = [v.decode() if isinstance(v, bytes) else v for v in result.as_numpy("y").reshape(-1)]
            assert got == list(words.reshape(-1)), got


@check("infer: 64-bit integers beyond doubles, JSON and binary")
def _():
    numbers = np.array([[2**63 - 1, -(2**63), 2**53 + 1, 0, -1]], dtype=np.int64)
    for binary_in in (False, True):
        for binary_out in (False, True):
            result = infer("identity-int64", [tensor("x", numbers, "INT64", binary_in)], [output("y", binary_out)])
            assert np.array_equal(result.as_numpy("y"), numbers), result.as_numpy("y")


@check("infer: half precision and booleans")
def _():
    halves = np.array([[0.5, -65504, 6e-8]], dtype=np.float16)
    result = infer("identity-fp16", [tensor("x", halves, "FP16", True)], [output("y", True)])
    assert np.array_equal(result.as_numpy("y"), halves)
    truths = np.array([[True, False]])
    for binary in (False, True):
        result = infer("identity-bool", [tensor("x", truths, "BOOL", binary)], [output("y", binary)])
        assert np.array_equal(result.as_numpy("y"), truths)


@check("infer: request id comes back")
def _():
    result = infer("digits", [tensor("X", ROW, "FP32", True)], request_id="order-66")
    assert result.get_response()["id"] == "order-66", result.get_response()


@check("infer: a revision by its number")
def _():
    result = infer("digits", [tensor("X", ROW, "FP32", True)], model_version="1")
    assert result.get_response()["model_version"] == "1", result.get_response()


@check("infer: two inputs")
def _():
    a, b = np.array([[1, 2]], dtype=np.float32), np.array([[10, 20]], dtype=np.float32)
    result = infer("add", [tensor("a", a, "FP32", True), tensor("b", b, "FP32", False)])
    assert np.array_equal(result.as_numpy("sum"), a + b)


@check("infer: asynchronous requests")
def _():
    one = client()
    pending = [one.async_infer("digits", [tensor("X", ROW + i, "FP32", True)], headers=dict(HEADERS)) for i in range(50)]
    assert all(p.get_result().as_numpy("label").shape == (1,) for p in pending)


@check("infer: gzip and deflate, both ways")
def _():
    rows = np.tile(ROW, (4000, 1))
    for kind in ("gzip", "deflate"):
        for binary in (False, True):
            result = infer(
                "digits",
                [tensor("X", rows, "FP32", binary)],
                [output("probabilities", binary)],
                request_compression_algorithm=kind,
                response_compression_algorithm=kind,
            )
            assert result.as_numpy("probabilities").shape == (4000, 10)
            assert result.get_response()["outputs"][0]["name"] == "probabilities"


@check("a public endpoint without a key")
def _():
    a = np.array([[1, 2]], dtype=np.float32)
    result = infer("add", [tensor("a", a, "FP32", True), tensor("b", a, "FP32", True)], headers=None)
    assert np.array_equal(result.as_numpy("sum"), a + a)


@check("error: wrong shape")
def _():
    wrong = np.zeros((1, 63), dtype=np.float32)
    refused(400, 'input "X" has shape [1,63], the model takes [-1,64]', lambda: infer("digits", [tensor("X", wrong, "FP32", True)]))


@check("error: wrong datatype")
def _():
    wrong = np.zeros((1, 64), dtype=np.int32)
    refused(400, 'input "X" is INT32, the model takes FP32', lambda: infer("digits", [tensor("X", wrong, "INT32", True)]))


@check("error: unknown model")
def _():
    refused(404, 'there is no endpoint "nothing"', lambda: infer("nothing", [tensor("X", ROW, "FP32", True)]))
    refused(404, 'there is no endpoint "nothing"', lambda: client().get_model_metadata("nothing", headers=HEADERS))


@check("error: unknown revision")
def _():
    refused(404, 'no revision "9"', lambda: infer("digits", [tensor("X", ROW, "FP32", True)], model_version="9"))


@check("error: unknown output")
def _():
    refused(400, 'no output "nothing"', lambda: infer("digits", [tensor("X", ROW, "FP32", True)], [output("nothing", True)]))


@check("error: missing key")
def _():
    refused(401, "a key is needed", lambda: infer("digits", [tensor("X", ROW, "FP32", True)], headers=None))


@check("error: wrong key")
def _():
    headers = {"Authorization": "Bearer sk_wrong"}
    refused(401, "not known", lambda: infer("digits", [tensor("X", ROW, "FP32", True)], headers=headers))


@check("error: the model fails")
def _():
    wrong = np.array([99], dtype=np.int64)
    refused(500, "the model failed", lambda: infer("gather", [tensor("index", wrong, "INT64", True)]))


print(json.dumps(report))
