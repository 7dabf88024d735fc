"""Witnesses of the cones, and singular patterns."""

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cvxrelu.patterns import activation_patterns as module
from cvxrelu.patterns.activation_patterns import ActivationPatterns


def assert_strictly_inside(X, D, W):
    """Check that every w_i has the signs of pattern i on all non-zero rows of X."""
    signs = np.where(D, 1.0, -1.0)
    nonzero = np.any(X != 0, axis=1)
    assert ((signs * (X @ W))[nonzero] > 0).all()


@pytest.mark.parametrize("block_bytes", [1, 2**25])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_of_generic_data_are_their_own_witnesses(monkeypatch, dtype, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(module.scipy.optimize, "linprog", lambda *args, **kwargs: pytest.fail("no program is needed"))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5)).astype(dtype)
    patterns = ActivationPatterns.from_gates(X, rng.standard_normal((5, 30)))
    W, found = patterns.witnesses(X)
    assert found.all()
    assert W.dtype == np.float64
    np.testing.assert_array_equal(W, patterns.G)
    assert not patterns.is_singular(X).any()


def test_witnesses_of_masks_without_gates_are_found_by_the_program():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 5))
    D = X @ rng.standard_normal((5, 20)) >= 0
    W, found = ActivationPatterns(D).witnesses(X)
    assert found.all()
    assert_strictly_inside(X, D, W)
    assert np.abs(W).max() <= 1.0


def test_the_program_maximises_the_margin_of_unit_rows():
    # Rows e_1 and 100 e_2, both active: the widest direction of the box is (1, 1) for all lengths.
    W, found = ActivationPatterns([[1], [1]]).witnesses([[1.0, 0.0], [0.0, 100.0]])
    assert found.all()
    np.testing.assert_allclose(W, [[1.0], [1.0]], atol=1e-9)
    # The minimum of w_1 and (-3 w_1 + 4 w_2) / 5 is largest at (1/2, 1).
    W, found = ActivationPatterns([[1], [1]]).witnesses([[1.0, 0.0], [-3.0, 4.0]])
    assert found.all()
    np.testing.assert_allclose(W, [[0.5], [1.0]], atol=1e-9)


def test_witness_of_a_gate_with_a_zero_product_is_found_by_the_program():
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    patterns = ActivationPatterns.from_gates(X, [[1.0], [0.0]])
    W, found = patterns.witnesses(X)
    assert found.all()
    assert_strictly_inside(X, patterns.D, W)
    assert (W != patterns.G).any()


def test_a_product_within_rounding_of_zero_does_not_make_the_gate_a_witness():
    X = np.array([[0.1, 0.2, -0.3], [1.0, 0.0, 0.0]])
    gate = np.ones((3, 1))
    assert 0.0 < abs((X @ gate)[0, 0]) < 1e-15
    patterns = ActivationPatterns.from_gates(X, gate)
    W, found = patterns.witnesses(X)
    assert found.all()
    assert_strictly_inside(X, patterns.D, W)
    assert abs(X[0] @ W[:, 0]) > 1e-3


def test_a_gate_of_another_pattern_is_no_witness():
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    W, found = ActivationPatterns([[0], [1]], [[1.0], [1.0]]).witnesses(X)
    assert found.all()
    assert_strictly_inside(X, np.array([[False], [True]]), W)


def test_opposite_rows():
    X = np.array([[1.0, 2.0], [-1.0, -2.0], [1.0, -1.0]])
    D = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(ActivationPatterns(D).is_singular(X), [True, True, False, False])
    W, found = ActivationPatterns(D).witnesses(X)
    np.testing.assert_array_equal(found, [False, False, True, True])
    assert (W[:, ~found] == 0.0).all()
    assert_strictly_inside(X, D[:, found].astype(bool), W[:, found])


def test_a_singular_pattern_of_a_gate_on_the_hyperplane():
    X = np.array([[1.0, 2.0], [-1.0, -2.0]])
    patterns = ActivationPatterns.from_gates(X, [[2.0, 1.0], [-1.0, 1.0]])
    np.testing.assert_array_equal(patterns.D, [[True, True], [True, False]])
    np.testing.assert_array_equal(patterns.is_singular(X), [True, False])


def test_proportional_rows_with_contradicting_masks_are_singular():
    X = np.array([[0.1, 0.7], [0.3, 2.1], [1.0, 0.0]])
    D = [[1, 1], [0, 1], [1, 1]]
    np.testing.assert_array_equal(ActivationPatterns(D).is_singular(X), [True, False])


def test_zero_rows_constrain_nothing():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    D = np.array([[0, 1], [1, 1], [0, 0]], dtype=bool)
    W, found = ActivationPatterns(D).witnesses(X)
    assert found.all()
    assert_strictly_inside(X, D, W)
    np.testing.assert_array_equal(ActivationPatterns(D, [[1, 2], [-1, -2]]).witnesses(X)[0], [[1, 2], [-1, -2]])


