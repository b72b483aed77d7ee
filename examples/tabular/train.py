"""Trains a classifier or a regression on a table that scikit-learn ships and exports it as ONNX.

Runs as a sluice job, or by hand with `python train.py`: parameters come from the JSON file that SLUICE_PARAMS names,
the model goes to SLUICE_OUTPUT_DIR, progress is printed as `name=value` lines.
"""

import json
import os
from pathlib import Path

import numpy
from onnx import TensorProto, helper, save
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from split import DATASETS, REGRESSION, split

DEFAULTS = {
    "dataset": "breast_cancer",  # breast_cancer, wine, iris or diabetes
    "model": "linear",  # linear, forest or boosting
    "strength": 1.0,  # linear: C of a classifier, alpha of a regression
    "trees": 60,  # forest, boosting
    "depth": 4,  # forest, boosting: how deep a tree may be
    "learning_rate": 0.1,  # boosting
    "seed": 0,
}


def read_params():
    params = dict(DEFAULTS)
    path = os.environ.get("SLUICE_PARAMS")
    given = json.loads(Path(path).read_text()) if path else {}
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise SystemExit(f"unknown parameters: {', '.join(unknown)}; known: {', '.join(DEFAULTS)}")
    params.update(given)
    for name, known in {"dataset": DATASETS, "model": ("linear", "forest", "boosting")}.items():
        if params[name] not in known:
            raise SystemExit(f"{name} is {params[name]!r}, must be one of {', '.join(known)}")
    return params


def estimator(params, regression):
    seed, trees, depth = int(params["seed"]), int(params["trees"]), int(params["depth"])
    if params["model"] == "linear":
        from sklearn.linear_model import LogisticRegression, Ridge

        strength = float(params["strength"])
        return Ridge(alpha=strength) if regression else LogisticRegression(C=strength, max_iter=500)
    from sklearn import ensemble

    kind = "Regressor" if regression else "Classifier"
    if params["model"] == "forest":
        build = getattr(ensemble, f"RandomForest{kind}")
        return build(n_estimators=trees, max_depth=depth, random_state=seed)
    build = getattr(ensemble, f"GradientBoosting{kind}")
    rate = float(params["learning_rate"])
    return build(n_estimators=trees, max_depth=depth, learning_rate=rate, random_state=seed)


def scores(model, x, y, regression):
    answers = model.predict(x)
    if regression:
        return {"r2": r2_score(y, answers), "mae": mean_absolute_error(y, answers)}
    return {"accuracy": float((answers == y).mean())}


def fold_reports(params, x, y, regression):
    """Five folds, each reported when it is done; the last line is their mean."""
    folds = numpy.random.default_rng(int(params["seed"])).permutation(len(y)) % 5
    seen = []
    for fold in range(5):
        model = make_pipeline(StandardScaler(), estimator(params, regression))
        model.fit(x[folds != fold], y[folds != fold])
        seen.append(scores(model, x[folds == fold], y[folds == fold], regression))
        values = " ".join(f"fold_{name}={value:.6f}" for name, value in seen[-1].items())
        print(f"step={fold + 1} {values}", flush=True)
    means = {name: numpy.mean([one[name] for one in seen]) for name in seen[0]}
    print(f"step=5 {' '.join(f'{name}={value:.6f}' for name, value in means.items())}", flush=True)


def export(model, features, classes, path):
    """X float32 [N,F] to label int64 [N] and probabilities float32 [N,K], or to value float32 [N,1]."""
    options = {id(model): {"zipmap": False}} if classes else None
    types = [("X", FloatTensorType([None, features]))]
    onnx = to_onnx(model, initial_types=types, options=options, target_opset=17)
    graph = onnx.graph
    for node in graph.node:
        for at, output in enumerate(node.output):
            if not classes and output == graph.output[0].name:
                node.output[at] = "value"
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", features]))
    del graph.output[:]
    if classes:
        graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]))
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes]))
    else:
        graph.output.append(helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N", 1]))
    save(onnx, path)


def main():
    params = read_params()
    regression = params["dataset"] in REGRESSION
    x, y, _, _ = split(params["dataset"])
    print(f"training {params['model']} on {len(y)} rows of {params['dataset']}", flush=True)
    fold_reports(params, x, y, regression)
    model = make_pipeline(StandardScaler(), estimator(params, regression))
    model.fit(x, y)
    output = Path(os.environ.get("SLUICE_OUTPUT_DIR", "output"))
    output.mkdir(parents=True, exist_ok=True)
    export(model, x.shape[1], 0 if regression else len(numpy.unique(y)), str(output / "model.onnx"))
    print(f"exported model.onnx ({(output / 'model.onnx').stat().st_size} bytes)", flush=True)


if __name__ == "__main__":
    main()
