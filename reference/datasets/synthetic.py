"""Synthetic data: the paper's generator, corrected and as published, and degenerate data that are hard for solvers."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ortho_group

Array = NDArray[np.float64]


def paper_classification(
    n: int, d: int, *, kappa: float, hidden: int = 100, seed: int = 951, as_published: bool = False
) -> tuple[Array, Array]:
    """Return rows x ~ N(0, Sigma), (n, d), and labels -1/+1: the sign of a random two-layer ReLU network's output.

    Sigma = Q' diag(kappa, 1, Unif(1, kappa), ...) Q, with Q Haar-distributed, has condition number kappa. The network
    has ``hidden`` neurons and no biases. Its weights are Gaussian, so that on average over seeds neither label is
    favoured; as published they are uniform in [0, 1), and about nine labels in ten are positive.

    Parameters
    ----------
    n, d : int
        Rows and features, d >= 2.
    kappa : float >= 1
        Condition number of the covariance.
    hidden : int
        Number of neurons of the network.
    seed : int
        Seed of all random numbers.
    as_published : bool
        Whether to draw the weights as in the authors' code.

    References
    ----------
    Mishkin, Sahiner & Pilanci, arXiv 2202.01331, appendix on experiments, and the authors' package pyscnn 0.0.10.
    """
    rng = np.random.default_rng(seed)
    draw = rng.random if as_published else rng.standard_normal
    W1, w2 = draw((hidden, d)), draw(hidden)
    Q = ortho_group.rvs(d, random_state=rng)
    eigenvalues = np.concatenate([[kappa, 1.0], rng.uniform(1.0, kappa, d - 2)])
    # The Cholesky factor is unique; a factor from a singular value decomposition depends on the library.
    root = np.linalg.cholesky(Q.T @ (eigenvalues[:, np.newaxis] * Q))
    X = rng.standard_normal((n, d)) @ root.T
    return X, np.where(np.maximum(X @ W1.T, 0.0) @ w2 > 0.0, 1.0, -1.0)


def _smooth(X: Array, rng: np.random.Generator, noise: float = 0.1) -> Array:
    """Return nonlinear targets |x'a| - |x'b|, scaled to unit size, with noise."""
    a, b = rng.standard_normal((2, X.shape[1])) / np.linalg.norm(X, axis=0).max()
    y = np.abs(X @ a) - np.abs(X @ b)
    noisy: Array = y / np.abs(y).max() + noise * rng.standard_normal(len(X))
    return noisy


def _duplicates() -> tuple[Array, Array]:
    """Return each row three times, with contradictory targets."""
    rng = np.random.default_rng(1)
    X = np.repeat(rng.standard_normal((40, 5)), 3, axis=0)
    return X, _smooth(X, rng, noise=0.5)


def _opposites() -> tuple[Array, Array]:
    """Return rows with their opposites, and zero rows: a pattern with both of a pair active is singular."""
    rng = np.random.default_rng(2)
    half = rng.standard_normal((40, 4))
    X = np.vstack([half, -half, np.zeros((4, 4))])
    return X, _smooth(X, rng)


def _wide() -> tuple[Array, Array]:
    """Return data with three times as many features as rows."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((20, 60))
    return X, _smooth(X, rng)


def _collinear() -> tuple[Array, Array]:
    """Return data with linearly dependent columns, a constant column and a zero column: rank 4 of 8."""
    rng = np.random.default_rng(4)
    Z = rng.standard_normal((80, 3))
    X = np.column_stack([Z, Z[:, 0] - 2.0 * Z[:, 1], Z.sum(axis=1), Z[:, 2], np.ones(80), np.zeros(80)])
    return X, _smooth(X, rng)


def _ill_conditioned() -> tuple[Array, Array]:
    """Return data whose singular values fall from 1 to 1e-5 in geometric progression, in random directions."""
    rng = np.random.default_rng(5)
    U, _ = np.linalg.qr(rng.standard_normal((100, 10)))
    V = ortho_group.rvs(10, random_state=rng)
    X = 10.0 * U @ (np.logspace(0, -5, 10)[:, np.newaxis] * V)
    return X, _smooth(X, rng)


def _badly_scaled() -> tuple[Array, Array]:
    """Return features with scales from 2^-12 to 2^12, as with different units."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((100, 7)) * 2.0 ** np.arange(-12, 13, 4)
    return X, _smooth(X, rng)


def _unbalanced() -> tuple[Array, Array]:
    """Return labels of which two in a hundred are positive."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((300, 8))
    score = np.abs(X[:, 0]) + X[:, 1] * X[:, 2] + 0.5 * rng.standard_normal(300)
    return X, np.where(score > np.sort(score)[-7], 1.0, -1.0)


def _separable() -> tuple[Array, Array]:
    """Return two separated clusters: without a penalty the logistic loss has no minimiser."""
    rng = np.random.default_rng(8)
    y = np.where(np.arange(100) % 2, 1.0, -1.0)
    return rng.standard_normal((100, 5)) + 5.0 * y[:, np.newaxis] / np.sqrt(5.0), y


def _one_feature() -> tuple[Array, Array]:
    """Return one feature and a constant, with a sine wave as target."""
    rng = np.random.default_rng(9)
    x = np.sort(rng.uniform(-1.0, 1.0, 200))
    return np.column_stack([x, np.ones(200)]), np.sin(6.0 * x) + 0.1 * rng.standard_normal(200)


def _outliers() -> tuple[Array, Array]:
    """Return data in which one target in twenty is a hundred times too large."""
    rng = np.random.default_rng(10)
    X = rng.standard_normal((120, 6))
    y = _smooth(X, rng)
    y[::20] *= 100.0
    return X, y


def _spiked() -> tuple[Array, Array]:
    """Return data with one row a thousand times longer than the others."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((100, 6))
    X[0] *= 1000.0
    return X, _smooth(X, rng)


_paper = partial(paper_classification, kappa=10.0)
SYNTHETIC: Mapping[str, Callable[[], tuple[Array, Array]]] = {
    "paper_250x50": partial(_paper, 250, 50),
    "paper_250x50_published": partial(_paper, 250, 50, as_published=True),
    "paper_100x10": partial(_paper, 100, 10),
    "paper_100x10_published": partial(_paper, 100, 10, as_published=True),
    "paper_1000x100": partial(_paper, 1000, 100),
    "duplicates": _duplicates,
    "opposites": _opposites,
    "wide": _wide,
    "collinear": _collinear,
    "ill_conditioned": _ill_conditioned,
    "badly_scaled": _badly_scaled,
    "unbalanced": _unbalanced,
    "separable": _separable,
    "one_feature": _one_feature,
    "outliers": _outliers,
    "spiked": _spiked,
}
CLASSES = frozenset({"unbalanced", "separable", *(name for name in SYNTHETIC if name.startswith("paper"))})