def test_data_of_zero_rows_only_leaves_the_whole_space():
    assert not ActivationPatterns([[1, 0], [0, 1]]).is_singular(np.zeros((2, 3))).any()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_singularity_does_not_depend_on_the_length_of_the_rows(size):
    X = np.array([[1.0, 2.0], [-1.0, -2.0], [1.0, -1.0]]) * np.array([[size], [1.0], [1.0]])
    D = np.array([[1, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(ActivationPatterns(D).is_singular(X), [True, False])


@pytest.mark.parametrize("scales", [(1e12, 1.0, 1e-12), (1e-140, 1e140, 1.0)])
def test_gates_are_witnesses_for_all_column_scales(scales):
    # Products are sums of terms of equal size, but tiny relative to the norms of rows and gates.
    rng = np.random.default_rng(0)
    X, G = rng.standard_normal((20, 3)), rng.standard_normal((3, 10))
    scaled = ActivationPatterns.from_gates(X * np.array(scales), G / np.array(scales)[:, None])
    W, found = scaled.witnesses(X * np.array(scales))
    assert found.all()
    np.testing.assert_array_equal(W, scaled.G)


def test_cones_have_witnesses_down_to_the_tolerance():
    # Row 2 is row 1 rotated by the angle; opposite masks leave a sector of that angle.
    for angle, singular in ((1e-6, False), (1e-8, False), (1e-10, True)):
        X = np.array([[1.0, 0.0], [1.0, angle]])
        patterns = ActivationPatterns([[1], [0]])
        assert patterns.is_singular(X).tolist() == [singular], angle
        W, found = patterns.witnesses(X)
        assert_strictly_inside(X, patterns.D[:, found], W[:, found])


@pytest.mark.parametrize(("n", "d"), [(12, 3), (60, 6), (400, 30)])
@pytest.mark.parametrize("margin", [1e-6, 3e-8, 2e-9])
def test_witnesses_of_thin_cones_with_many_rows(n, d, margin):
    # Unit rows with this product with w, |w|_inf = 1: a lower bound of the margin.
    rng = np.random.default_rng(5)
    for _ in range(8):
        w = rng.standard_normal(d)
        w /= np.abs(w).max()
        rows = rng.standard_normal((n, d))
        rows -= np.outer(rows @ w, w) / (w @ w)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows += margin * w / (w @ w)
        D = rng.random((n, 1)) < 0.5
        X = np.where(D, rows, -rows)
        W, found = ActivationPatterns(D).witnesses(X)
        assert found.all()
        assert_strictly_inside(X, D, W)


def test_failed_program_gives_no_witness(monkeypatch):
    class Failed:
        x = None

    monkeypatch.setattr(module.scipy.optimize, "linprog", lambda *args, **kwargs: Failed())
    W, found = ActivationPatterns([[1]]).witnesses([[1.0]])
    assert not found.any()
    assert (W == 0.0).all()


def test_wrong_solution_of_the_program_is_no_witness(monkeypatch):
    class Wrong:
        x = np.array([-1.0, 1.0])

    monkeypatch.setattr(module.scipy.optimize, "linprog", lambda *args, **kwargs: Wrong())
    assert ActivationPatterns([[1]]).is_singular([[1.0]]).all()


def interior_margin(X, mask):
    """Return the largest m with (2 D_jj - 1) x_j'w >= m for all x_j != 0 and |w|_2 <= 1, by CVXPY."""
    w, m = cp.Variable(X.shape[1]), cp.Variable()
    constraints = [cp.norm(w, 2) <= 1, m <= 1]
    constraints += [(1 if on else -1) * (x @ w) >= m for x, on in zip(X, mask, strict=True) if np.any(x)]
    problem = cp.Problem(cp.Maximize(m), constraints)
    problem.solve(solver=cp.CLARABEL)
    return problem.value


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data())
def test_is_singular_agrees_with_cvxpy(data):
    n, d = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    X = data.draw(hnp.arrays(np.float64, (n, d), elements=st.integers(-2, 2).map(float)))
    D = data.draw(hnp.arrays(np.bool_, (n, 1)))
    # Margins of integer rows this small are 0 or well above 1e-3.
    assert ActivationPatterns(D).is_singular(X)[0] == (interior_margin(X, D[:, 0]) < 1e-5)


def test_integer_data_have_both_kinds():
    rng = np.random.default_rng(2)
    X = rng.integers(-2, 3, size=(4, 3)).astype(float)
    D = rng.random((4, 16)) < 0.5
    expected = [interior_margin(X, mask) < 1e-5 for mask in D.T]
    assert 0 < sum(expected) < len(expected)
    np.testing.assert_array_equal(ActivationPatterns(D).is_singular(X), expected)


def test_gates_with_zero_products_on_integer_data():
    rng = np.random.default_rng(3)
    X = rng.integers(-1, 2, size=(12, 3)).astype(float)
    patterns = ActivationPatterns.from_gates(X, rng.integers(-1, 2, size=(3, 25)).astype(float))
    W, found = patterns.witnesses(X)
    expected = [interior_margin(X, mask) > 1e-5 for mask in patterns.D.T]
    assert 0 < sum(expected) < len(expected)
    np.testing.assert_array_equal(found, expected)
    assert_strictly_inside(X, patterns.D[:, found], W[:, found])


def test_gate_moves_from_its_tight_rows_as_far_as_others_allow():
    """The gate is tight on e2 and e3. Their gain then equals the remaining product of the opposing row."""
    signed = module.unit_rows(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.3, -1.0, 0.0], [1.0, 1.0, 1.0]]))
    products = signed @ module.away_from_tight_rows(signed, np.array([1.0, 0.0, 0.0]))
    assert products.min() > 0.05
    assert products[:2].min() == pytest.approx(products[2], rel=1e-12)


def test_gate_with_a_tiny_margin_is_the_last_resort(monkeypatch):
    """Its relative product with the row, 1e-12, exceeds rounding, but the linear program is tried first."""
    monkeypatch.setattr(module, "_widest_direction", lambda signed: np.zeros(signed.shape[1]))
    gate = np.array([[1.0], [-1.0 + 1e-12]])
    W, found = ActivationPatterns([[1], [1]], gate).witnesses([[1.0, 1.0], [1.0, 0.0]])
    assert found.tolist() == [True]
    np.testing.assert_array_equal(W, gate)
