"""Rows of cones and projections onto them by CVXPY."""

import cvxpy as cp


def signed(X, D, i):
    return (2.0 * D[:, i] - 1)[:, None] * X


def project(R, z):
    w = cp.Variable(len(z))
    cp.Problem(cp.Minimize(cp.sum_squares(w - z)), [R @ w >= 0]).solve(
        solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
    )
    return w.value
