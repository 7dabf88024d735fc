import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.problems.operators import numpy_products
from cvxrelu.problems.operators.numpy_products import row_blocks


def expanded(X, D):
    return np.hstack([D[:, [i]] * X for i in range(D.shape[1])])


@st.composite
def operators(draw):
    n, d, P, c = (draw(st.integers(1, 7)) for _ in range(4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X, D = rng.standard_normal((n, d)), rng.random((n, P)) < 0.5
    return cr.GatedOperator(X, D, block_bytes=draw(st.sampled_from([1, 200, 2**20]))), c, rng


@settings(max_examples=50)
@given(operators())
def test_forward_and_adjoint_match_the_expanded_matrix(drawn):
    operator, c, rng = drawn
    n, d, P = *operator.X.shape, operator.D.shape[1]
    A = expanded(operator.X, operator.D)
    U, t = rng.standard_normal((c, P, d)), rng.standard_normal((n, c))
    np.testing.assert_allclose(operator.forward(U), A @ U.reshape(c, -1).T, atol=1e-12)
    np.testing.assert_allclose(operator.adjoint(t), (A.T @ t).T.reshape(c, P, d), atol=1e-12)


@settings(max_examples=50)
@given(operators(), st.floats(0.0, 1.0))
def test_patterns_with_zero_weights_are_skipped(drawn, fraction):
    operator, c, rng = drawn
    P, d = operator.n_patterns, operator.n_features
    U = rng.standard_normal((c, P, d)) * (rng.random((1, P, 1)) < fraction)
    expected = expanded(operator.X, operator.D) @ U.reshape(c, -1).T
    np.testing.assert_allclose(operator.forward(U), expected, atol=1e-12)


@settings(max_examples=50)
@given(operators())
def test_adjoint_identity(drawn):
    operator, c, rng = drawn
    U = rng.standard_normal((c, operator.n_patterns, operator.n_features))
    t = rng.standard_normal((len(operator.X), c))
    assert np.vdot(operator.forward(U), t) == pytest.approx(np.vdot(U, operator.adjoint(t)), abs=1e-11)


def test_products_are_independent_of_earlier_ones():
    rng = np.random.default_rng(0)
    operator = cr.GatedOperator(rng.standard_normal((9, 4)), rng.random((9, 7)) < 0.5)
    t = rng.standard_normal((9, 2))
    first = operator.adjoint(t)
    kept = first.copy()
    first[0] = 0.0  # owned by the caller
    np.testing.assert_array_equal(operator.adjoint(t), kept)
    t *= 2.0
    np.testing.assert_array_equal(operator.adjoint(t), 2.0 * kept)


def test_float32_stays_float32():
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((50, 4)).astype(np.float32), rng.random((50, 7)) < 0.5
    operator = cr.GatedOperator(X, D)
    U, t = rng.standard_normal((2, 7, 4)), rng.standard_normal((50, 2))
    double = cr.GatedOperator(X.astype(float), D)
    for result, exact in ((operator.forward(U), double.forward(U)), (operator.adjoint(t), double.adjoint(t))):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, exact, rtol=1e-4, atol=1e-4)


def test_memory_is_bounded_by_block_and_tile():
    rng = np.random.default_rng(0)
    n, d, P, budget, tile = 4000, 20, 1500, 2**20, 2**21
    operator = cr.GatedOperator(rng.standard_normal((n, d)), rng.random((n, P)) < 0.5, block_bytes=budget)
    U, t = rng.standard_normal((1, P, d)), rng.standard_normal((n, 1))
    tracemalloc.start()
    operator.forward(U)
    operator.adjoint(t)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Temporaries, X' and a few copies of weights and predictions; the mask alone is 48 MB in float64.
    assert peak < budget + tile + 8 * (4 * P * d + 4 * n + n * d)


@settings(max_examples=50)
@given(operators(), st.booleans(), st.data())
def test_restriction_to_indices(drawn, used_before, data):
    """Indices may be unordered or repeated, and the mask may be cached."""
    operator, c, rng = drawn
    if used_before:
        operator.adjoint(np.ones((len(operator.X), c)))
    index = np.array(
        data.draw(st.lists(st.integers(0, operator.n_patterns - 1), min_size=1, max_size=9)), dtype=np.intp
    )
    part = operator.take(index)
    again = part.take(np.arange(len(index))[::-1])
    np.testing.assert_array_equal(part.D, operator.D[:, index])
    assert (part.n_patterns, part.n_features) == (len(index), operator.n_features)
    assert part.block_bytes == operator.block_bytes
    for one, chosen in ((part, index), (again, index[::-1])):
        A = expanded(operator.X, operator.D[:, chosen])
        U, t = rng.standard_normal((c, len(index), operator.n_features)), rng.standard_normal((len(operator.X), c))
        for _ in range(2):
            np.testing.assert_allclose(one.forward(U), A @ U.reshape(c, -1).T, atol=1e-12)
            np.testing.assert_allclose(one.adjoint(t), (A.T @ t).T.reshape(U.shape), atol=1e-12)
    U = rng.standard_normal((c, operator.n_patterns, operator.n_features))
    complete = expanded(operator.X, operator.D) @ U.reshape(c, -1).T
    np.testing.assert_allclose(operator.forward(U), complete, atol=1e-12)  # unchanged


@pytest.mark.parametrize("used_before", [True, False])
def test_operator_without_patterns(used_before):
    rng = np.random.default_rng(0)
    operator = cr.GatedOperator(rng.standard_normal((5, 3)), rng.random((5, 4)) < 0.5)
    if used_before:
        operator.adjoint(np.ones((5, 2)))
    nothing = operator.take(np.zeros(0, dtype=np.intp))
    np.testing.assert_array_equal(nothing.forward(np.zeros((2, 0, 3))), np.zeros((5, 2)))
    assert nothing.adjoint(np.ones((5, 2))).shape == (2, 0, 3)


@pytest.mark.parametrize("product", ["forward", "adjoint"])
def test_products_without_blocks_do_not_visit_each_row(product, monkeypatch):
    visited = []

    def counted(X, floats, block_bytes, most=None):
        blocks = list(row_blocks(X, floats, block_bytes, most))
        visited.extend(blocks)
        return blocks

    monkeypatch.setattr(numpy_products, "row_blocks", counted)
    operator = cr.GatedOperator(np.ones((100, 3)), np.ones((100, 4), dtype=bool))
    nothing = operator.take(np.zeros(0, dtype=np.intp))
    if product == "forward":  # of zero weights
        assert not operator.forward(np.zeros((2, 4, 3))).any()
        assert not nothing.forward(np.zeros((2, 0, 3))).any()
    else:
        assert not operator.adjoint(np.ones((100, 2)), np.zeros((2, 4), dtype=bool)).any()
        assert nothing.adjoint(np.ones((100, 2))).shape == (2, 0, 3)
    assert len(visited) <= 2


@pytest.mark.parametrize(("n_patterns", "n_features"), [(7, 4), (4, 7)])
def test_astype_rounds_the_data(n_patterns, n_features):
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((50, n_features)), rng.random((50, n_patterns)) < 0.5
    operator = cr.GatedOperator(X, D, block_bytes=1000)
    U, t = rng.standard_normal((2, n_patterns, n_features)), rng.standard_normal((50, 2))
    before = operator.forward(U)
    single = operator.astype(np.float32)
    rounded = cr.GatedOperator(X.astype(np.float32), D)
    assert single.forward(U).dtype == single.adjoint(t).dtype == np.float32
    assert single.block_bytes == operator.block_bytes
    np.testing.assert_allclose(single.forward(U), rounded.forward(U), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(single.adjoint(t), rounded.adjoint(t), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(operator.forward(U), before)
    assert single.astype(np.float64).forward(U).dtype == np.float64


@pytest.mark.parametrize(("dtype", "rows"), [(np.float64, 5), (np.float32, 10)])
def test_two_temporaries_of_a_row_block_fill_the_memory(dtype, rows):
    operator = cr.GatedOperator(np.ones((100, 3), dtype), np.ones((100, 7), dtype=bool), block_bytes=2 * 8 * 10 * 5)
    assert list(operator.row_blocks(10)) == [slice(start, start + rows) for start in range(0, 100, rows)]


def test_adjoint_with_a_small_mask_leaves_other_blocks_zero():
    rng = np.random.default_rng(0)
    X, D, t = rng.standard_normal((12, 3)), rng.random((12, 8)) < 0.5, rng.standard_normal((12, 2))
    operator = cr.GatedOperator(X, D)
    complete = operator.adjoint(t)
    for count in range(1, 16):
        mask = (np.arange(16) < count).reshape(2, 8)
        restricted = operator.adjoint(t, mask)
        np.testing.assert_allclose(restricted[mask], complete[mask], rtol=1e-12)
        assert np.any(restricted[~mask]) == (
            count >= 2 * 3
        )  # products of all blocks cost as much as those of c d blocks


class Other(cr.GatedOperator):
    """Another class of operators."""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "solver", "penalty"),
    [
        (cr.ConvexGatedReLU, "RFISTA", "group_l1"),
        (cr.ConvexGatedReLU, "WorkingSet", "l1"),
        (cr.ConvexReLU, "AugmentedLagrangian", "group_l1"),
        (cr.ConvexReLU, "WorkingSet", "group_l1"),
    ],
)
def test_solvers_use_the_operators_of_the_problem(monkeypatch, kind, solver, penalty, dtype):
    """The class of operators is chosen in one place."""
    made = set()

    def note(self, *given):
        made.add(type(self))
        init(self, *given)

    init = cr.GatedOperator.__init__
    monkeypatch.setattr(cr.GatedOperator, "__init__", note)
    monkeypatch.setattr("cvxrelu.problems.base.GatedOperator", Other)
    X = np.random.default_rng(0).standard_normal((20, 3)).astype(dtype)
    problem = kind(X, np.abs(X[:, 0]), cr.sample_patterns(X, 5, seed=0), lam=0.01, penalty=penalty)
    assert cr.solve(problem, solver, tol=1e-2).status == "optimal"
    assert made == {Other}


def test_the_native_operator_has_the_precision_of_the_data():
    X = np.random.default_rng(0).standard_normal((20, 3))
    for dtype in (np.float32, np.float64):
        problem = cr.ConvexGatedReLU(X.astype(dtype), X[:, 0], cr.sample_patterns(X, 5, seed=0), lam=0.01)
        assert problem.native_operator.X.dtype == dtype
        assert problem.native_operator.X is problem.X
        assert problem.replace(y=-problem.y).native_operator is problem.native_operator  # with its copies of X
        assert problem.operator.X.dtype == np.float64
