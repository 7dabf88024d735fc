import subprocess
import sys
import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import cvxrelu as cr
from cvxrelu.cones.polyhedron_projection import PolyhedronProjector
from cvxrelu.decompositions import decompose as decompositions
from cvxrelu.decompositions.decompose import METHODS, split, supporting_rows
from cvxrelu.numerics.active_set import project_blocks, scratch
from cvxrelu.numerics.rows import row_norms
from tests.helpers.cases import make_data
from tests.helpers.needs import needs

NATIVE = ("socp", "l2", "witness", "approximate")
MEASURES = {
    "socp": lambda v, w: np.linalg.norm(v) + np.linalg.norm(w),
    "l2": lambda v, w: np.sum(v**2) + np.sum(w**2),
    "l1": lambda v, w: np.abs(v).sum() + np.abs(w).sum(),
}


def make(shape="tall", c=1, n_gates=8, seed=0, n=None, d=None):
    """Return a problem and random gated weights: one zero block, one in its cone, one whose negative is."""
    rng = np.random.default_rng(seed)
    X = make_data(shape, seed) if n is None else rng.standard_normal((n, d))
    patterns = cr.sample_patterns(X, n_gates, seed=seed)
    problem = cr.ConvexReLU(X, rng.standard_normal((len(X), c)), patterns, 1e-3)
    U = rng.standard_normal((c, len(patterns), X.shape[1]))
    for i, scale in enumerate((0.0, 1.0, -1.0)[: len(patterns)]):
        U[0, i] = scale * patterns.G[:, i]
    return problem, U


def assert_decomposed(problem, U, V, W):
    assert problem.violation((V, W)) == 0.0
    size = np.maximum(np.abs(V), np.abs(W)).max(axis=-1, keepdims=True)
    assert (np.abs(V - W - U) <= 4 * np.finfo(float).eps * size).all()
    assert not V[~np.any(U, axis=-1)].any()
    assert not W[~np.any(U, axis=-1)].any()


def best_by_clarabel(problem, u, i, method):
    """Return the optimal value for one block, from its definition."""
    R = np.where(problem.patterns.D[:, [i]], 1.0, -1.0) * problem.X
    v, w = cp.Variable(len(u)), cp.Variable(len(u))
    objective = {
        "socp": cp.norm(v) + cp.norm(w),
        "l2": cp.sum_squares(v) + cp.sum_squares(w),
        "l1": cp.norm1(v) + cp.norm1(w),
    }[method]
    program = cp.Problem(cp.Minimize(objective), [v - w == u, R @ v >= 0, R @ w >= 0])
    return program.solve(solver="CLARABEL")


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["tall", "wide", "doubled", "tripled"]),
    st.sampled_from([1, 3]),
    st.sampled_from(NATIVE),
    st.integers(-8, 8),
)
def test_decompositions_are_exact_and_in_the_cones(seed, shape, c, method, exponent):
    problem, U = make(shape, c, seed=seed)
    U *= 10.0**exponent
    assert_decomposed(problem, U, *cr.decompose(problem, U, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_every_method_is_feasible(shape, method):
    if method == "pinv" and shape == "tall":
        pytest.skip("its X is not of full row rank")
    problem, U = make(shape, c=2)
    assert_decomposed(problem, U, *cr.decompose(problem, U, method))


@pytest.mark.parametrize("solver", [pytest.param("ECOS", marks=needs("ecos")), "SCS"])
@pytest.mark.parametrize("method", ["socp", "l2", "l1", "feasible"])
def test_other_solvers_are_feasible(method, solver):
    problem, U = make()
    assert_decomposed(problem, U, *cr.decompose(problem, U, method, solver=solver))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["tall", "wide", "doubled"]), st.sampled_from(["socp", "l2", "l1"]))
def test_exact_methods_agree_with_clarabel(seed, shape, method):
    problem, U = make(shape, seed=seed, n_gates=5)
    V, W = cr.decompose(problem, U, method)
    for i in range(len(problem.patterns)):
        best = best_by_clarabel(problem, U[0, i], i, method)
        assert MEASURES[method](V[0, i], W[0, i]) == pytest.approx(best, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("n", "d"), [(200, 10), (30, 40), (300, 25)])
