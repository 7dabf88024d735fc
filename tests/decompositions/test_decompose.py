import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import cvxrelu as cr
from cvxrelu.decompositions import decompose as decompositions
from cvxrelu.decompositions.decompose import METHODS, split, supporting_rows
from tests.helpers.decompositions import MEASURES, assert_decomposed, make, singular_problem

NATIVE = ("socp", "l2", "witness", "approximate")


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


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["tall", "wide", "doubled"]), st.sampled_from(["socp", "l2", "l1"]))
def test_exact_methods_agree_with_clarabel(seed, shape, method):
    problem, U = make(shape, seed=seed, n_gates=5)
    V, W = cr.decompose(problem, U, method)
    for i in range(len(problem.patterns)):
        try:
            best = best_by_clarabel(problem, U[0, i], i, method)
        except cp.error.SolverError:  # Clarabel fails on some draws, which then have no reference
            reject()
        assert MEASURES[method](V[0, i], W[0, i]) == pytest.approx(best, rel=1e-6, abs=1e-7)


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


def test_blocks_in_their_cones_have_a_trivial_decomposition():
    problem, U = make()
    for method in ("socp", "l1"):
        V, W = cr.decompose(problem, U, method)
        assert np.array_equal(V[0, 1], U[0, 1])
        assert not W[0, 1].any()
        assert np.array_equal(W[0, 2], -U[0, 2])
        assert not V[0, 2].any()


# Singular patterns


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


def test_zero_weights_and_progress(capsys):
    problem, U = make()
    V, W = cr.decompose(problem, 0.0 * U, verbose=True)
    assert not V.any()
    assert not W.any()
    cr.decompose(problem, U, verbose=True)
    assert "decomposing" in capsys.readouterr().out
