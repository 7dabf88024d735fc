"""Accuracy of predictions with cancellation: weights far larger than the predictions."""

import math

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.numerics.rounding import EPS
from cvxrelu.numerics.rows import row_norms
from cvxrelu.patterns.packed_mask import take_patterns
from cvxrelu.problems.operators.gated_operator import GatedOperator

_ACCURACY = 1e-11  # of predictions, relative to the targets; above the rounding errors of ordinary weights
_LARGEST = 10**8  # limit of products in extended precision: about a second


def cancelling_size(X: FloatArray, Y: FloatArray) -> float:
    """Return the sum_i ||u_i|| above which rounding errors of predictions may exceed 1e-11 of the targets.

    The errors are at most about eps max_j ||x_j|| sum_i ||u_i||.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        size = float(_ACCURACY * np.abs(Y).max() / (EPS * row_norms(X).max()))
    return size if math.isfinite(size) else math.inf


def accurate_forward(operator: GatedOperator, U: FloatArray, size: float) -> FloatArray:
    """Return A u (n, c) for weights U (c, P, d), in extended precision if float64 is too inaccurate.

    If sum_i ||u_i|| of an output exceeds ``size``, products are summed in long double, unless there are more than 1e8.

    Parameters
    ----------
    operator : GatedOperator
        A.
    U : ndarray of shape (c, P, d)
        The weights.
    size : float
        The value of `cancelling_size`.

    Returns
    -------
    ndarray of shape (n, c)
    """
    f = operator.forward(U)
    with np.errstate(over="ignore"):
        largest = float(row_norms(U).sum(axis=1).max())
    if not largest > size:
        return f
    used = np.flatnonzero(U.any(axis=(0, 2)))
    weights = U[:, used].astype(np.float64, copy=False)
    if weights.size * len(f) > _LARGEST or not np.isfinite(f).all():
        return f
    X = operator.X.astype(np.longdouble)
    masks = np.asarray(take_patterns(operator.D, used))
    sums = np.zeros(f.shape, dtype=np.longdouble)
    for i, mask in enumerate(masks.T):
        sums[mask] += X[mask] @ weights[:, i].T.astype(np.longdouble)
    return sums.astype(np.float64)


def cone_shortfall(cones: PatternCones, W: FloatArray, multipliers: sp.csr_array, size: float) -> float:
    """Return sum_b g_b'(-Xt_b w_b)_+, the cost at multipliers g of cone violations caused by rounding.

    Weights far larger than the predictions, feasible only to the rounding of their products, may have an objective
    below the optimal value. This sum bounds the difference, as by weak duality
    objective(w) >= value(t, g) + sum_b g_b'Xt_b w_b. It is zero if sum_b ||w_b|| is at most ``size``.

    Parameters
    ----------
    cones : PatternCones
        The cones; block b belongs to pattern b % P.
    W : ndarray of shape (B, d)
        The weights.
    multipliers : csr_array of shape (B, n)
        g >= 0.
    size : float
        The value of `cancelling_size`.

    Returns
    -------
    float
    """
    norms = row_norms(W)
    if not norms.sum() > size:
        return 0.0
    shortfall = 0.0
    for b in norms.nonzero()[0].tolist():
        entries = slice(*multipliers.indptr[b : b + 2])
        rows, g = multipliers.indices[entries], multipliers.data[entries]
        signs = np.where(cones.D[rows, b % len(cones.patterns)], 1.0, -1.0)
        products = signs * (cones.X[rows].astype(np.longdouble) @ W[b].astype(np.longdouble))
        shortfall += float(g @ np.maximum(-products, 0.0))
    return shortfall
