"""Dual points at lam = 0: the nearest t with A't = 0 to rounding."""

from collections.abc import Callable

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator, lsmr

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.numerics.rounding import EPS
from cvxrelu.problems.operators.gated_operator import GatedOperator

_CORRECTIONS = 10
_REFINEMENTS = 3
_MAX_SVD_WORK = 1e8  # n^2 P d
_LARGEST = 1e7  # entries of the matrix


def annihilated(operator: GatedOperator, loss: Loss, Y: FloatArray, t: FloatArray) -> FloatArray:
    """Return a point of the domain of F* near t (n, c) with A't = 0 to rounding, or 0 if none is found.

    The minimum-norm correction may leave the domain, as t is on its boundary where the loss is flat or linear. Entries
    that reach the boundary are fixed there, and the others corrected again.
    """
    free = np.ones(t.shape, dtype=np.bool_)
    point = t
    for _ in range(_CORRECTIONS):
        moved = point - _correction(operator, point, free)
        point = loss.project_domain(moved, Y)
        if _is_annihilated(operator, point):
            return point
        inside = free & (np.abs(point - moved) <= 8 * EPS * np.abs(moved).max())
        if not inside.any() or np.array_equal(inside, free):  # no free entries, or no new fixed ones
            break
        free = inside
    return np.zeros_like(t)


def product_roundings(X: FloatArray, t: FloatArray) -> FloatArray:
    """Return bounds (c, 1, d) of the rounding errors of the entries of X' D_i t_k, valid for all i."""
    sums = np.abs(X).T @ np.abs(t)
    bounds: FloatArray = (len(X) + 2) * EPS * sums.T[:, None, :]
    return bounds


def _is_annihilated(operator: GatedOperator, t: FloatArray) -> bool:
    largest = float(np.abs(t).max())
    if largest == 0.0:
        return True
    unit = t / largest
    return bool(np.all(np.abs(operator.adjoint(unit)) <= product_roundings(operator.X, unit)))


def _correction(operator: GatedOperator, t: FloatArray, free: np.ndarray) -> FloatArray:
    """Return the minimum-norm least-squares solution s, on the free entries, of A's = A't with unit columns of X.

    Small problems use the SVD of A, which is accurate for every condition number; others use LSMR.
    """
    largest = float(np.abs(t).max())
    if largest == 0.0:
        return t
    unit = t / largest  # avoids overflow of squares
    norms = np.hypot.reduce(operator.X, axis=0)
    norms[norms == 0.0] = 1.0
    entries = float(len(t)) * operator.n_patterns * operator.n_features
    small = entries <= _LARGEST and len(t) * entries <= _MAX_SVD_WORK
    solve = (_by_svd if small else _by_lsmr)(operator, norms, free)
    total = np.zeros_like(t)
    for _ in range(_REFINEMENTS):  # one pass leaves a residual of the size of its tolerance
        if _is_annihilated(operator, unit - total):
            break
        total += solve(operator.adjoint(unit - total) / norms)
    return largest * total


def _by_svd(operator: GatedOperator, norms: FloatArray, free: np.ndarray) -> Callable[..., FloatArray]:
    """Return the map from A't / norms (c, P, d) to s (n, c)."""
    A = (np.asarray(operator.D, dtype=np.float64)[:, :, None] * (operator.X / norms)[:, None, :]).reshape(len(free), -1)
    inverses: list[FloatArray] = []
    for k, rows in enumerate(free.T):
        same = next((j for j in range(k) if np.array_equal(rows, free[:, j])), None)
        inverses.append(inverses[same] if same is not None else scipy.linalg.pinv(A[rows].T))

    def solve(residual: FloatArray) -> FloatArray:
        s = np.zeros(free.shape)
        for k, rows in enumerate(free.T):
            s[rows, k] = inverses[k] @ residual[k].ravel()
        return s

    return solve


def _by_lsmr(operator: GatedOperator, norms: FloatArray, free: np.ndarray) -> Callable[..., FloatArray]:
    """Return the map from A't / norms (c, P, d) to s (n, c)."""
    n, c = free.shape
    shape = (c, operator.n_patterns, operator.n_features)
    At = LinearOperator(
        (int(np.prod(shape)), n * c),
        matvec=lambda s: (operator.adjoint(free * s.reshape(n, c)) / norms).ravel(),
        rmatvec=lambda u: (free * operator.forward(u.reshape(shape) / norms)).ravel(),
        dtype=np.float64,
    )

    def solve(residual: FloatArray) -> FloatArray:
        s: FloatArray = lsmr(At, residual.ravel(), atol=1e-15, btol=1e-15, conlim=0.0, maxiter=20 * n)[0]
        return s.reshape(n, c)

    return solve
