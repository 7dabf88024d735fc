"""Rows of cones and projections onto them by CVXPY."""

import cvxpy as cp
import numpy as np


def signed(X, D, i):
    return (2.0 * D[:, i] - 1)[:, None] * X


def project(R, z):
    w = cp.Variable(len(z))
    cp.Problem(cp.Minimize(cp.sum_squares(w - z)), [R @ w >= 0]).solve(
        solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
    )
    return w.value


def multipliers(cones, z, block):
    """Return the multipliers (n,) of the projection of z onto the cone of a block."""
    Z = np.zeros((len(cones.patterns), len(z)))
    Z[block] = z
    return cones.projection_multipliers(Z, 0.0).toarray()[block]
