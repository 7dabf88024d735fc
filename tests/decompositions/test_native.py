import subprocess
import sys
import warnings

import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.rows import row_norms
from tests.helpers.decompositions import MEASURES, make


@pytest.mark.parametrize(("n", "d"), [(200, 10), (30, 40), (300, 25)])
def test_native_socp_agrees_with_clarabel_on_larger_blocks(n, d):
    problem, U = make(n=n, d=d, n_gates=6)
    V, W = cr.decompose(problem, U)
    by_program = cr.decompose(problem, U, solver="CLARABEL")
    for v, w, v_other, w_other in zip(V[0], W[0], *(part[0] for part in by_program), strict=True):
        assert MEASURES["socp"](v, w) <= MEASURES["socp"](v_other, w_other) * (1 + 1e-10)
        assert MEASURES["socp"](v, w) == pytest.approx(MEASURES["socp"](v_other, w_other), rel=1e-6)


def test_witness_is_the_least_multiple_of_the_gate():
    problem, U = make("tall")
    _, W = cr.decompose(problem, U, "witness")
    for i in range(3, len(problem.patterns)):
        R = np.where(problem.patterns.D[:, [i]], 1.0, -1.0) * problem.X
        g = problem.patterns.G[:, i]
        rows = np.any(R, axis=1)
        least = np.max(np.maximum(-R @ U[0, i], 0.0)[rows] / (R @ g)[rows])
        assert np.allclose(W[0, i], least * g, rtol=1e-12)


def test_the_approximate_method_minimises_its_objective():
    problem, U = make(n=40, d=6, n_gates=4)
    rho = 0.05
    method = cr.ApproximateDecomposition(rho=rho, tol=1e-10, max_iter=100_000)
    for i in range(len(problem.patterns)):
        u = U[0, i] / max(np.linalg.norm(U[0, i]), 1e-300)
        w = method.split(problem.X, problem.patterns.D[:, [i]], u[None], np.zeros((1, 6)))[0]
        R = np.where(problem.patterns.D[:, [i]], 1.0, -1.0) * problem.X
        x = cp.Variable(6)
        short = cp.sum_squares(cp.pos(-R @ x)) + cp.sum_squares(cp.pos(-R @ (x + u)))
        best = cp.Problem(cp.Minimize(short / 2 + rho * cp.norm(x))).solve(solver="CLARABEL")
        value = (np.sum(np.minimum(R @ w, 0) ** 2) + np.sum(np.minimum(R @ (w + u), 0) ** 2)) / 2
        assert value + rho * np.linalg.norm(w) == pytest.approx(best, rel=1e-6, abs=1e-8)


def test_the_approximate_method_uses_its_start():
    problem, U = make(n=40, d=6, n_gates=4)
    first = cr.decompose(problem, U)
    again = cr.decompose(problem, U, cr.ApproximateDecomposition(rho=0.0, max_iter=1), start=first)
    assert np.allclose(again[1], first[1], atol=1e-9)
    with pytest.warns(cr.UnsupportedOptionWarning, match="cannot start"):
        cr.decompose(problem, U, "l2", start=first)


@pytest.mark.slow
def test_a_thousand_blocks_agree_with_clarabel():
    problem, U = make(n=500, d=20, n_gates=1000)
    V, W = cr.decompose(problem, U)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        others = cr.decompose(problem, U, solver="CLARABEL")
    ours = row_norms(V[0]) + row_norms(W[0])
    theirs = row_norms(others[0][0]) + row_norms(others[1][0])
    assert (ours <= theirs * (1 + 1e-9)).all()
    assert np.allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("method", ["socp", "l2", "witness"])
def test_native_methods_import_no_cvxpy(method):
    code = (
        "import sys, numpy as np, cvxrelu as cr\n"
        "X = np.random.default_rng(0).standard_normal((12, 3))\n"
        "problem = cr.ConvexReLU(X, X[:, 0], cr.sample_patterns(X, 3, seed=0), lam=0.1)\n"
        f"cr.decompose(problem, np.ones((1, len(problem.patterns), 3)), {method!r})\n"
        "assert 'cvxpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
