"""Random problems from integer seeds: generators of data, losses, penalties, and lam down to 1e-8 of lam_max."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import cvxrelu as cr
from reference.instances.instance import Problem

Array = NDArray[np.float64]
LOSSES = ("squared", "huber", "logistic", "softmax")
GATED_PENALTIES = ("group_l1", "l1", "feature_group_l1", "squared_l2", "nuclear", "none")
RELU_PENALTIES = tuple(name for name in GATED_PENALTIES if name != "nuclear")
_EXPONENTS = (-8.0, -0.3)  # of lam over lam_max


@dataclass(frozen=True, eq=False)
class Case:
    """A problem and its row weights (n,), None for equal weights."""

    name: str
    problem: Problem
    row_weights: Array | None = None


def _normal(rng: np.random.Generator) -> Array:
    return rng.standard_normal((int(rng.integers(3, 80)), int(rng.integers(1, 9))))


def _long_tailed(rng: np.random.Generator) -> Array:
    return np.exp(1.5 * _normal(rng))


def _wide(rng: np.random.Generator) -> Array:
    n = int(rng.integers(2, 16))
    return rng.standard_normal((n, int(rng.integers(n + 1, 4 * n + 8))))


def _bad_columns(rng: np.random.Generator) -> Array:
    X = _normal(rng)
    return np.asarray(X * 10.0 ** rng.uniform(-8.0, 8.0, X.shape[1]))


def _tiny_or_huge(rng: np.random.Generator) -> Array:
    return np.asarray(_normal(rng) * 10.0 ** float(rng.uniform(-8.0, 8.0)))


def _outlying_row(rng: np.random.Generator) -> Array:
    X = _normal(rng)
    X[rng.integers(len(X))] *= 10.0 ** float(rng.uniform(2.0, 6.0))
    return X


def _repeated(rng: np.random.Generator) -> Array:
    """Return data with duplicate, opposite, parallel and zero rows."""
    X = _normal(rng)[:20]
    return np.vstack([X, X[::2], -X[::3], 2.5 * X[::4], np.zeros((2, X.shape[1]))])


def _collinear(rng: np.random.Generator) -> Array:
    X = _normal(rng)
    return np.column_stack([X, X[:, 0], X.sum(axis=1), np.zeros(len(X))])


def _ill_conditioned(rng: np.random.Generator) -> Array:
    n, d = int(rng.integers(10, 60)), int(rng.integers(3, 9))
    U = np.linalg.qr(rng.standard_normal((n, d)))[0]
    V = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return np.asarray(np.sqrt(n) * (U * np.logspace(0, float(rng.uniform(-9, -2)), d)) @ V.T)


def _integers(rng: np.random.Generator) -> Array:
    return rng.integers(-2, 3, size=(int(rng.integers(5, 60)), int(rng.integers(2, 7)))).astype(float)


def _units(rng: np.random.Generator) -> Array:
    """Return columns in typical units: a year, a price, a fraction, a count, a flag."""
    n = int(rng.integers(20, 80))
    return np.column_stack(
        [
            rng.integers(1900, 2026, n),
            2e5 + 1e5 * rng.standard_normal(n),
            rng.random(n),
            rng.poisson(30, n),
            rng.random(n) > 0.5,
        ]
    ).astype(float)


DATA: dict[str, Callable[[np.random.Generator], Array]] = {
    "normal": _normal,
    "long_tailed": _long_tailed,
    "wide": _wide,
    "bad_columns": _bad_columns,
    "tiny_or_huge": _tiny_or_huge,
    "outlying_row": _outlying_row,
    "repeated": _repeated,
    "collinear": _collinear,
    "ill_conditioned": _ill_conditioned,
    "integers": _integers,
    "units": _units,
}


def random_case(seed: int) -> Case:
    """Return the case of a seed, the same on every machine up to the rounding of lam_max."""
    rng = np.random.default_rng([17, seed])
    data = str(rng.choice(list(DATA)))
    X = DATA[data](rng)
    if rng.random() < 0.6:
        X = np.column_stack([X, np.ones(len(X))])
    relu = bool(rng.random() < 0.5)
    loss = str(rng.choice(LOSSES))
    penalty = str(rng.choice(RELU_PENALTIES if relu else GATED_PENALTIES))
    Y = _targets(rng, loss, X)
    loss_object, row_weights = _loss(rng, loss, Y)
    patterns = _patterns(X, int(rng.integers(1, 16)), seed)
    dtype = np.float32 if rng.random() < 0.1 and np.abs(X).max() < 1e6 else np.float64
    problem = (cr.ConvexReLU if relu else cr.ConvexGatedReLU)(
        X.astype(dtype), Y, patterns, lam=1.0, loss=loss_object, penalty=penalty
    )
    exponent = float(rng.uniform(*_EXPONENTS))
    problem = problem.with_lam(0.0 if penalty == "none" else 10.0**exponent * _lam_scale(problem))
    kind = "relu" if relu else "gated"
    name = f"{seed}/{data}/{kind}/{loss}{'_weighted' if row_weights is not None else ''}/{penalty}/1e{exponent:.1f}"
    return Case(name, problem, row_weights)


def _patterns(X: Array, n_gates: int, seed: int) -> cr.ActivationPatterns:
    """Return sampled patterns, or the pattern of all rows if every sampled gate is inactive on all rows."""
    try:
        return cr.sample_patterns(X, n_gates, seed=seed)
    except ValueError:
        return cr.ActivationPatterns(np.ones((len(X), 1), dtype=bool))


def _targets(rng: np.random.Generator, loss: str, X: Array) -> Array:
    n, c = len(X), int(rng.choice([1, 1, 1, 3]))
    Z = X / np.maximum(np.abs(X).max(axis=0), np.finfo(float).tiny)
    score: Array = np.abs(Z @ rng.standard_normal((Z.shape[1], c))) + 0.3 * rng.standard_normal((n, c))
    if loss in ("squared", "huber"):
        score = score * float(rng.choice([1.0, 1.0, 10.0 ** rng.uniform(-8.0, 8.0)])) + float(rng.choice([0.0, 2.0]))
        return score if c > 1 else score[:, 0]
    rare = float(rng.choice([0.5, 0.5, 1.0 / n]))  # the fraction of the smaller class
    if loss == "logistic":
        labels: Array = np.where(score > np.quantile(score, 1.0 - rare, axis=0, method="lower"), 1.0, -1.0)
        return labels if c > 1 else labels[:, 0]
    k = max(c, 2)
    classes = np.argsort(np.argsort(score[:, 0] + 0.1 * rng.standard_normal(n))) * k // n
    if rare < 0.5:
        classes = np.where(np.arange(n) < k - 1, np.arange(n) + 1, 0)
    return np.asarray(np.eye(k)[np.minimum(classes, k - 1)])


def _loss(rng: np.random.Generator, loss: str, Y: Array) -> tuple[cr.Loss, Array | None]:
    delta = float(10.0 ** rng.uniform(-3.0, 0.5)) * max(float(np.std(Y)), float(np.finfo(float).tiny))
    loss_object = cr.Huber(delta) if loss == "huber" else _named(loss)
    if loss == "squared" or rng.random() < 0.75:
        return loss_object, None
    weights = 10.0 ** rng.uniform(0.0, float(rng.choice([1.0, 4.0])), len(Y))
    weighted = cr.Weighted(loss_object, weights)
    return weighted, np.asarray(weights / weights.mean())


def _named(loss: str) -> cr.Loss:
    return {"squared": cr.Squared(), "logistic": cr.Logistic(), "softmax": cr.SoftmaxCrossEntropy()}[loss]


def _lam_scale(problem: Problem) -> float:
    """Return lam_max, or that of the group norm if the penalty has none."""
    lam_max = problem.lam_max()
    if not 0.0 < lam_max < np.inf:
        norm = type(problem)(problem.X, problem.y, problem.patterns, lam=1.0, loss=problem.loss, penalty="group_l1")
        lam_max = norm.lam_max() ** (2 if problem.penalty.name == "squared_l2" else 1)
    return lam_max if 0.0 < lam_max < np.inf else 1.0
