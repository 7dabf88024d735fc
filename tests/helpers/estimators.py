"""The estimators and small data for them."""

import numpy as np
import pytest

import cvxrelu as cr

REGRESSORS = [cr.ConvexReLURegressor, cr.GatedReLURegressor]
CLASSIFIERS = [cr.ConvexReLUClassifier, cr.GatedReLUClassifier]
N = 30
each_regressor = pytest.mark.parametrize("kind", REGRESSORS)
each_classifier = pytest.mark.parametrize("kind", CLASSIFIERS)
each_kind = pytest.mark.parametrize("kind", REGRESSORS + CLASSIFIERS)


def draw(kind, outputs=1, seed=0):
    """Return data far from standardised, with repeated rows, numbers or labels, and weights, some of them zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, 3)) * [3.0, 0.1, 1.0] + [5.0, -1.0, 0.0]
    latent = np.abs(X[:, :1] - 5.0) * np.arange(1, outputs + 1) + 20.0 * X[:, 1:2] + rng.standard_normal((N, outputs))
    X[1] = X[0]
    latent[1] = latent[0]
    y = 7.0 * latent + 100.0
    if kind in CLASSIFIERS:
        ranks = np.digitize(latent[:, 0], np.quantile(latent[:, 0], np.arange(1, outputs + 1) / (outputs + 1)))
        y = np.array(["low", "mid", "top"])[ranks]
    elif outputs == 1:
        y = y[:, 0]
    return X, y, rng.integers(0, 4, N).astype(float)
