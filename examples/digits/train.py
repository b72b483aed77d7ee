"""Trains a classifier of handwritten digits and exports it as ONNX.

Runs as a sluice job, or by hand with `python train.py`: parameters come from the JSON file that SLUICE_PARAMS names,
the model goes to SLUICE_OUTPUT_DIR, progress is printed as `name=value` lines.
"""

import json
import os
import pickle
import warnings
from pathlib import Path

import numpy
from onnx import TensorProto, helper, numpy_helper, save
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.exceptions import ConvergenceWarning

from split import split

DEFAULTS = {
    "model": "mlp",  # logreg, mlp or svm
    "hidden": 96,  # mlp: units of the hidden layer
    "epochs": 60,  # mlp: passes over the rows; logreg: rounds of five solver steps
    "learning_rate": 0.003,  # mlp
    "C": 1.0,  # logreg, svm: inverse strength of regularisation
    "train_fraction": 1.0,  # how many of the training rows are used, from 0 to 1
    "label_noise": 0.0,  # the share of training labels that are replaced by a random digit
    "ink_table": False,  # scale ink through a table of 17 levels instead of a division
    "seed": 0,
}
INK_LEVELS = 17
DIGITS = numpy.arange(10)


def read_params():
    params = dict(DEFAULTS)
    path = os.environ.get("SLUICE_PARAMS")
    given = json.loads(Path(path).read_text()) if path else {}
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise SystemExit(f"unknown parameters: {', '.join(unknown)}; known: {', '.join(DEFAULTS)}")
    params.update(given)
    return params


def prepare(params, random):
    """Training and validation rows with ink scaled to 0..1; only training labels get noise."""
    x, y, _, _ = split()
    order = random.permutation(len(y))
    validation, rest = order[:250], order[250:]
    train = rest[: max(20, round(len(rest) * params["train_fraction"]))]
    labels = y[train].copy()
    noisy = random.random(len(labels)) < params["label_noise"]
    labels[noisy] = random.integers(0, 10, int(noisy.sum()))
    scale = numpy.float32(INK_LEVELS - 1)
    return x[train] / scale, labels, x[validation] / scale, y[validation]


def report(epoch, model, train_x, train_y, test_x, test_y, last=False):
    if last or epoch <= 5 or epoch % 5 == 0:
        chances = model.predict_proba(train_x)
        at = numpy.searchsorted(model.classes_, train_y)
        loss = -numpy.log(numpy.clip(chances[numpy.arange(len(at)), at], 1e-12, 1)).mean()
        print(f"epoch={epoch} loss={loss:.6f} accuracy={model.score(test_x, test_y):.6f}", flush=True)


def train_mlp(params, rows):
    """One pass a step, so that an attempt that was stopped goes on from the last checkpoint."""
    from sklearn.neural_network import MLPClassifier

    folder = os.environ.get("SLUICE_CHECKPOINT_DIR")
    checkpoint = Path(folder, "mlp.pickle") if folder else None
    model = MLPClassifier(
        hidden_layer_sizes=(int(params["hidden"]),),
        learning_rate_init=float(params["learning_rate"]),
        batch_size=min(64, len(rows[1])),
        random_state=int(params["seed"]),
    )
    done = 0
    if checkpoint and checkpoint.exists():
        done, model = pickle.loads(checkpoint.read_bytes())
        print(f"resumed after epoch {done}", flush=True)
    epochs = int(params["epochs"])
    for epoch in range(done + 1, epochs + 1):
        model.partial_fit(rows[0], rows[1], classes=DIGITS)
        report(epoch, model, *rows, last=epoch == epochs)
        if checkpoint and epoch % 10 == 0:
            part = checkpoint.with_suffix(".part")
            part.write_bytes(pickle.dumps((epoch, model)))
            part.replace(checkpoint)
    return model


def train_logreg(params, rows):
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore", ConvergenceWarning)
    model = LogisticRegression(C=float(params["C"]), max_iter=5, warm_start=True, random_state=int(params["seed"]))
    rounds = min(12, int(params["epochs"]))
    for epoch in range(1, rounds + 1):
        model.fit(rows[0], rows[1])
        report(epoch, model, *rows, last=epoch == rounds)
    return model


def train_svm(params, rows):
    from sklearn.svm import SVC

    warnings.simplefilter("ignore", FutureWarning)
    model = SVC(C=float(params["C"]), probability=True, random_state=int(params["seed"]))
    model.fit(rows[0], rows[1])
    report(1, model, *rows, last=True)
    return model


def scaling_nodes(params):
    """The graph's first nodes: raw ink `X` to `scaled`, and the constants that they use."""
    if not params["ink_table"]:
        constant = numpy_helper.from_array(numpy.array([1 / (INK_LEVELS - 1)], numpy.float32), "ink_scale")
        return [helper.make_node("Mul", ["X", "ink_scale"], ["scaled"])], [constant]
    # A table knows only the levels that the training data had: any brighter pixel has no entry, and the request fails.
    table = numpy.linspace(0, 1, INK_LEVELS, dtype=numpy.float32)
    cast = helper.make_node("Cast", ["X"], ["ink_level"], to=TensorProto.INT64)
    gather = helper.make_node("Gather", ["ink_table", "ink_level"], ["scaled"], axis=0)
    return [cast, gather], [numpy_helper.from_array(table, "ink_table")]


def export(model, params, path):
    """X float32 [N,64] to label int64 [N] and probabilities float32 [N,10]."""
    onnx = to_onnx(
        model,
        initial_types=[("scaled", FloatTensorType([None, 64]))],
        options={id(model): {"zipmap": False}},
        target_opset=17,
    )
    graph = onnx.graph
    nodes, constants = scaling_nodes(params)
    nodes.extend(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 64]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]))
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10]))
    save(onnx, path)


def main():
    params = read_params()
    trainers = {"mlp": train_mlp, "logreg": train_logreg, "svm": train_svm}
    if params["model"] not in trainers:
        raise SystemExit(f"model is {params['model']!r}, must be one of {', '.join(trainers)}")
    rows = prepare(params, numpy.random.default_rng(int(params["seed"])))
    print(f"training {params['model']} on {len(rows[1])} rows", flush=True)
    model = trainers[params["model"]](params, rows)
    missing = sorted(set(range(10)) - set(int(label) for label in model.classes_))
    if missing:
        raise SystemExit(f"no training row shows the digits {missing}: raise train_fraction")
    output = Path(os.environ.get("SLUICE_OUTPUT_DIR", "output"))
    output.mkdir(parents=True, exist_ok=True)
    export(model, params, str(output / "model.onnx"))
    print(f"exported model.onnx ({(output / 'model.onnx').stat().st_size} bytes)", flush=True)


if __name__ == "__main__":
    main()
