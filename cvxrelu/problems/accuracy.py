"""Predictions whose products cancel: weights that are far larger than what they predict."""

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.numerics.rounding import EPS
from cvxrelu.numerics.rows import row_norms
from cvxrelu.patterns.packed_mask import take_patterns
from cvxrelu.problems.operator import GatedOperator

_ACCURACY = 1e-11  # of predictions, relative to the targets: more than ordinary weights lose to rounding
_LARGEST = 10**8  # products in extended precision, which take about a second


def cancelling_size(X: FloatArray, Y: FloatArray) -> float:
    """Return the sum_i ||u_i|| above which predictions may lose more than 1e-11 of the targets to rounding.

    Rounding is at most about eps max_j ||x_j|| sum_i ||u_i||.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        size = _ACCURACY * np.abs(Y).max() / (EPS * row_norms(X).max())
    return float(np.nan_to_num(size, nan=np.inf, posinf=np.inf))


def accurate_forward(operator: GatedOperator, U: FloatArray, size: float) -> FloatArray:
    """Return A u (n, c) for weights U (c, P, d), in extended precision where float64 would lose too much.

    Where sum_i ||u_i|| of an output is above ``size``, products are summed in the long double of the machine, if there
    are at most 1e8 of them.

    Parameters
    ----------
    operator : GatedOperator
        A.
    U : ndarray of shape (c, P, d)
        The weights.
    size : float
        That of `cancelling_size`.

    Returns
    -------
    ndarray of shape (n, c)
    """
    f = operator.forward(U)
    used = np.flatnonzero(U.any(axis=(0, 2)))
    weights = U[:, used].astype(np.float64, copy=False)
    with np.errstate(over="ignore"):
        largest = float(np.linalg.norm(weights, axis=2).sum(axis=1).max(initial=0.0))
    if not largest > size or weights.size * len(f) > _LARGEST or not np.isfinite(f).all():
        return f
    X = operator.X.astype(np.longdouble)
    masks = np.asarray(take_patterns(operator.D, used))
    sums = np.zeros(f.shape, dtype=np.longdouble)
    for i, mask in enumerate(masks.T):
        sums[mask] += X[mask] @ weights[:, i].T.astype(np.longdouble)
    return sums.astype(np.float64)


def cone_shortfall(cones: PatternCones, W: FloatArray, multipliers: sp.csr_array, size: float) -> float:
    """Return sum_b g_b'(-Xt_b w_b)_+: what multipliers g charge for weights that rounding leaves outside their cones.

    Weights in their cones to the rounding of their products may miss them by much where they are far larger than what
    they predict, and their objective falls below the optimal value. This sum is a bound of that: by weak duality
    objective(w) >= value(t, g) + sum_b g_b'Xt_b w_b. Zero where sum_b ||w_b|| is at most ``size``.

    Parameters
    ----------
    cones : PatternCones
        The cones; block b belongs to pattern b % P.
    W : ndarray of shape (B, d)
        The weights.
    multipliers : csr_array of shape (B, n)
        g >= 0.
    size : float
        That of `cancelling_size`.

    Returns
    -------
    float
    """
    norms = np.linalg.norm(W, axis=1)
    if not norms.sum() > size:
        return 0.0
    charge = 0.0
    for b in np.flatnonzero(norms).tolist():
        part = slice(*multipliers.indptr[b : b + 2])
        rows, g = multipliers.indices[part], multipliers.data[part]
        signs = np.where(cones.D[rows, b % len(cones.patterns)], 1.0, -1.0)
        products = signs * (cones.X[rows].astype(np.longdouble) @ W[b].astype(np.longdouble))
        charge += float(g @ np.maximum(-products, 0.0))
    return charge
