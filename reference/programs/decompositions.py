"""Cone decompositions: u = v - w with v and w in K = {w : Xt w >= 0}, Xt = (2 diag(pattern) - I) X."""

from __future__ import annotations

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike

from reference.programs.base import Program, signed_rows


@dataclass(frozen=True, eq=False)
class Decomposition(Program):
    """A cone decomposition u = v - w: v and w (d,)."""

    v: cp.Expression
    w: cp.Expression


def cd_socp(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-SOCP: min ||v||_2 + ||w||_2 subject to v - w = u, Xt v >= 0, Xt w >= 0.

    Parameters
    ----------
    X, pattern, u : array_like
        Data (n, d), one activation pattern (n,) bool, one block of gated weights (d,).

    Returns
    -------
    Decomposition
        The problem, v and w (d,). Infeasible for some u iff the pattern is singular.
    """
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(cp.norm(v, 2) + cp.norm(w, 2)), decomposed), v, w)


def cd_l2(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-L2: min ||v||_2^2 + ||w||_2^2 subject to v - w = u, Xt v >= 0, Xt w >= 0."""
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(cp.sum_squares(v) + cp.sum_squares(w)), decomposed), v, w)


def cd_l1(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-L1: min ||v||_1 + ||w||_1 subject to v - w = u, Xt v >= 0, Xt w >= 0."""
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(cp.norm(v, 1) + cp.norm(w, 1)), decomposed), v, w)


def cd_feasible(X: ArrayLike, pattern: ArrayLike, u: ArrayLike) -> Decomposition:
    """CD-F: find v and w with v - w = u, Xt v >= 0, Xt w >= 0."""
    v, w, decomposed = decomposition_of(X, pattern, u)
    return Decomposition(cp.Problem(cp.Minimize(0), decomposed), v, w)


def cd_approximate(X: ArrayLike, pattern: ArrayLike, u: ArrayLike, rho: float) -> Decomposition:
    """CD-A: min_w 1/2 ||(-Xt w)_+||^2 + 1/2 ||(-Xt (u + w))_+||^2 + rho ||w||_2, and v = u + w.

    v - w = u holds exactly, the cones only as rho -> 0. Arguments as for `cd_socp`, and rho >= 0.
    """
    X, u = np.asarray(X, dtype=float), np.asarray(u, dtype=float)
    Xt = signed_rows(X, np.reshape(pattern, (-1, 1)), 0)
    w = cp.Variable(X.shape[1], name="w")
    v = u + w
    violation = cp.sum_squares(cp.pos(-Xt @ w)) / 2 + cp.sum_squares(cp.pos(-Xt @ v)) / 2
    return Decomposition(cp.Problem(cp.Minimize(violation + rho * cp.norm(w, 2))), v, w)


def decomposition_of(
    X: ArrayLike, pattern: ArrayLike, u: ArrayLike
) -> tuple[cp.Variable, cp.Variable, list[cp.Constraint]]:
    """Return variables v, w (d,) and the constraints v - w = u, Xt v >= 0, Xt w >= 0."""
    X, u = np.asarray(X, dtype=float), np.asarray(u, dtype=float)
    Xt = signed_rows(X, np.reshape(pattern, (-1, 1)), 0)
    v, w = cp.Variable(X.shape[1], name="v"), cp.Variable(X.shape[1], name="w")
    return v, w, [v - w == u, Xt @ v >= 0, Xt @ w >= 0]
