"""Random small problems for rounded certificates: every loss, penalty and kind, and data that strain the arithmetic."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cvxrelu as cr
from cvxrelu.losses.registry import get_loss

Matrix = NDArray[np.float64]
LOSSES = ("squared", "huber", "logistic", "softmax")
GATED = ("group_l1", "feature_group_l1", "l1", "squared_l2", "nuclear", "none")
DATA = ("plain", "integers", "copies", "float32", "scales", "tiny", "huge", "cancelling", "columns")


@dataclass(frozen=True)
class Case:
    """A certificate to judge: its kind for the counts, and the certificate."""

    kind: str
    data: str
    certificate: cr.Certificate


def rows(rng: np.random.Generator, n: int, d: int, kind: str, limit: int) -> Matrix:
    """Return rows (n, d) of a kind; tiny and huge ones have binary exponents near -+limit."""
    X = rng.standard_normal((n, d))
    if kind == "integers":
        X = np.round(2.0 * X)
    elif kind == "copies":
        X[n // 2 :] = X[: n - n // 2] * rng.choice([1.0, -1.0, 2.0, 1.0 + 1e-15], (n - n // 2, 1))
    elif kind == "float32":
        X = X.astype(np.float32).astype(np.float64)
    elif kind == "scales":
        X *= 10.0 ** rng.integers(-9, 10, (n, 1))
    elif kind in ("tiny", "huge"):
        X *= 2.0 ** (limit if kind == "huge" else -limit)
    elif kind == "cancelling":
        X[:, -1] = X[:, 0] * (1.0 + 1e-15 * rng.standard_normal(n))
    elif kind == "columns":
        X *= 10.0 ** rng.integers(-9, 10, d)
    return X


def targets(rng: np.random.Generator, loss: str, n: int, c: int, scale: float) -> Matrix:
    """Return targets (n, c) that a loss accepts."""
    if loss == "softmax":
        return np.eye(c)[rng.integers(c, size=n)]
    Y = rng.standard_normal((n, c))
    if loss == "logistic":
        return np.where(Y > 0.0, 1.0, -1.0)
    return scale * Y


def random_case(seed: int) -> Case | None:
    """Return the case of a seed; None if the program does not exist (weights that overflow, a zero dual norm)."""
    rng = np.random.default_rng(seed)
    data = str(rng.choice(DATA))
    with np.errstate(all="ignore"):
        return _global(rng, data) if rng.integers(3) == 0 else _patterns(rng, data)


def _patterns(rng: np.random.Generator, data: str) -> Case | None:
    relu = bool(rng.integers(2))
    loss, penalty = (
        str(rng.choice(LOSSES)),
        str(rng.choice([name for name in GATED if not (relu and name == "nuclear")])),
    )
    c = int(rng.integers(2, 4)) if loss == "softmax" else int(rng.integers(1, 3))
    if penalty == "nuclear":
        loss, c = ("squared", 2) if c > 2 else (loss, c)
    n, d = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    X = rows(rng, n, d, data, 500)
    Y = targets(rng, loss, n, c, 2.0 ** rng.choice([0, 0, 30, -30]))
    patterns = cr.ActivationPatterns(_masks(X, rng, int(rng.integers(1, 5))))
    kind = cr.ConvexReLU if relu else cr.ConvexGatedReLU
    problem = kind(X, Y if c > 1 else Y[:, 0], patterns, 1.0, loss, penalty)
    lam_max = problem.lam_max()
    size = lam_max if np.isfinite(lam_max) and lam_max > 0.0 else float(np.abs(X).max() or 1.0)
    problem = problem.with_lam(size * 10.0 ** rng.uniform(-12.0 if rng.integers(4) == 0 else -3.0, 0.0))
    note = ""
    weights: Any = None
    if rng.integers(4) == 0:
        try:
            weights = cr.solve(problem, tol=1e-6, max_iter=200, time_limit=5.0)
        except cr.CertificateError:  # of estimates that contradict each other, which says nothing of rounded bounds
            note = " (solve raised)"
    if weights is None:
        shape = problem.blocks(problem.zero_weights()).shape
        unit = float(np.abs(Y).max()) / max(float(np.abs(X).max()), 1e-300)
        weights = problem.weights(unit * 10.0 ** rng.integers(-16, 3) * rng.standard_normal(shape))
    certificate = cr.certify(problem, weights, rigor="rounded")
    return Case(f"{'relu' if relu else 'gated'} {loss} {penalty}{note}", data, certificate)


def _global(rng: np.random.Generator, data: str) -> Case | None:
    loss = str(rng.choice(LOSSES[:3]))
    n, d = int(rng.integers(2, 8)), int(rng.choice([1, 2, 2, 2, 3]))
    X = rows(rng, n, d, data, 100)
    y = targets(rng, loss, n, 1, 2.0 ** rng.choice([0, 0, 30, -30]))[:, 0]
    gradient = get_loss(loss).gradient(np.zeros((n, 1)), y[:, None])[:, 0]
    size = float(np.abs(gradient) @ np.linalg.norm(X, axis=1))
    if size == 0.0:
        return None
    lam = size * 10.0 ** rng.uniform(-12.0 if rng.integers(6) == 0 else -2.5, 0.0)
    if d < 3 and rng.integers(2):
        solution = cr.solve_global(
            X, y, lam, loss, tol=10.0 ** rng.uniform(-8, -2), n_gates=5, time_limit=5.0, rigor="rounded"
        )
        return Case(f"global {loss} solve_global", data, solution.certificate)
    network = rng.standard_normal((2, d)), None, rng.standard_normal(2)
    solved = d < 3 and bool(rng.integers(2))
    found = cr.certify_network(
        network, X, y, lam, loss, scope="global", solve=solved, n_starts=3, time_limit=5.0, rigor="rounded"
    )
    return Case(f"global {loss} certify_network", data, found.certificate)


def _masks(X: Matrix, rng: np.random.Generator, k: int) -> NDArray[np.bool_]:
    units = X / np.maximum(np.abs(X).max(axis=0), 1e-300)
    masks = np.unique(units @ rng.standard_normal((X.shape[1], k)) >= 0.0, axis=1)
    if not masks.any():
        masks[:] = True
    return np.asarray(masks[:, masks.any(axis=0)])
