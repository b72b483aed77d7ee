"""Trains small models, saves each as its library does, and writes down what Python itself answers.

    python python_models.py FOLDER

makes FOLDER/NAME/model, which is what is uploaded, and FOLDER/NAME/cases.json: a list of {"inputs", "asked", "outputs"},
the tensors as JSON text of the protocol, "asked" the outputs to ask for by name, or null.
"""

import json
import os
import sys

import joblib
import mlflow
import numpy as np
import pandas as pd
import pydantic
import skops
import sklearn
import xgboost
from mlflow.models import infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import Array, DataType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

DATATYPES = {"?": "BOOL", "i": "INT32", "l": "INT64", "f": "FP32", "d": "FP64", "B": "UINT8", "O": "BYTES"}
LEAN = [
    f"mlflow-skinny=={mlflow.__version__}",
    f"scikit-learn=={sklearn.__version__}",
    f"xgboost-cpu=={xgboost.__version__}",
    f"skops=={skops.__version__}",
    f"pandas=={pd.__version__}",
    f"numpy=={np.__version__}",
]
ROWS = 400
SINGLE = 60


def main(folder):
    random = np.random.default_rng(11)
    table = random.normal(size=(ROWS, 4))
    labels = (table[:, 0] + table[:, 1] ** 2 > 0.5).astype(np.int64)
    for name, make in MODELS.items():
        make(Work(os.path.join(folder, name)), table, labels)


class Work:
    """One model's folder."""

    def __init__(self, folder):
        self.folder = folder
        self.model = os.path.join(folder, "model")
        os.makedirs(folder)

    def plain(self):
        os.makedirs(self.model)
        with open(os.path.join(self.model, "requirements.txt"), "w") as file:
            file.write("\n".join(LEAN))
        return self.model

    def cases(self, cases):
        with open(os.path.join(self.folder, "cases.json"), "w") as file:
            json.dump(cases, file)


def tensor(name, array):
    array = np.asarray(array)
    if array.dtype.kind in "OUST":
        data = [each.decode() if isinstance(each, bytes) else each for each in array.reshape(-1).tolist()]
        return {"name": name, "datatype": "BYTES", "shape": list(array.shape), "data": data}
    return {
        "name": name,
        "datatype": DATATYPES[array.dtype.char],
        "shape": list(array.shape),
        "data": array.reshape(-1).tolist(),
    }


def slices():
    """Single rows, and batches with the rest."""
    return [slice(at, at + 1) for at in range(SINGLE)] + [slice(SINGLE, 200), slice(200, ROWS)]


def by_column(frame):
    return [tensor(name, frame[name].to_numpy()) for name in frame.columns]


def case(inputs, outputs, asked=None):
    return {"inputs": json.dumps(inputs), "asked": asked, "outputs": json.dumps(outputs)}


def mlflow_columns(work, table, labels):
    """As MLflow has it when nobody says otherwise: signature by example, its own requirements."""
    frame = pd.DataFrame(table, columns=["a", "b", "c", "d"]).assign(n=np.arange(ROWS))
    model = make_pipeline(StandardScaler(), Ridge()).fit(frame, table.sum(axis=1))
    mlflow.sklearn.save_model(model, work.model, signature=infer_signature(frame, model.predict(frame)))
    own = mlflow.pyfunc.load_model(work.model)
    cases = [case(by_column(frame[each]), [tensor("output-0", own.predict(frame[each]))]) for each in slices()]
    # the same rows as one tensor
    whole = frame.astype(float).to_numpy()
    cases += [case([tensor("rows", whole[each])], [tensor("output-0", own.predict(frame[each]))]) for each in slices()]
    work.cases(cases)


def mlflow_tensor(work, table, labels):
    model = LogisticRegression().fit(table, labels)
    signature = infer_signature(table, model.predict(table))
    mlflow.sklearn.save_model(model, work.model, signature=signature, pip_requirements=LEAN)
    own = mlflow.pyfunc.load_model(work.model)
    work.cases([case([tensor("x", table[each])], [tensor("output-0", own.predict(table[each]))]) for each in slices()])


def mlflow_without_signature(work, table, labels):
    model = LogisticRegression().fit(table, labels)
    mlflow.sklearn.save_model(model, work.model, pip_requirements=LEAN)
    own = mlflow.pyfunc.load_model(work.model)
    work.cases([case([tensor("x", table[each])], [tensor("output-0", own.predict(table[each]))]) for each in slices()])


