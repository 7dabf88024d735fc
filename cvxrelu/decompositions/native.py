"""Native decompositions of many blocks at a time: w with R w >= 0 and R (w + u) >= 0.

Both conditions are R w >= b with b = max(0, -R u). All methods return w (B, d); v is w + u.
"""

from dataclasses import dataclass

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray, check_integer, check_number
from cvxrelu.cones.polyhedron_projection import PolyhedronProjector
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.rows import row_norms

_MAX_SEARCHES = 60
_BISECTIONS = 60
_THETA_TOL = 1e-13


@dataclass(frozen=True, kw_only=True)
class ApproximateDecomposition:
    """CD-A: minimise over w, for each block, 1/2 ||(-R w)_+||^2 + 1/2 ||(-R (w + u))_+||^2 + rho ||w||.

    By accelerated proximal gradient steps from zero, for all blocks at a time, with gradient restarts per block
    (Mishkin, Sahiner & Pilanci 2022, who use rho = 1e-10). R are the signed rows of X, not normalised.

    Parameters
    ----------
    rho : float
        Weight of the norm. Solutions are feasible only in the limit rho -> 0, so they are repaired.
    tol : float
        Tolerance of each block's gradient mapping, relative to the first one.
    max_iter : int
        Iteration limit.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    >>> patterns = cr.sample_patterns(X, n_gates=5, seed=0)
    >>> gated = cr.solve(cr.ConvexGatedReLU(X, y, patterns, lam=0.01))
    >>> problem = cr.ConvexReLU(X, y, patterns, lam=0.01)
    >>> V, W = cr.decompose(problem, gated, cr.ApproximateDecomposition(rho=1e-8))
    >>> np.allclose(V - W, gated.weights), problem.violation((V, W))
    (True, 0.0)
    """

    rho: float = 1e-10
    tol: float = 1e-6
    max_iter: int = 2_000

    def __post_init__(self) -> None:
        check_number("rho", self.rho, minimum=0.0)
        check_number("tol", self.tol, minimum=0.0, strict=True)
        check_integer("max_iter", self.max_iter, minimum=1)

    def split(self, X: FloatArray, D: BoolArray, U: FloatArray, start: FloatArray) -> FloatArray:
        """Return w (B, d) for the blocks U (B, d) with patterns D (n, B), from ``start`` (B, d)."""
        signs = np.where(D.T, 1.0, -1.0)
        need = -signs * (U @ X.T)
        step = 1.0 / max(2.0 * float(np.linalg.norm(X, 2)) ** 2, TINY)
        found = start.copy()
        running, w, y, momentum, threshold = np.arange(len(U)), start, start, np.ones(len(U)), np.full(len(U), -1.0)
        for _ in range(self.max_iter):
            products = signs * (y @ X.T)
            short = np.maximum(-products, 0.0) + np.maximum(need - products, 0.0)
            moved = _shrink(y + step * ((signs * short) @ X), step * self.rho)
            mapping = row_norms(moved - y) / step
            threshold = np.where(threshold < 0.0, np.maximum(self.tol * mapping, TINY), threshold)
            restart = np.einsum("ij,ij->i", y - moved, moved - w) > 0.0
            before = np.where(restart, 1.0, momentum)
            momentum = (1.0 + np.sqrt(1.0 + 4.0 * before**2)) / 2.0
            y = moved + np.where(restart, 0.0, (before - 1.0) / momentum)[:, None] * (moved - w)
            w = found[running] = moved
            keep = mapping > threshold
            if not keep.all():
                running, signs, need = running[keep], signs[keep], need[keep]
                w, y, momentum, threshold = w[keep], y[keep], momentum[keep], threshold[keep]
            if not len(running):
                break
        return found


def least_squares_split(projector: PolyhedronProjector, U: FloatArray) -> FloatArray:
    """Return w (B, d) that minimises ||w + u||^2 + ||w||^2: the projection of -u/2 (CD-L2)."""
    return projector.project(np.arange(len(U)), -0.5 * U)


def shortest_split(projector: PolyhedronProjector, U: FloatArray) -> FloatArray:
    """Return w (B, d) that minimises ||w||, the projection of zero, which the projector's tight rows support."""
    return projector.project(np.arange(len(U)), np.zeros_like(U))


def least_norm_split(projector: PolyhedronProjector, U: FloatArray) -> FloatArray:
    """Return w (B, d) that minimises ||w + u|| + ||w|| (CD-SOCP), for u != 0.

    The solution is the projection w(theta) of -theta u for one theta in [0, 1]: its optimality condition,
    w / ||w|| + (w + u) / ||w + u|| = R'g, is that of the projection with theta = ||w|| / (||w|| + ||w + u||).
    As theta grows, ||w|| grows and ||w + u|| falls along a convex curve, so their sum has its minimum where
    theta (||w|| + ||w + u||) - ||w|| changes its sign. w(theta) is linear while the tight rows stay the same, so the
    root is computed on the face of the last projection, and is exact if the next projection there has the same face.
    """
    w = np.zeros_like(U)
    running = np.arange(len(U))
    low, high, theta = np.zeros(len(U)), np.ones(len(U)), np.full(len(U), 0.5)
    for _ in range(_MAX_SEARCHES):
        u = U[running]
        w[running] = projector.project(running, -theta[running, None] * u)
        sign = _balance(theta[running], row_norms(w[running]), row_norms(w[running] + u))
        low[running] = np.where(sign < 0.0, theta[running], low[running])
        high[running] = np.where(sign < 0.0, high[running], theta[running])
        slope = -projector.along_face(running, u)
        following = _crossing(theta[running], w[running], slope, u, low[running], high[running])
        settled = np.abs(following - theta[running]) <= _THETA_TOL
        theta[running] = following
        running = running[~settled]
        if not len(running):
            break
    return w


def _balance(theta: FloatArray, norm_w: FloatArray, norm_v: FloatArray) -> FloatArray:
    """Return a number with the sign of the derivative of the sum of norms with respect to theta."""
    balance: FloatArray = theta * (norm_w + norm_v) - norm_w
    return balance


def _crossing(
    theta: FloatArray, w: FloatArray, slope: FloatArray, u: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Return where the balance changes its sign on the line w + (theta' - theta) slope, between low and high.

    Without a change of sign between them the face ends before it, and the midpoint is returned.
    """
    v = w + u
    ww, vv, ss = (np.einsum("ij,ij->i", a, a) for a in (w, v, slope))
    ws, vs = (np.einsum("ij,ij->i", a, slope) for a in (w, v))
    first, last = low.copy(), high.copy()
    for _ in range(_BISECTIONS):
        middle = 0.5 * (first + last)
        step = middle - theta
        norm_w = np.sqrt(np.maximum(ww + 2.0 * step * ws + step**2 * ss, 0.0))
        norm_v = np.sqrt(np.maximum(vv + 2.0 * step * vs + step**2 * ss, 0.0))
        falls = _balance(middle, norm_w, norm_v) < 0.0
        first, last = np.where(falls, middle, first), np.where(falls, last, middle)
    width = high - low
    at_far_end = np.where(theta > low, last - low, high - first) <= _THETA_TOL
    crossing: FloatArray = np.where(at_far_end & (width > _THETA_TOL), 0.5 * (low + high), 0.5 * (first + last))
    return crossing


def _shrink(W: FloatArray, by: float) -> FloatArray:
    norms = np.maximum(row_norms(W), TINY)
    shrunk: FloatArray = W * np.maximum(1.0 - by / norms, 0.0)[:, None]
    return shrunk