def test_native_socp_agrees_with_clarabel_on_larger_blocks(n, d):
    problem, U = make(n=n, d=d, n_gates=6)
    V, W = cr.decompose(problem, U)
    by_program = cr.decompose(problem, U, solver="CLARABEL")
    for v, w, v_other, w_other in zip(V[0], W[0], *(part[0] for part in by_program), strict=True):
        assert MEASURES["socp"](v, w) <= MEASURES["socp"](v_other, w_other) * (1 + 1e-10)
        assert MEASURES["socp"](v, w) == pytest.approx(MEASURES["socp"](v_other, w_other), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_real_data(scale):
    X, y = load_breast_cancer(return_X_y=True)
    X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    X[:, ::3] *= scale
    patterns = cr.sample_patterns(X, 60, seed=0)
    gated = cr.solve(cr.ConvexGatedReLU(X, 2.0 * y - 1.0, patterns, 0.01))
    problem = cr.ConvexReLU(X, 2.0 * y - 1.0, patterns, 0.01)
    values = {}
    for method in NATIVE:
        V, W = cr.decompose(problem, gated, method)
        assert_decomposed(problem, gated.weights, V, W)
        assert np.allclose(problem.predict((V, W)), gated.problem.predict(gated.weights), atol=1e-9)
        values[method] = problem.objective((V, W))
    assert values["socp"] == min(values.values())


def test_each_method_is_best_in_its_own_objective():
    problem, U = make("wide", c=2, seed=3)
    splits = {method: cr.decompose(problem, U, method) for method in METHODS}
    for method, measure in MEASURES.items():
        for other in METHODS:
            for k in range(2):
                for i in range(len(problem.patterns)):
                    ours = measure(splits[method][0][k, i], splits[method][1][k, i])
                    theirs = measure(splits[other][0][k, i], splits[other][1][k, i])
                    assert ours <= theirs * (1 + 1e-6) + 1e-9, (method, other)


def test_pinv_is_the_closed_form():
    problem, U = make("wide")
    V, W = cr.decompose(problem, U, "pinv")
    for i in range(len(problem.patterns)):
        R = np.where(problem.patterns.D[:, [i]], 1.0, -1.0) * problem.X
        assert np.allclose(W[0, i], np.linalg.pinv(R) @ np.maximum(-R @ U[0, i], 0.0), atol=1e-12)
        assert np.allclose(R @ V[0, i], np.maximum(R @ U[0, i], 0.0), atol=1e-9)


def test_chunks_fill_the_memory_limit(monkeypatch):
    """A block needs two numbers for each of the n products and each entry of a d x d basis."""
    n, d = 5, 7
    monkeypatch.setattr(decompositions, "_CHUNK_BYTES", 3 * 8 * 2 * (n + d**2) + 1)
    parts = list(decompositions.chunks_of(np.arange(10), n, d))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(10))


@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_the_shortest_decomposition_is_supported_by_its_rows(shape):
    problem, U = make(shape, c=2, n_gates=4, seed=1)
    found = supporting_rows(problem, U)
    assert set(found) == {(k, i) for k, i in np.ndindex(U.shape[:2]) if U[k, i].any()}
    for (k, i), rows in found.items():
        u, R = U[k, i], np.where(problem.patterns.D[:, [i]], 1.0, -1.0) * problem.X
        w = np.linalg.pinv(R[rows]) @ np.maximum(-R[rows] @ u, 0.0)
        free = cp.Variable(len(u))
        program = cp.Problem(cp.Minimize(cp.sum_squares(free)), [R @ free >= 0, R @ (free + u) >= 0])
        best = program.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        assert w @ w == pytest.approx(best, rel=1e-6, abs=1e-9)
        assert np.minimum(R @ w, R @ (w + u)).min() >= -1e-9


def test_blocks_in_their_cones_to_rounding_are_not_projected(monkeypatch):
    problem, U = make(c=2)
    expected = cr.decompose(problem, U, "witness")

    def refuse(*arguments):
        raise AssertionError("nothing misses its polyhedron")

    monkeypatch.setattr(decompositions, "PolyhedronProjector", refuse)
    np.testing.assert_array_equal(cr.decompose(problem, U, "witness"), expected)


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


