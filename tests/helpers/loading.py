"""Networks and data for reading networks of other libraries."""

import warnings

import numpy as np

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3))
W1, B1, W2 = RNG.standard_normal((4, 3)), RNG.standard_normal(4), RNG.standard_normal(4)


def predict(W1, b1, w2, b2):
    return np.maximum(X @ np.asarray(W1).T + b1, 0.0) @ w2 + b2


def fitted(kind, y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few iterations to converge
        return kind(max_iter=5, random_state=0, **options).fit(X, y)
