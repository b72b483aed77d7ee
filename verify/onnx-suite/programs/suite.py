"""Writes the cases of ONNX's operator suite that this machine's ONNX Runtime passes, for others to be held against.

    suite.py FOLDER

FOLDER/cases.jsonl has one case a line, FOLDER/NAME.onnx its model, FOLDER/report.json what became of the others.
"""

import base64
import json
import re
import sys
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

KINDS = ["node", "simple", "pytorch-operator", "pytorch-converted"]
DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
}


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    ort.set_default_logger_severity(4)
    report = {"total": 0, "failed": {}, "left": {}}
    with open(folder / "cases.jsonl", "w") as out:
        for kind in KINDS:
            for case in load_model_tests(kind=kind):
                report["total"] += 1
                name = f"{kind}/{case.name}"
                try:
                    written = write(case, folder / f"{kind}-{case.name}.onnx", report, name)
                except Exception as error:  # a case that the library cannot even load is not passed
                    words = str(error).strip()
                    report["failed"][name] = words.splitlines()[0][:300] if words else type(error).__name__
                    continue
                if written:
                    print(json.dumps({"name": name, "file": f"{kind}-{case.name}.onnx", **written}), file=out)
    (folder / "report.json").write_text(json.dumps(report))


def write(case, path: Path, report, name: str):
    """The case's data, when ONNX Runtime passes it and the protocol can carry it."""
    model = case.model if case.model is not None else onnx.load(Path(case.model_dir) / "model.onnx")
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialized]
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    types = [value.type for value in [*session.get_inputs(), *session.get_outputs()]]
    other = sorted({unknown for unknown in map(unfit, types) if unknown})
    if other:
        report["left"].setdefault(", ".join(other), []).append(name)
        return None
    sets = data_sets(case, inputs, model.graph.output)
    if any(value is None for given, expected in sets for value in [*given, *expected]):
        report["left"].setdefault("an optional value that is not there", []).append(name)
        return None
    # its Python binding has no arrays of bfloat16
    python_cannot = "tensor(bfloat16)" in types
    if not python_cannot:
        names = [value.name for value in session.get_inputs()]
        for given, expected in sets:
            answers = session.run(None, dict(zip(names, given)))
            Runner.assert_similar_outputs(expected, answers, case.rtol, case.atol)
    onnx.save(model, path)
    names = ([value.name for value in session.get_inputs()], [value.name for value in session.get_outputs()])
    return {
        "rtol": case.rtol,
        "atol": case.atol,
        "python": not python_cannot,
        "sets": [
            {"inputs": tensors(names[0], given), "outputs": tensors(names[1], expected)} for given, expected in sets
        ],
    }


def unfit(text: str):
    """The type, where the protocol cannot carry it; an optional tensor is carried as one."""
    bare = re.sub(r"^optional\((tensor\(\w+\))\)$", r"\1", text)
    found = re.fullmatch(r"tensor\((\w+)\)", bare)
    return None if found and found.group(1) in DATATYPES else re.sub(r"tensor\(\w+\)", "tensor", bare) if not found else bare


def data_sets(case, inputs, outputs):
    if case.data_sets is not None:
        return [([normal(x) for x in given], [normal(x) for x in expected]) for given, expected in case.data_sets]
    sets = []
    for folder in sorted(Path(case.model_dir).glob("test_data_set*")):
        sets.append(tuple([read(folder / f"{role}_{at}.pb", value.type) for at, value in enumerate(values)]
                          for role, values in (("input", inputs), ("output", outputs))))
    return sets


def normal(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def read(path: Path, kind):
    content = path.read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
    return numpy_helper.to_array(onnx.TensorProto.FromString(content))


def tensors(names, values):
    return [tensor(name, np.asarray(value)) for name, value in zip(names, values, strict=True)]


def tensor(name: str, value: np.ndarray):
    if value.dtype == object or value.dtype.kind in "US":
        parts = [x if isinstance(x, bytes) else str(x).encode() for x in value.flatten().tolist()]
        data = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        datatype = "BYTES"
    else:
        data = np.ascontiguousarray(value).tobytes()
        word = {"float32": "float", "float64": "double"}.get(value.dtype.name, value.dtype.name)
        datatype = "BF16" if value.dtype == ml_dtypes.bfloat16 else DATATYPES[word]
    return {"name": name, "datatype": datatype, "shape": list(value.shape), "data": base64.b64encode(data).decode()}


main(Path(sys.argv[1]))
