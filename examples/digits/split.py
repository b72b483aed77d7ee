"""Which rows of scikit-learn's handwritten digits are held out: the same rows for training and for evaluation."""

import hashlib

import numpy
from sklearn.datasets import load_digits

HELD_OUT_PER_DIGIT = 45


def _rank(index: int) -> str:
    """A fixed shuffle of the rows that no library version and no seed can change."""
    return hashlib.sha256(f"digits/{index}".encode()).hexdigest()


def split():
    """(train_x, train_y, holdout_x, holdout_y): 1347 and 450 rows; pixels are whole ink levels from 0 to 16."""
    digits = load_digits()
    x = digits.data.astype(numpy.float32)
    y = digits.target.astype(numpy.int64)
    held = []
    for digit in range(10):
        rows = sorted(numpy.flatnonzero(y == digit), key=_rank)
        held.extend(rows[:HELD_OUT_PER_DIGIT])
    held_out = numpy.zeros(len(y), dtype=bool)
    held_out[held] = True
    return x[~held_out], y[~held_out], x[held_out], y[held_out]
