"""Multipliers g >= 0 of the cones that make the polar norm of z + Xt'g small: the ReLU dual's proof."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray
from cvxrelu.cone_projection import ConeProjector
from cvxrelu.cones import PatternCones
from cvxrelu.penalties import Penalty

_REWEIGHTINGS = 200
_REWEIGHTED_WIDTH = 1e-6


def cone_multipliers(
    Z: FloatArray,
    cones: PatternCones,
    penalty: Penalty,
    enough: float,
    weights: FloatArray | None,
    exhaustive: bool = False,
    projector: ConeProjector | None = None,
) -> sp.csr_array:
    """Return multipliers (B, n) >= 0 for the blocks Z (B, d) of the dual's left sides.

    They minimise the conjugate of the penalty on the cones: ||z_b + Xt_b'g_b||_2 for each block that matters
    (a projection onto the cone), ||.||_inf for "l1", the largest feature group over all blocks together for
    "feature_group_l1". Blocks whose norm is at most ``enough``, or at most the largest minimum found, need none.

    Parameters
    ----------
    Z : ndarray of shape (B, d)
        Left sides -X'D_i t_k and X'D_i t_k.
    cones : PatternCones
        The cones; block b belongs to pattern b % P.
    penalty : Penalty
        The penalty whose polar norm is to be small.
    enough : float
        The norm that is small enough: lam.
    weights : ndarray of shape (B, d) or None
        Present weights, a start for the feature groups.
    exhaustive : bool
        Minimise for all blocks above ``enough``, those below the largest minimum too.
    projector : ConeProjector, optional
        The caller's own, from whose last faces projections start.
    """
    if penalty.name == "feature_group_l1":
        return _feature_multipliers(Z, cones, enough, weights)
    if penalty.name == "l1":
        return _largest_first(Z, cones.chebyshev_multipliers, cones, np.inf, enough, exhaustive)
    if penalty.name == "squared_l2":
        return _stack({b: cones.euclidean_multipliers(Z[b], b) for b in range(len(Z))}, Z, cones)
    return cones.projection_multipliers(Z, enough, projector)


def _largest_first(
    Z: FloatArray,
    minimise: Callable[[FloatArray, int], FloatArray],
    cones: PatternCones,
    order: float,
    enough: float,
    exhaustive: bool,
) -> sp.csr_array:
    sizes = np.linalg.norm(Z, ord=order, axis=1)
    worst = enough
    rows: dict[int, FloatArray] = {}
    for b in np.argsort(-sizes).tolist():
        if sizes[b] <= worst:
            break
        rows[b] = minimise(Z[b], b)
        if not exhaustive:
            worst = max(worst, float(np.linalg.norm(cones.shift_block(Z[b], rows[b], b), ord=order)))
    return _stack(rows, Z, cones)


def _feature_multipliers(Z: FloatArray, cones: PatternCones, enough: float, weights: FloatArray | None) -> sp.csr_array:
    """Minimise max_j ||(Z + Xt'g)_{.j}|| over g >= 0 by reweighted projections.

    For fixed eta > 0 the minimiser of sum_j eta_j ||(Z + Xt'g)_{.j}||^2 separates over blocks, and the
    maximum over j is bounded below by that sum over sum_j eta_j ||.||. The update eta_j <- eta_j ||.||
    is that of eta_j = ||v_{.j}|| in lam ||v_{.j}|| = min_eta lam/2 (||v_{.j}||^2 / eta + eta).
    """
    eta = np.ones(Z.shape[1])
    if weights is not None and np.any(weights):
        eta = np.linalg.norm(weights / np.abs(weights).max(), axis=0)
        eta = eta / eta.max() + 1e-3
    best, best_rows = np.inf, sp.csr_array((len(Z), cones.X.shape[0]))
    for _ in range(_REWEIGHTINGS):
        scale = np.sqrt(eta)
        rows = _stack({b: cones.euclidean_multipliers(Z[b], b, scale) for b in range(len(Z))}, Z, cones)
        columns = np.linalg.norm(cones.shift(Z, rows), axis=0)
        upper = columns.max()
        if upper < best:
            best, best_rows = upper, rows
        lower = (eta @ columns**2) / max(eta @ columns, np.finfo(float).tiny)
        if best <= max(enough, lower * (1 + _REWEIGHTED_WIDTH)):
            break
        eta = eta * columns
        eta /= eta.max()
    return best_rows


def _stack(rows: dict[int, FloatArray], Z: FloatArray, cones: PatternCones) -> sp.csr_array:
    """Return the multipliers of some blocks as the rows of one sparse array (B, n)."""
    shape = (len(Z), cones.X.shape[0])
    if not rows:
        return sp.csr_array(shape)
    filled = np.array(sorted(rows))
    values = np.array([rows[b] for b in filled.tolist()])
    i, j = np.nonzero(values)
    return sp.csr_array((values[i, j], (filled[i], j)), shape=shape)