def test_blocks_in_their_cones_have_a_trivial_decomposition():
    problem, U = make()
    for method in ("socp", "l1"):
        V, W = cr.decompose(problem, U, method)
        assert np.array_equal(V[0, 1], U[0, 1])
        assert not W[0, 1].any()
        assert np.array_equal(W[0, 2], -U[0, 2])
        assert not V[0, 2].any()


# Singular patterns


def singular_problem():
    """x_1 = -x_2, both active: the cone is the hyperplane {w : x_1'w = 0} cut by the third row."""
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    patterns = cr.ActivationPatterns(np.array([[1, 1], [1, 0], [1, 1]]))
    assert patterns.is_singular(X).tolist() == [True, False]
    return cr.ConvexReLU(X, np.array([1.0, -1.0, 0.5]), patterns, 0.0)


@pytest.mark.parametrize("method", ["socp", "l2", "l1", "feasible", "witness", "approximate"])
def test_singular_patterns_are_reported(method):
    problem = singular_problem()
    U = np.array([[[1.0, 2.0], [3.0, -4.0]]])
    with pytest.raises(ValueError, match=r"patterns 0 are singular"):
        cr.decompose(problem, U, method)
    result = split(problem, U, method)
    assert result.failed.tolist() == [[True, False]]
    assert not result.V[0, 0].any()
    assert np.allclose(result.V[0, 1] - result.W[0, 1], U[0, 1])


@pytest.mark.parametrize("method", ["socp", "l2", "l1", "feasible", "approximate"])
def test_decomposable_blocks_of_singular_patterns_are_decomposed(method):
    problem = singular_problem()
    U = np.array([[[0.0, -2.0], [0.0, 0.0]]])
    V, W = cr.decompose(problem, U, method)
    assert np.allclose(V - W, U, atol=1e-12)
    assert problem.violation((V, W)) <= 1e-12


# Arguments


def test_bad_arguments_are_rejected():
    problem, U = make()
    with pytest.raises(ValueError, match="method must be one of"):
        cr.decompose(problem, U, "best")
    with pytest.raises(ValueError, match="full row rank; got rank 3 for 12 rows"):
        cr.decompose(problem, U, "pinv")
    with pytest.raises(ValueError, match=r"U must have shape \(c, P, d\) = \(1, 6, 3\)"):
        cr.decompose(problem, U[:, :-1])
    with pytest.raises(TypeError, match="already decomposed"):
        cr.decompose(problem, (U, U))
    with pytest.raises(TypeError, match="problem must be"):
        cr.decompose(U, U)
    with pytest.raises(ValueError, match="solver must be 'auto' for method 'witness', which solves no CVXPY program"):
        cr.decompose(problem, U, "witness", solver="SCS")
    with pytest.raises(ValueError, match="solver must be one of"):
        cr.decompose(problem, U, solver="NOPE")
    with pytest.raises(TypeError, match="start must be a pair"):
        cr.decompose(problem, U, "approximate", start=U)
    with pytest.raises(ValueError, match="finite"):
        cr.decompose(problem, U * np.nan)
    with pytest.raises(ValueError, match="max_iter"):
        cr.ApproximateDecomposition(max_iter=0)


@pytest.mark.parametrize("method", ["socp", "l1"])
def test_a_missing_solver_is_reported(method, monkeypatch):
    problem, U = make()
    monkeypatch.setattr(cp, "installed_solvers", lambda: ["CLARABEL", "SCS"])
    with pytest.raises(cr.SolverNotAvailableError, match="MOSEK is not installed"):
        cr.decompose(problem, U, method, solver="MOSEK")


def test_zero_weights_and_progress(capsys):
    problem, U = make()
    V, W = cr.decompose(problem, 0.0 * U, verbose=True)
    assert not V.any()
    assert not W.any()
    cr.decompose(problem, U, verbose=True)
    assert "decomposing" in capsys.readouterr().out