def mlflow_xgboost(work, table, labels):
    frame = pd.DataFrame(table.astype(np.float32), columns=["a", "b", "c", "d"])
    model = xgboost.XGBClassifier(n_estimators=20, random_state=1).fit(frame, labels)
    signature = infer_signature(frame, model.predict(frame))
    mlflow.xgboost.save_model(model, work.model, signature=signature, pip_requirements=LEAN)
    own = mlflow.pyfunc.load_model(work.model)
    work.cases([case(by_column(frame[each]), [tensor("output-0", own.predict(frame[each]))]) for each in slices()])


class Words(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        text = model_input["text"]
        return pd.DataFrame({
            "shout": text.str.upper() + "!" * self.marks,
            "length": text.str.len().astype("int64"),
            "score": model_input["weight"] * text.str.len(),
        })

    marks = 2


def mlflow_strings(work, table, labels):
    words = ["plain", "Zähler", "日本", "😀 smile", "", "tab\there", 'quote"s']
    frame = pd.DataFrame({"text": [words[at % len(words)] for at in range(ROWS)], "weight": table[:, 0]})
    signature = infer_signature(frame, Words().predict(None, frame))
    mlflow.pyfunc.save_model(work.model, python_model=Words(), signature=signature, pip_requirements=LEAN)
    own = mlflow.pyfunc.load_model(work.model)
    work.cases([case(by_column(frame[each]), by_column(own.predict(frame[each]))) for each in slices()])


class Kinds(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        note = model_input["note"].str.upper() if "note" in model_input else ["-"] * len(model_input)
        return pd.DataFrame({
            "flag": ~model_input["flag"],
            "small": model_input["small"] + np.int32(1),
            "half": model_input["half"] / np.float32(2),
            "later": model_input["when"] + pd.Timedelta(hours=36),
            "bytes": [each[::-1] for each in model_input["bytes"]],
            "sums": [sum(each) for each in model_input["list"]],
            "note": note,
        })


def mlflow_kinds(work, table, labels):
    """Every type of column; one of them may be left out."""
    frame = pd.DataFrame({
        "flag": labels == 1,
        "small": np.arange(ROWS, dtype=np.int32),
        "half": table[:, 0].astype(np.float32),
        "when": pd.Timestamp("2026-01-31T12:30") + pd.to_timedelta(np.arange(ROWS), unit="h"),
        "bytes": [f"row-{at}".encode() for at in range(ROWS)],
        "list": [[at, at + 1] for at in range(ROWS)],
        "note": ["é"] * ROWS,
    })
    types = {"flag": "boolean", "small": "integer", "half": "float", "when": "datetime", "bytes": "binary"}
    schema = Schema([
        *(ColSpec(kind, name) for name, kind in types.items()),
        ColSpec(Array(DataType.long), "list"),
        ColSpec("string", "note", required=False),
    ])
    signature = mlflow.models.ModelSignature(inputs=schema)
    mlflow.pyfunc.save_model(work.model, python_model=Kinds(), signature=signature, pip_requirements=LEAN)
    own = mlflow.pyfunc.load_model(work.model)
    cases = []
    for names in (list(frame.columns), list(frame.columns)[:-1]):
        for each in slices():
            rows = frame.loc[each.start : each.stop - 1, names]
            sent = rows.assign(when=rows["when"].map(pd.Timestamp.isoformat), list=rows["list"].map(json.dumps))
            got = own.predict(rows)
            got = got.assign(later=got["later"].map(pd.Timestamp.isoformat))
            cases.append(case(by_column(sent), by_column(got)))
    work.cases(cases)


class Point(pydantic.BaseModel):
    name: str
    at: list[int]


class Hinted(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[Point]) -> list[str]:
        return [f"{point.name}@{sum(point.at)}" for point in model_input]


def mlflow_objects(work, table, labels):
    """The signature comes from type hints."""
    mlflow.pyfunc.save_model(work.model, python_model=Hinted(), pip_requirements=LEAN)
    own = mlflow.pyfunc.load_model(work.model)
    points = [{"name": f"p{at}", "at": [at, -1]} for at in range(ROWS)]
    cases = []
    for each in slices():
        texts = [json.dumps(point) for point in points[each]]
        cases.append(case([tensor("input-0", texts)], [tensor("output-0", own.predict(points[each]))]))
    work.cases(cases)


class Named(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        left, right = model_input["left"], model_input["right"]
        return {"product": left @ right, "larger": left.sum(axis=1) > right.sum()}


def mlflow_named_tensors(work, table, labels):
    signature = mlflow.models.ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("f4"), (-1, 4), "left"), TensorSpec(np.dtype("f4"), (4, 2), "right")]),
        outputs=Schema([TensorSpec(np.dtype("f4"), (-1, 2), "product"), TensorSpec(np.dtype("?"), (-1,), "larger")]),
    )
    mlflow.pyfunc.save_model(work.model, python_model=Named(), signature=signature, pip_requirements=LEAN)
    own = mlflow.pyfunc.load_model(work.model)
    left, right = table.astype(np.float32), table[:4, :2].astype(np.float32)
    cases = []
    for each in slices():
        inputs = {"left": left[each], "right": right}
        outputs = own.predict(inputs)
        cases.append(
            case([tensor(*item) for item in inputs.items()], [tensor(*item) for item in outputs.items()])
        )
    work.cases(cases)


