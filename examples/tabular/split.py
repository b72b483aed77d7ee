"""The data sets that scikit-learn ships, and which of their rows are held out: the same for training and evaluation."""

import hashlib

import numpy
from sklearn import datasets

DATASETS = {
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "iris": datasets.load_iris,
    "diabetes": datasets.load_diabetes,
}
REGRESSION = ("diabetes",)


def split(name):
    """(train_x, train_y, holdout_x, holdout_y): a quarter of every class, or of all rows in a regression, is held out."""
    data = DATASETS[name]()
    x = data.data.astype(numpy.float32)
    regression = name in REGRESSION
    y = data.target.astype(numpy.float32 if regression else numpy.int64)
    groups = [numpy.arange(len(y))] if regression else [numpy.flatnonzero(y == label) for label in numpy.unique(y)]
    held_out = numpy.zeros(len(y), dtype=bool)
    for rows in groups:
        # a fixed shuffle that no library version and no seed can change
        ranked = sorted(rows, key=lambda row: hashlib.sha256(f"{name}/{row}".encode()).hexdigest())
        held_out[ranked[: len(ranked) // 4]] = True
    return x[~held_out], y[~held_out], x[held_out], y[held_out]
