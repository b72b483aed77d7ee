"""Which kind of model a folder holds, by the names of its files, and its loader."""

import importlib
import os
import sys

SKLEARN_FILES = ("model.joblib", "model.pkl", "model.pickle")
XGBOOST_FILES = ("model.json", "model.ubj", "model.bst")
# first come, first served: an MLflow folder may hold any of the others
KINDS = (
    (("MLmodel",), "mlflow_model"),
    (("model.py",), "class_model"),
    (SKLEARN_FILES, "sklearn_model"),
    (XGBOOST_FILES, "xgboost_model"),
)


def load(path, threads):
    """Loads the model in the folder `path`, for so many threads of computation."""
    if not os.path.isdir(path):
        raise FileNotFoundError(f"the model is no folder: {path}")
    for files, module in KINDS:
        for name in files:
            file = os.path.join(path, name)
            if not os.path.isfile(file):
                continue
            # the model's own modules and relative paths
            sys.path.insert(0, path)
            os.chdir(path)
            return importlib.import_module(f".{module}", __package__).load(file, threads)
    raise FileNotFoundError(f"none of {', '.join(name for files, _ in KINDS for name in files)} is in the model's folder")
