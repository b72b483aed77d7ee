"""Labels files with magika twice: by itself, and with its model behind Sluice; prints where the two differ.

    labels.py URL KEY ENDPOINT FILE...

magika's own code reads the files and decides on the label; only the inference is asked for over HTTP, as JSON and with
binary tensors.
"""

import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from magika import Magika

AT_ONCE = 16


class Session:
    """Has of an InferenceSession what magika calls."""

    def __init__(self, url: str, key: str, binary: bool):
        self.url, self.key, self.binary = url, key, binary
        self.requests = 0

    def run(self, outputs, feeds):
        ((name, rows),) = feeds.items()
        values = np.asarray(rows, dtype=np.int32)
        tensor = {"name": name, "datatype": "INT32", "shape": list(values.shape)}
        headers = {"authorization": f"Bearer {self.key}"}
        if self.binary:
            tensor["parameters"] = {"binary_data_size": values.nbytes}
        else:
            tensor["data"] = values.flatten().tolist()
        wanted = [{"name": output, "parameters": {"binary_data": self.binary}} for output in outputs]
        body = json.dumps({"inputs": [tensor], "outputs": wanted}).encode()
        if self.binary:
            headers["inference-header-content-length"] = str(len(body))
            body += values.tobytes()
        self.requests += 1
        with urllib.request.urlopen(urllib.request.Request(self.url, body, headers)) as answer:
            content, length = answer.read(), answer.headers.get("inference-header-content-length")
        head = json.loads(content[: int(length)] if length else content)
        (output,) = head["outputs"]
        if self.binary:
            found = np.frombuffer(content[int(length) :], dtype=np.float32)
        else:
            found = np.asarray(output["data"], dtype=np.float32)
        return [found.reshape(output["shape"])]


def label(magika: Magika, path: Path):
    result = magika.identify_path(path)
    return [str(result.dl.label), str(result.output.label), float(result.score)]


def main(url: str, key: str, endpoint: str, *names: str) -> None:
    files = [Path(name) for name in names]
    own = Magika()
    expected = [label(own, path) for path in files]
    report = {"files": len(files), "labels": len({one[1] for one in expected}), "requests": 0, "wrong": []}
    largest = 0.0
    for binary in (False, True):
        served = Magika()
        session = served._onnx_session = Session(f"{url}/v2/models/{endpoint}/infer", key, binary)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda path: label(served, path), files))
        report["requests"] += session.requests
        for path, should, given in zip(files, expected, answers):
            largest = max(largest, abs(should[2] - given[2]))
            if should[:2] != given[:2]:
                report["wrong"].append(f"{path}: {given}, magika itself says {should}")
    print(json.dumps({**report, "largest": largest}))


if __name__ == "__main__":
    if sys.argv[1:] == ["--model"]:
        print(Magika()._model_path)
    else:
        main(*sys.argv[1:])
