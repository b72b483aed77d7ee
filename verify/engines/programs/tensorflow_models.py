"""Exports SavedModels of several kinds and writes what TensorFlow itself answers to random inputs.

usage: tensorflow_models.py FOLDER SERVING_API CASES
FOLDER gets one folder per model and beside it NAME.cases.jsonl: a line per case with the signature, inputs and outputs,
each tensor as {name, datatype, shape, data}, data being the little-endian bytes of the protocol's binary form in base64.
SERVING_API is a folder with the package tensorflow_serving, or empty: then no warm-up requests are written.
"""

import base64
import json
import os
import random
import struct
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

folder, serving_api, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
# as the model server computes by default: the order of additions is then the same
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
rng = np.random.default_rng(20260301)
random.seed(20260301)

DATATYPES = {
    tf.bool: "BOOL", tf.int8: "INT8", tf.int16: "INT16", tf.int32: "INT32", tf.int64: "INT64",
    tf.uint8: "UINT8", tf.uint16: "UINT16", tf.uint32: "UINT32", tf.uint64: "UINT64",
    tf.float16: "FP16", tf.bfloat16: "BF16", tf.float32: "FP32", tf.float64: "FP64", tf.string: "BYTES",
}


def wire(name, tensor):
    """A tensor in the protocol's binary form."""
    value = tensor.numpy()
    if tensor.dtype == tf.string:
        elements = np.asarray(value, dtype=object).reshape(-1)
        data = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    else:
        data = np.ascontiguousarray(value).tobytes()
    text = base64.b64encode(data).decode()
    return {"name": name, "datatype": DATATYPES[tensor.dtype], "shape": tensor.shape.as_list(), "data": text}


def write_cases(name, cases):
    """Runs (signature, inputs) through the exported model and writes inputs and outputs."""
    model = tf.saved_model.load(os.path.join(folder, name))
    with open(os.path.join(folder, name + ".cases.jsonl"), "w") as out:
        for signature, inputs in cases:
            outputs = model.signatures[signature](**inputs)
            line = {
                "signature": signature,
                "inputs": [wire(key, value) for key, value in inputs.items()],
                "outputs": [wire(key, value) for key, value in outputs.items()],
            }
            out.write(json.dumps(line) + "\n")


def batch():
    return random.choice([1, 1, 2, 3, 7, 32])


def keras_model():
    """A Keras model with convolution, embedding and dense layers, inputs and outputs of several types."""
    keras = tf.keras
    image = keras.Input((12, 12, 3), dtype="uint8", name="image")
    numbers = keras.Input((5,), dtype="float32", name="numbers")
    word = keras.Input((4,), dtype="int64", name="word")
    pixels = keras.layers.Rescaling(1 / 255)(image)
    pixels = keras.layers.Conv2D(8, 3, activation="relu")(pixels)
    pixels = keras.layers.GlobalAveragePooling2D()(pixels)
    words = keras.layers.Flatten()(keras.layers.Embedding(50, 6)(word))
    joined = keras.layers.Concatenate()([pixels, keras.layers.Dense(16, activation="tanh")(numbers), words])
    hidden = keras.layers.LayerNormalization()(keras.layers.Dense(32, activation="gelu")(joined))
    probabilities = keras.layers.Dense(4, activation="softmax", name="probabilities")(hidden)
    label = keras.ops.argmax(probabilities, axis=-1)
    half = keras.ops.cast(hidden, "float16")
    model = keras.Model(
        {"image": image, "numbers": numbers, "word": word},
        {"probabilities": probabilities, "label": label, "half": half},
    )
    model.export(os.path.join(folder, "keras"), verbose=False)

    def case():
        rows = batch()
        return "serving_default", {
            "image": tf.constant(rng.integers(0, 256, (rows, 12, 12, 3)), tf.uint8),
            "numbers": tf.constant(rng.normal(0, 3, (rows, 5)), tf.float32),
            "word": tf.constant(rng.integers(0, 50, (rows, 4)), tf.int64),
        }

    write_cases("keras", (case() for _ in range(count)))


def every_type():
    """y = x + x for every numeric type, not x for booleans, x + x for strings; the last axis is turned around."""
    types = list(DATATYPES)

    class Types(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], dtype, name="x_" + dtype.name) for dtype in types])
        def serve(self, *tensors):
            outputs = {}
            for x in tensors:
                dtype = x.dtype
                y = tf.logical_not(x) if dtype == tf.bool else tf.strings.join([x, x]) if dtype == tf.string else x + x
                outputs["y_" + dtype.name] = tf.gather(y, [2, 1, 0], axis=1)
            return outputs

    module = Types()
    tf.saved_model.save(module, os.path.join(folder, "types"), signatures={"serving_default": module.serve})

    def value(dtype, rows):
        shape = (rows, 3)
        if dtype == tf.bool:
            return tf.constant(rng.integers(0, 2, shape).astype(bool))
        if dtype == tf.string:
            return tf.constant(np.array([[text() for _ in range(3)] for _ in range(rows)], dtype=object).reshape(shape), dtype)
        if dtype.is_integer:
            info = np.iinfo(dtype.as_numpy_dtype)
            return tf.constant(rng.integers(info.min, info.max, shape, dtype=dtype.as_numpy_dtype, endpoint=True))
        return tf.cast(tf.constant(rng.normal(0, 100, shape)), dtype)

    def case():
        rows = random.choice([0, 1, 2, 5])
        return "serving_default", {"x_" + dtype.name: value(dtype, rows) for dtype in types}

    write_cases("types", (case() for _ in range(count)))