# Projections onto polyhedra


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 7))
def test_projections_onto_polyhedra_satisfy_their_optimality_conditions(seed, n, d):
    rng = np.random.default_rng(seed)
    X, G = rng.standard_normal((n, d)), rng.standard_normal((d, 5))
    D = X @ G >= 0
    signs = np.where(D, 1.0, -1.0)
    offsets = np.maximum(signs * (X @ rng.standard_normal((d, 5))), 0.0)
    projector = PolyhedronProjector(X, D, offsets)
    blocks = np.arange(5)
    for _ in range(3):  # from scratch, then from the face of the last projection
        x = rng.standard_normal((5, d)) * 10.0 ** rng.integers(-2, 3)
        p = projector.project(blocks, x)
        scale = max(np.abs(x).max(), np.abs(p).max())
        assert projector.margins(blocks, p).min() >= -1e-8 * scale
        for b in blocks:
            rows = projector.tight_rows(b)
            R = signs[rows, b][:, None] * X[rows]
            gamma = np.linalg.lstsq(R.T, p[b] - x[b], rcond=None)[0] if len(rows) else np.zeros(0)
            assert np.allclose(R.T @ gamma, p[b] - x[b], atol=1e-7 * scale)
            assert (gamma >= -1e-6 * scale).all()
            assert np.allclose(R @ p[b], offsets[rows, b], atol=1e-7 * scale)


def test_the_most_violated_rows_are_remembered():
    """Rows 0 and 2, violated by 0.9 and 1, are examined first after one of them has entered."""
    unit, x = np.eye(4), np.array([[-0.9, 3.0, 1.0, -0.1]])
    active, tight = np.array([[True, True, False, True]]), np.zeros((1, 4), dtype=bool)
    row, level, basis = np.zeros((1, 4), dtype=np.intp), np.zeros((1, 4)), np.eye(4)[None].copy()
    vectors, margins, some = scratch(4, 4)
    some[:] = -1
    project_blocks(
        unit, active, np.empty((1, 0)), x, np.array([1e-9]), -1.0, 1, basis, tight, row, level, vectors, margins, some
    )
    np.testing.assert_array_equal(margins, [-0.9, 3.0, -1.0, -0.1])
    assert row[tight].tolist() == [2]
    assert some.tolist() == [0, 2, -1, -1]


def test_an_empty_polyhedron_has_negative_margins():
    X = np.array([[1.0, 0.0], [-1.0, 0.0]])
    projector = PolyhedronProjector(X, np.ones((2, 1), dtype=bool), np.ones((2, 1)))
    p = projector.project(np.arange(1), np.zeros((1, 2)))
    assert projector.margins(np.arange(1), p).min() < -0.1


# The two-step solver


@pytest.mark.parametrize("method", ["socp", "l2", "witness"])
def test_the_two_step_solver_is_feasible_and_honest(method):
    problem, _ = make("tall")
    problem = problem.with_lam(0.1 * problem.lam_max())
    exact = cr.solve(problem, "CLARABEL")
    with pytest.warns(cr.ConvergenceWarning, match="Decompose"):
        solution = cr.solve(problem, cr.Decompose(method=method))
    assert solution.status == "inaccurate"
    assert problem.violation(solution.weights) == 0.0
    assert solution.lower <= exact.objective <= solution.objective
    warm = cr.solve(problem, "WorkingSet", start=solution.weights)
    assert warm.objective == pytest.approx(exact.objective, rel=1e-5)
    augmented = cr.solve(problem, "AugmentedLagrangian", start=solution.weights, tol=1e-3)
    assert augmented.objective == pytest.approx(exact.objective, rel=2e-3)


def test_the_two_step_solver_needs_a_relu_problem():
    problem, _ = make()
    gated = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, 0.1)
    with pytest.raises(cr.SolverError, match="Decompose solves ConvexReLU"):
        cr.solve(gated, "decompose")
    with pytest.raises(ValueError, match="gated_tol"):
        cr.Decompose(gated_tol=0.0)


def test_without_a_penalty_the_two_step_solver_is_optimal():
    X = make_data("tripled")
    problem = cr.ConvexReLU(X, np.random.default_rng(0).standard_normal(len(X)), cr.sample_patterns(X, 4), 0.0)
    solution = cr.solve(problem, "decompose", tol=1e-9)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(cr.solve(problem, "CLARABEL").objective, rel=1e-7)


def test_singular_blocks_are_left_out_with_a_warning():
    problem = singular_problem()
    with pytest.warns(cr.ConvergenceWarning, match=r"1 block\(s\) of singular patterns have no decomposition"):
        solution = cr.solve(problem, "decompose")
    assert solution.certificate.max_violation <= 1e-12
    # The row active only in singular patterns cannot be fitted: its loss is 1/2 (-1)^2 / 3.
    assert solution.lower <= 1 / 6 <= solution.objective + 1e-12


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
