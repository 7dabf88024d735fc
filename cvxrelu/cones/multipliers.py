"""Multipliers g >= 0 of the cones that minimise the dual norm of z + Xt'g: the proof of dual feasibility for C-ReLU."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.numerics.rounding import TINY
from cvxrelu.penalties.base import Penalty

_REWEIGHTINGS = 200
_REWEIGHTED_WIDTH = 1e-6


def cone_multipliers(
    Z: FloatArray,
    cones: PatternCones,
    penalty: Penalty,
    threshold: float,
    weights: FloatArray | None,
    projector: ConeProjector | None = None,
    expired: Callable[[], bool] = lambda: False,
) -> sp.csr_array:
    """Return multipliers (B, n) >= 0 for the blocks Z (B, d) of the dual constraints.

    They minimise the dual norm of the penalty: ||z_b + Xt_b'g_b||_2 of each relevant block (a projection onto the
    cone), ||.||_inf for "l1", or the largest feature group over all blocks for "feature_group_l1". Blocks whose norm
    is at most ``threshold``, or at most the largest minimum found, need no multipliers.

    Parameters
    ----------
    Z : ndarray of shape (B, d)
        Blocks -X'D_i t_k and X'D_i t_k.
    cones : PatternCones
        The cones; block b belongs to pattern b % P.
    penalty : Penalty
        The penalty, which defines the norm.
    threshold : float
        Norm that need not be reduced further: lam.
    weights : ndarray of shape (B, d) or None
        Current weights, which initialise the feature groups.
    projector : ConeProjector, optional
        Projector of the caller, whose last faces start the projections.
    expired : callable
        Whether time is up. The multipliers found by then are returned; any g >= 0 is a valid proof.
    """
    if penalty.cone_multipliers_norm == "feature":
        return _feature_multipliers(Z, cones, threshold, weights, expired)
    if penalty.cone_multipliers_norm == "entry":
        return _chebyshev_multipliers(Z, cones, threshold, projector, expired)
    if penalty.cone_multipliers_norm == "square":
        threshold = 0.0
    return cones.projection_multipliers(Z, threshold, projector, expired)


def _chebyshev_multipliers(
    Z: FloatArray,
    cones: PatternCones,
    threshold: float,
    projector: ConeProjector | None,
    expired: Callable[[], bool],
) -> sp.csr_array:
    """Minimise ||z_b + Xt_b'g_b||_inf for the blocks that determine the maximum over b.

    Multipliers of projections give cheap upper bounds. Linear programs are solved in decreasing order of these bounds,
    until no remaining bound exceeds the largest minimum.
    """
    rows = cones.projection_multipliers(Z, threshold, projector, expired)
    original, projected = np.abs(Z).max(axis=1), np.abs(cones.shift(Z, rows)).max(axis=1)
    bounds = np.minimum(original, projected)
    kept = (projected < original).astype(np.float64)
    worst = threshold
    solved: dict[int, FloatArray] = {}
    for b in np.argsort(-bounds).tolist():
        if bounds[b] <= worst or expired():
            break
        gamma = cones.chebyshev_multipliers(Z[b], b)
        size = float(np.abs(cones.shift_block(Z[b], gamma, b)).max())
        if size < bounds[b]:
            solved[b], kept[b], bounds[b] = gamma, 0.0, size
        worst = max(worst, float(bounds[b]))
    return sp.csr_array(sp.diags_array(kept) @ rows + _stack(solved, Z, cones))


def _feature_multipliers(
    Z: FloatArray, cones: PatternCones, threshold: float, weights: FloatArray | None, expired: Callable[[], bool]
) -> sp.csr_array:
    """Minimise max_j ||(Z + Xt'g)_{.j}|| over g >= 0."""
    best, best_rows = np.inf, sp.csr_array((len(Z), cones.X.shape[0]))
    for rows, lower, upper in _reweighted(Z, cones, weights):
        if upper < best:
            best, best_rows = upper, rows
        if best <= max(threshold, lower * (1 + _REWEIGHTED_WIDTH)) or expired():
            break
    return best_rows


def features_are_larger(Z: FloatArray, cones: PatternCones, threshold: float) -> bool:
    """Return whether min over g >= 0 of max_j ||(Z + Xt'g)_{.j}|| is shown to exceed ``threshold``."""
    for _, lower, upper in _reweighted(Z, cones, None):
        if lower > threshold * (1 + _REWEIGHTED_WIDTH) or upper <= threshold:
            return bool(upper > threshold)
    return False


def _reweighted(
    Z: FloatArray, cones: PatternCones, weights: FloatArray | None
) -> Iterator[tuple[sp.csr_array, float, float]]:
    """Yield multipliers g by reweighted projections, a lower bound of the minimum, and the value at g.

    For fixed eta > 0 the minimisation of sum_j eta_j ||(Z + Xt'g)_{.j}||^2 separates over blocks, and this sum divided
    by sum_j eta_j ||.|| is a lower bound of the maximum over j. The update eta_j <- eta_j ||.|| is that of
    eta_j = ||v_{.j}|| in lam ||v_{.j}|| = min_eta lam/2 (||v_{.j}||^2 / eta + eta).
    """
    eta = np.ones(Z.shape[1])
    if weights is not None and np.any(weights):
        eta = np.linalg.norm(weights / np.abs(weights).max(), axis=0)
        eta = eta / eta.max() + 1e-3
    for _ in range(_REWEIGHTINGS):
        rows = cones.scaled_multipliers(Z, np.sqrt(eta))
        columns = np.linalg.norm(cones.shift(Z, rows), axis=0)
        lower = (eta @ columns**2) / max(eta @ columns, TINY)
        yield rows, float(lower), float(columns.max())
        eta = eta * columns
        eta /= max(eta.max(), TINY)


def _stack(rows: dict[int, FloatArray], Z: FloatArray, cones: PatternCones) -> sp.csr_array:
    """Return the multipliers of some blocks as rows of a sparse array (B, n)."""
    shape = (len(Z), cones.X.shape[0])
    if not rows:
        return sp.csr_array(shape)
    filled = np.array(sorted(rows))
    values = np.array([rows[b] for b in filled.tolist()])
    i, j = np.nonzero(values)
    return sp.csr_array((values[i, j], (filled[i], j)), shape=shape)
