"""Programs, their notation, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Conjugate: TypeAlias = tuple[cp.Expression, list[cp.Constraint]]
"""A conjugate function: its value, and the constraints of its domain."""


@dataclass(frozen=True, eq=False)
class Program:
    """A CVXPY problem; subclasses name its variables."""

    problem: cp.Problem

    @property
    def value(self) -> float:
        """The optimal value, once ``problem.solve()`` has been called."""
        if self.problem.value is None:
            raise RuntimeError("the program has no value yet: call .problem.solve() first")
        return float(self.problem.value)


def weights_of(blocks: Sequence[cp.Expression]) -> Array:
    """Return the values of P matrices (d, c) as one array (c, P, d)."""
    return np.stack([np.asarray(B.value, dtype=float).T for B in blocks], axis=1)


def columns(Y: ArrayLike) -> Array:
    """Return Y (n, c) unchanged, y (n,) as one column (n, 1)."""
    Y = np.asarray(Y, dtype=float)
    return Y[:, np.newaxis] if Y.ndim == 1 else Y


def total(terms: Iterable[cp.Expression]) -> cp.Expression:
    """Return the sum of CVXPY expressions of one shape."""
    first, *others = terms
    for term in others:
        first = first + term
    return first


def diagonal(D: ArrayLike, i: int) -> Array:
    """D_i = diag(D[:, i]) (n, n)."""
    return np.diag(np.asarray(D, dtype=float)[:, i])


def signed_rows(X: Array, D: ArrayLike, i: int) -> Array:
    """Xt_i = (2 D_i - I) X (n, d): K_i = {w : Xt_i w >= 0}."""
    return (2 * diagonal(D, i) - np.eye(len(X))) @ X


def check(X: ArrayLike, Y: ArrayLike, D: ArrayLike, lam: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return X (n, d), Y (n, c) and D (n, P) as arrays, after checks of shapes and lam >= 0."""
    X, Y, D = np.asarray(X, dtype=float), columns(Y), np.asarray(D, dtype=bool)
    if not (X.ndim == Y.ndim == D.ndim == 2 and len(X) == len(Y) == len(D)):
        raise ValueError(f"X (n, d), Y (n, c) and D (n, P) do not match: {X.shape}, {Y.shape}, {D.shape}")
    if not lam >= 0:
        raise ValueError(f"lam is {lam}; it must be at least 0")
    return X, Y, D


def check_norm(penalty: str) -> None:
    """Raise ValueError for penalties that are not norms, which have no lam_max."""
    if penalty in ("squared_l2", "none"):
        raise ValueError(f"there is no lam_max for the penalty {penalty!r}: it is not a norm")
