"""Points of the dual at lam = 0: t near a given one with A't = 0 to rounding."""

import numpy as np
from scipy.sparse.linalg import LinearOperator, lsmr

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.problems.operator import GatedOperator

_EPS = float(np.finfo(np.float64).eps)
_CORRECTIONS = 10


def annihilated(operator: GatedOperator, loss: Loss, Y: FloatArray, t: FloatArray) -> FloatArray:
    """Return a point of the domain of F* near t (n, c) with A't = 0 to rounding, or 0 if none is found.

    The least correction of t may leave the domain, which t touches where a loss is flat or linear:
    entries that meet its boundary stay there, and the others are corrected again.
    """
    free = np.ones(t.shape)
    point = t
    for _ in range(_CORRECTIONS):
        moved = point - _correction(operator, point, free)
        point = loss.project_domain(moved, Y)
        if _is_annihilated(operator, point):
            return point
        free *= np.abs(point - moved) <= 8 * _EPS * np.abs(moved).max()
    return np.zeros_like(t)


def product_roundings(X: FloatArray, t: FloatArray) -> FloatArray:
    """Return bounds (c, 1, d) of the rounding errors of the entries of X' D_i t_k, for every i."""
    sums = np.abs(X).T @ np.abs(t)
    bounds: FloatArray = (len(X) + 2) * _EPS * sums.T[:, None, :]
    return bounds


def _is_annihilated(operator: GatedOperator, t: FloatArray) -> bool:
    largest = float(np.abs(t).max())
    if largest == 0.0:
        return True
    unit = t / largest
    return bool(np.all(np.abs(operator.adjoint(unit)) <= product_roundings(operator.X, unit)))


def _correction(operator: GatedOperator, t: FloatArray, free: FloatArray) -> FloatArray:
    """Return the smallest s on the free entries with A's = A't, by LSMR on columns of unit norm."""
    largest = float(np.abs(t).max())
    if largest == 0.0:
        return t
    unit = t / largest  # the method takes squares
    norms = np.hypot.reduce(operator.X, axis=0)
    norms[norms == 0.0] = 1.0
    shape = (t.shape[1], operator.n_patterns, operator.n_features)
    At = LinearOperator(
        (int(np.prod(shape)), t.size),
        matvec=lambda s: (operator.adjoint(free * s.reshape(t.shape)) / norms).ravel(),
        rmatvec=lambda u: (free * operator.forward(u.reshape(shape) / norms)).ravel(),
        dtype=np.float64,
    )
    total = np.zeros_like(t)
    for _ in range(3):  # iterative refinement: one pass leaves a residue of its own tolerance
        if _is_annihilated(operator, unit - total):
            break
        rest = (operator.adjoint(unit - total) / norms).ravel()
        total += lsmr(At, rest, atol=1e-15, btol=1e-15, conlim=0.0, maxiter=20 * len(t))[0].reshape(t.shape)
    return largest * total
