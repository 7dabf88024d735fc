"""Problems and plans of solvers for `solve` with "auto"."""

import dataclasses
import sys

import numpy as np

import cvxrelu as cr
from cvxrelu.solvers.plan import Planned


def hard(lam=1e-5):
    """Return a problem on which RFISTA is slow: raw columns, a small lam, and no support by WorkingSet."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((60, 5)) * [1.0, 10.0, 100.0, 1e3, 1e-2], np.ones(60)])
    classes = (X[:, 0] + X[:, 1] / 10 + 0.5 * rng.standard_normal(60) > 0).astype(int) + (X[:, 3] > 1e3)
    return cr.ConvexGatedReLU(X, np.eye(3)[classes], cr.sample_patterns(X, 4, seed=0), lam, "softmax", "squared_l2")


def plan_of(monkeypatch, *solvers):
    """Make these solvers the plan of "auto", whatever their predicted costs."""
    plan = tuple(Planned(solver) for solver in solvers)
    monkeypatch.setattr(sys.modules["cvxrelu.optimize.solve"], "make_plan", lambda problem, time_left: plan)


def without_gradients(original):
    """Return a `certify` that tries no dual variable but the given one."""

    def certify(problem, weights, duals, *rest):
        certificate = original(problem, weights, duals, *rest)
        point = problem.dual_point(duals[0].t if duals else np.zeros_like(problem.Y))
        return dataclasses.replace(certificate, lower=point.value, dual=point)

    return certify