def text():
    """A text: empty, short, beyond what is kept in place, with NUL and other signs, or long."""
    kind = random.randrange(5)
    if kind == 0:
        return b""
    length = [0, 5, 22, 23, 3000][kind]
    return "".join(random.choice("abcÄß😀\0\n\"\\ ") for _ in range(length)).encode()


def text_module():
    """Strings in and out, a scalar among the inputs, and a second signature."""

    class Texts(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([], tf.int32, "times")])
        def repeat(self, text, times):
            repeated = tf.strings.reduce_join(tf.repeat(text[:, None], times, axis=1), axis=1)
            return {"repeated": repeated, "bytes": tf.strings.length(repeated)}

        @tf.function(input_signature=[tf.TensorSpec(None, tf.string, "text")])
        def upper(self, text):
            return {"upper": tf.strings.upper(text, encoding="utf-8"), "hash": tf.strings.to_hash_bucket_fast(text, 2**40)}

    module = Texts()
    signatures = {"serving_default": module.repeat, "upper": module.upper}
    tf.saved_model.save(module, os.path.join(folder, "texts"), signatures=signatures)

    def case(at):
        if at % 2:
            shape = random.choice([(), (1,), (2, 2), (0,), (3, 1, 2)])
            texts = [text() for _ in range(int(np.prod(shape)))]
            return "upper", {"text": tf.reshape(tf.constant(texts, tf.string, (len(texts),)), shape)}
        texts = [text() for _ in range(random.choice([0, 1, 4]))]
        return "serving_default", {
            "text": tf.constant(texts, tf.string, (len(texts),)),
            "times": tf.constant(random.randrange(4), tf.int32),
        }

    write_cases("texts", (case(at) for at in range(count)))


WORDS = ["zero", "one", "two", "three", "four", "fünf", "six"]


def table_module():
    """A lookup table that is filled from an asset file when the model is loaded."""
    path = os.path.join(folder, "words.txt")
    with open(path, "w", encoding="utf-8") as out:
        out.write("".join(word + "\n" for word in WORDS))

    class Table(tf.Module):
        def __init__(self):
            self.file = tf.saved_model.Asset(path)
            kinds = tf.lookup.TextFileIndex
            start = tf.lookup.TextFileInitializer(self.file, tf.string, kinds.WHOLE_LINE, tf.int64, kinds.LINE_NUMBER)
            self.table = tf.lookup.StaticHashTable(start, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "word")])
        def find(self, word):
            return {"index": self.table.lookup(word), "size": self.table.size()}

    module = Table()
    tf.saved_model.save(module, os.path.join(folder, "table"), signatures={"serving_default": module.find})
    os.remove(path)

    def case():
        words = [random.choice(WORDS + ["nine", ""]).encode() for _ in range(batch())]
        return "serving_default", {"word": tf.constant(words, tf.string)}

    write_cases("table", (case() for _ in range(count)))


def counting_module(name, divisors):
    """Counts what it is called with, and divides: whether the warm-up requests were sent shows in the first answer."""

    class Counter(tf.Module):
        def __init__(self):
            self.count = tf.Variable(0, dtype=tf.int32)

        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "by")])
        def add(self, by):
            return {"count": self.count.assign_add(by), "quotient": 100 // by}

    module = Counter()
    path = os.path.join(folder, name)
    tf.saved_model.save(module, path, signatures={"serving_default": module.add})
    sys.path.insert(0, serving_api)
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, regression_pb2

    os.makedirs(os.path.join(path, "assets.extra"))
    with tf.io.TFRecordWriter(os.path.join(path, "assets.extra", "tf_serving_warmup_requests")) as out:
        for divisor in divisors:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "counter"
            request.model_spec.signature_name = "serving_default"
            request.inputs["by"].CopyFrom(tf.make_tensor_proto(divisor, tf.int32))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            out.write(log.SerializeToString())
        regress = prediction_log_pb2.RegressLog(request=regression_pb2.RegressionRequest())
        out.write(prediction_log_pb2.PredictionLog(regress_log=regress).SerializeToString())


keras_model()
every_type()
text_module()
table_module()
if serving_api:
    counting_module("counter", [1, 2, 4])
    counting_module("broken", [5, 0])
print(json.dumps({"tensorflow": tf.__version__, "keras": tf.keras.__version__}))
