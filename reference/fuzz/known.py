"""Problems on which the first release failed, stalled or was slow, one of each kind."""

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

import cvxrelu as cr
from reference.fuzz.cases import Array, Case
from reference.instances.instance import Problem


def _ones(X: Array) -> Array:
    return np.column_stack([X, np.ones(len(X))])


def _houses(program: type[Problem], loss: str | cr.Loss, penalty: str, unit: float = 1.0, lam: float = 0.01) -> Case:
    """Return house prices in dollars or another unit: the targets are 1e5 times as large as the features."""
    rng = np.random.default_rng(0)
    X = _ones(rng.standard_normal((200, 4)))
    y = (2e5 + 1e5 * rng.standard_normal(200)) * unit
    return Case("", program(X, y, cr.sample_patterns(X, 10, seed=0), lam, loss, penalty))


def _rare_class(program: type[Problem]) -> Case:
    """Return a problem with one positive label in 600 and long-tailed columns."""
    rng = np.random.default_rng(0)
    X = _ones(np.exp(rng.normal(size=(600, 10))))
    y = np.full(600, -1.0)
    y[rng.integers(600)] = 1.0
    return Case("", program(X, y, cr.sample_patterns(X, 30, seed=0), 1e-3, "logistic"))


def _heavy_rows(program: type[Problem], ratio: float) -> Case:
    """Return breast cancer with ``ratio`` times the weight on the rows of one class."""
    X, y = load_breast_cancer(return_X_y=True)
    X = _ones((X - X.mean(axis=0)) / X.std(axis=0))
    weights = np.where(y == 1, 1.0, ratio)
    loss = cr.Weighted("logistic", weights)
    problem = program(X, 2.0 * y - 1.0, cr.sample_patterns(X, 20, seed=0), 1e-3, loss)
    return Case("", problem, weights / weights.mean())


def _raw_wine(penalty: str) -> Case:
    X, y = load_wine(return_X_y=True)
    X = _ones(X)
    problem = cr.ConvexGatedReLU(X, np.eye(3)[y], cr.sample_patterns(X, 10, seed=0), 1e-5, "softmax", penalty)
    return Case("", problem)


def _raw_diabetes(
    program: type[Problem], loss: str | cr.Loss, penalty: str, lam: float, gates: int = 10, outlier: float = 1.0
) -> Case:
    X, y = load_diabetes(return_X_y=True, scaled=False)
    X = _ones(X)
    X[7] *= outlier
    return Case("", program(X, y, cr.sample_patterns(X, gates, seed=0), lam, loss, penalty))


def _wild_columns(program: type[Problem], loss: str, penalty: str, lam_ratio: float) -> Case:
    """Return a problem with columns of sizes from 1e-8 to 1e8, with three classes for the softmax loss."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, 6)) * 10.0 ** np.linspace(-8.0, 8.0, 6)
    Y = np.eye(3)[rng.integers(3, size=50)] if loss == "softmax" else rng.standard_normal(50)
    problem = program(X, Y, cr.sample_patterns(X, 10, seed=0), 1.0, loss, penalty)
    return Case("", problem.with_lam(lam_ratio * problem.lam_max()))


def _synthetic(
    program: type[Problem],
    n: int,
    d: int,
    loss: str,
    penalty: str,
    lam_ratio: float,
    gates: int = 20,
    collinear: bool = False,
) -> Case:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d))
    if collinear:
        X = np.column_stack([X, X[:, 0] - 2.0 * X[:, 1], X.sum(axis=1), np.ones(n)])
    score = np.abs(X[:, 0]) - X[:, 1] + 0.2 * rng.standard_normal(n)
    y = np.sign(score) if loss == "logistic" else score
    problem = program(X, y, cr.sample_patterns(X, gates, seed=0), 1.0, loss, penalty)
    return Case("", problem.with_lam(lam_ratio * problem.lam_max()))


def _interpolated() -> Case:
    """Return a problem with an exact fit: its optimal value is zero up to rounding."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((20, 5))
    return Case("", cr.ConvexGatedReLU(X, rng.standard_normal(20), cr.sample_patterns(X, 12, seed=0), 0.0))


def _separable_without_penalty() -> Case:
    """Return a problem whose infimum, zero, is not attained."""
    rng = np.random.default_rng(8)
    y = np.where(np.arange(100) % 2, 1.0, -1.0)
    X = (rng.standard_normal((100, 5)) + 3.0 * y[:, None]).astype(np.float32)
    return Case("", cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 5, seed=0), 0.0, "logistic", "nuclear"))


def _gates_on_rows() -> Case:
    """Return a problem whose gates are orthogonal to rows up to rounding, as the neurons of solved networks are."""
    rng = np.random.default_rng(4)
    X = _ones(rng.standard_normal((60, 3)))
    gates = np.stack([np.linalg.svd(X[rng.choice(60, 3, replace=False)])[2][-1] for _ in range(20)], axis=1)
    y = np.abs(X[:, 0]) - X[:, 1] ** 2
    patterns = cr.ActivationPatterns(X @ gates >= 0.0, gates)
    return Case("", cr.ConvexReLU(X, y, patterns, 1e-3))


_GATED, _RELU = cr.ConvexGatedReLU, cr.ConvexReLU
KNOWN: dict[str, Callable[[], Case]] = {
    "rare class, ReLU": lambda: _rare_class(_RELU),
    "rare class, gated": lambda: _rare_class(_GATED),
    "weights 1:1000, ReLU": lambda: _heavy_rows(_RELU, 1e3),
    "weights 1:10000, gated": lambda: _heavy_rows(_GATED, 1e4),
    "house prices, squared_l2": lambda: _houses(_RELU, "squared", "squared_l2"),
    "house prices, no penalty": lambda: _houses(_RELU, "squared", "none"),
    "house prices, huber, l1": lambda: _houses(_RELU, "huber", "l1"),
    "targets of 1e-8, group_l1": lambda: _houses(_RELU, "squared", "group_l1", 1e-13, 1e-10),
    "raw wine, softmax, squared_l2": lambda: _raw_wine("squared_l2"),
    "raw wine, softmax, group_l1": lambda: _raw_wine("group_l1"),
    "raw diabetes, ridge": lambda: _raw_diabetes(_GATED, "squared", "squared_l2", 1e-3),
    "raw diabetes, ridge, outlier 1e6": lambda: _raw_diabetes(_GATED, "squared", "squared_l2", 1e-3, outlier=1e6),
    "raw diabetes, huber": lambda: _raw_diabetes(_GATED, "huber", "group_l1", 1e-2, gates=8),
    "columns 1e-8 to 1e8, softmax": lambda: _wild_columns(_GATED, "softmax", "group_l1", 1e-4),
    "columns 1e-8 to 1e8, ReLU": lambda: _wild_columns(_RELU, "squared", "group_l1", 1e-3),
    "100 x 10, lam 1e-6, ReLU": lambda: _synthetic(_RELU, 100, 10, "squared", "group_l1", 1e-6),
    "collinear, lam 1e-5, logistic, ReLU": lambda: _synthetic(
        _RELU, 80, 4, "logistic", "group_l1", 1e-5, collinear=True
    ),
    "n < d, huber, l1, ReLU": lambda: _synthetic(_RELU, 20, 40, "huber", "l1", 1e-4),
    "gates on rows": _gates_on_rows,
    "exact fit, lam 0": _interpolated,
    "separable, lam 0, float32": _separable_without_penalty,
}


def known_case(name: str) -> Case:
    """Return one of `KNOWN`."""
    case = KNOWN[name]()
    return Case(name, case.problem, case.row_weights)