def sklearn_joblib(work, table, labels):
    model = RandomForestClassifier(20, random_state=1, n_jobs=-1).fit(table, np.array(["no", "yes"])[labels])
    joblib.dump(model, os.path.join(work.plain(), "model.joblib"))
    # threads add numbers up in any order; the runtime uses one
    model.set_params(n_jobs=1)
    work.cases(estimator_cases(model, table))


def sklearn_pickle_of_columns(work, table, labels):
    frame = pd.DataFrame({"size": table[:, 0], "color": np.array(["red", "green", "blue"])[np.arange(ROWS) % 3]})
    columns = ColumnTransformer([("number", StandardScaler(), ["size"]), ("word", OneHotEncoder(), ["color"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, labels)
    joblib.dump(model, os.path.join(work.plain(), "model.pkl"))
    work.cases([case(by_column(frame[each]), [tensor("predict", model.predict(frame[each]))]) for each in slices()])


def sklearn_texts(work, table, labels):
    words = np.array(["good fine great", "bad poor awful", "fine but poor", "日本 good"], dtype=object)
    texts = words[np.arange(ROWS) % 4]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, np.arange(ROWS) % 4 == 0)
    joblib.dump(model, os.path.join(work.plain(), "model.joblib"))
    work.cases([case([tensor("text", texts[each])], [tensor("predict", model.predict(texts[each]))]) for each in slices()])


def xgboost_booster(work, table, labels):
    rows = table.astype(np.float32)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(rows, labels), 20)
    booster.save_model(os.path.join(work.plain(), "model.json"))
    predict = lambda each: booster.predict(xgboost.DMatrix(rows[each]))
    work.cases([case([tensor("x", rows[each])], [tensor("predict", predict(each))]) for each in slices()])


def xgboost_classifier(work, table, labels):
    rows = table.astype(np.float32)
    model = xgboost.XGBClassifier(n_estimators=20, random_state=1, n_jobs=1).fit(rows, labels)
    model.save_model(os.path.join(work.plain(), "model.ubj"))
    work.cases(estimator_cases(model, rows))


def estimator_cases(model, table):
    cases = [case([tensor("x", table[each])], [tensor("predict", model.predict(table[each]))]) for each in slices()]
    both = ["predict_proba", "predict"]
    for each in slices():
        outputs = [tensor(name, getattr(model, name)(table[each])) for name in both]
        cases.append(case([tensor("x", table[each])], outputs, both))
    return cases


MODELS = {
    "mlflow-sklearn-columns": mlflow_columns,
    "mlflow-sklearn-tensor": mlflow_tensor,
    "mlflow-no-signature": mlflow_without_signature,
    "mlflow-xgboost": mlflow_xgboost,
    "mlflow-strings": mlflow_strings,
    "mlflow-kinds": mlflow_kinds,
    "mlflow-objects": mlflow_objects,
    "mlflow-named-tensors": mlflow_named_tensors,
    "sklearn-joblib": sklearn_joblib,
    "sklearn-columns": sklearn_pickle_of_columns,
    "sklearn-texts": sklearn_texts,
    "xgboost-booster": xgboost_booster,
    "xgboost-classifier": xgboost_classifier,
}

if __name__ == "__main__":
    main(sys.argv[1])
