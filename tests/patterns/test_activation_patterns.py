"""ActivationPatterns: construction, duplicates, witnesses of the cones, and the check against X."""

import copy
from dataclasses import FrozenInstanceError

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cvxrelu.patterns import activation_patterns as module
from cvxrelu.patterns.activation_patterns import ActivationPatterns, unique_columns

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=10))


def assert_strictly_inside(X, D, W):
    """Check that every w_i has the signs of pattern i on all non-zero rows of X."""
    signs = np.where(D, 1.0, -1.0)
    nonzero = np.any(X != 0, axis=1)
    assert ((signs * (X @ W))[nonzero] > 0).all()


# Construction


def test_arrays_are_kept_as_given():
    D = [[1, 1, 0], [0, 0, 0]]
    G = np.arange(6.0).reshape(2, 3)
    patterns = ActivationPatterns(D, G)
    assert patterns.D.dtype == np.bool_
    np.testing.assert_array_equal(patterns.D, D)
    np.testing.assert_array_equal(patterns.G, G)
    assert (patterns.n, patterns.n_patterns, len(patterns)) == (2, 3, 3)


def test_gates_are_optional():
    assert ActivationPatterns([[1], [0]]).G is None


def test_repr_has_the_counts():
    assert repr(ActivationPatterns(np.eye(4, 3), np.ones((2, 3)))) == (
        "ActivationPatterns(3 patterns of 4 rows, gates in 2 features)"
    )
    assert repr(ActivationPatterns(np.eye(4, 3))) == "ActivationPatterns(3 patterns of 4 rows, no gates)"


def test_instances_are_immutable():
    D, G = np.ones((2, 3), dtype=bool), np.ones((1, 3))
    patterns = ActivationPatterns(D, G)
    D[0, 0], G[0, 0] = False, -1.0
    assert patterns.D.all()
    assert (patterns.G == 1.0).all()
    with pytest.raises(ValueError, match="read-only"):
        patterns.D[0, 0] = False
    with pytest.raises(ValueError, match="read-only"):
        patterns.G[0, 0] = 0.0
    with pytest.raises(FrozenInstanceError):
        patterns.D = D
    with pytest.raises(FrozenInstanceError):
        patterns.extra = 1


def test_a_deep_copy_has_the_same_arrays():
    patterns = ActivationPatterns(np.eye(3), np.ones((2, 3)))
    copied = copy.deepcopy(patterns)
    np.testing.assert_array_equal(copied.D, patterns.D)
    np.testing.assert_array_equal(copied.G, patterns.G)


@pytest.mark.parametrize(
    ("D", "G", "error", "message"),
    [
        ([[1, 0]], np.ones((2, 3)), ValueError, r"G must have one column .* got G of shape \(2, 3\)"),
        ([1, 0], None, ValueError, "D must be a non-empty 2-D array"),
        (np.ones((3, 0)), None, ValueError, "D must be a non-empty 2-D array"),
        ([[2, 0]], None, TypeError, "D must be boolean"),
        ([[1, 0]], [1.0, 2.0], ValueError, r"G must be a 2-D array of shape \(d, P\)"),
        ([[1, 0]], [[1.0, np.nan]], ValueError, "G must be finite"),
        ([[1]], [["a"]], TypeError, "G must hold real numbers"),
    ],
)
def test_bad_masks_and_gates_are_refused(D, G, error, message):
    with pytest.raises(error, match=message):
        ActivationPatterns(D, G)


# Duplicates


@settings(deadline=None, derandomize=True)
@given(masks)
def test_unique_columns_agrees_with_numpy(D):
    columns, first = np.unique(D, axis=1, return_index=True)
    expected = np.sort(first[columns.any(axis=0)])
    np.testing.assert_array_equal(unique_columns(D), expected)


def test_unique_columns_compares_all_bytes():
    D = np.zeros((20, 3), dtype=bool)
    D[0] = True
    D[19, 1] = True
    np.testing.assert_array_equal(unique_columns(D), [0, 1])


def test_unique_columns_of_zeros_are_none():
    assert unique_columns(np.zeros((5, 4))).size == 0


def test_unique_columns_refuses_other_values():
    with pytest.raises(TypeError, match="D must be boolean"):
        unique_columns([[3]])


def test_unique_keeps_the_first_gate_and_drops_zero_patterns():
    D = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 1, 1]], dtype=bool)
    G = np.arange(15.0).reshape(3, 5)
    unique = ActivationPatterns(D, G).unique()
    np.testing.assert_array_equal(unique.D, D[:, [1, 3, 4]])
    np.testing.assert_array_equal(unique.G, G[:, [1, 3, 4]])
    masks_only = ActivationPatterns(D).unique()
    np.testing.assert_array_equal(masks_only.D, D[:, [1, 3, 4]])
    assert masks_only.G is None


def test_unique_of_zero_patterns_is_refused():
    with pytest.raises(ValueError, match="no non-zero pattern: all 2 gates are inactive"):
        ActivationPatterns(np.zeros((3, 2))).unique()


# From gates


@pytest.mark.parametrize("block_bytes", [1, 400, 2**25])
def test_from_gates_gives_the_signs_of_the_products(monkeypatch, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    X, G = rng.standard_normal((30, 8)), rng.standard_normal((8, 20))
    patterns = ActivationPatterns.from_gates(X, G)
    np.testing.assert_array_equal(patterns.D, X @ G >= 0)
    np.testing.assert_array_equal(patterns.G, G)


def test_from_gates_activates_products_of_zero():
    patterns = ActivationPatterns.from_gates([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[1.0], [0.0]])
    np.testing.assert_array_equal(patterns.D, [[True], [True], [True]])


def test_from_gates_keeps_first_gates_in_order_and_drops_the_zero_pattern():
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    G = np.array([[-1.0, 1.0, 2.0, -1.0, 1.0], [-1.0, -1.0, -3.0, 1.0, -5.0]])
    patterns = ActivationPatterns.from_gates(X, G)
    np.testing.assert_array_equal(patterns.D, [[True, False], [False, True]])
    np.testing.assert_array_equal(patterns.G, G[:, [1, 3]])


@pytest.mark.parametrize(
    ("X", "G", "message"),
    [
        ([[1.0, 2.0]], [[-1.0], [0.0]], "no non-zero pattern: all 1 gates are inactive on every row of X"),
        ([[1.0, 2.0]], [[1.0]], r"G must have one row for each feature of X; got G of shape \(1, 1\)"),
        ([1.0, 2.0], [[1.0]], "X must be a 2-D array"),
        ([[1.0]], [[np.inf]], "G must be finite"),
    ],
)
def test_from_gates_refuses_bad_input(X, G, message):
    with pytest.raises(ValueError, match=message):
        ActivationPatterns.from_gates(X, G)


# Witnesses and singular patterns


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


# Whether patterns belong to X


@pytest.fixture
def data_and_patterns():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((25, 4))
    return X, ActivationPatterns.from_gates(X, rng.standard_normal((4, 10)))


@pytest.mark.parametrize("method", ["check_matches", "witnesses", "is_singular"])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((24, 4)), r"one row for each row of the patterns, 25; got X of shape \(24, 4\).*another X"),
        (np.ones((25, 5)), r"one feature for each row of the gates, 4; got X of shape \(25, 5\).*another X"),
        (np.ones(25), "X must be a 2-D array"),
        (np.full((25, 4), np.nan), "X must be finite"),
    ],
)
def test_data_of_another_shape_are_refused(data_and_patterns, method, X, message):
    with pytest.raises(ValueError, match=message):
        getattr(data_and_patterns[1], method)(X)


@pytest.mark.parametrize("block_bytes", [1, 2**25])
def test_check_matches_counts_the_entries_that_differ(monkeypatch, data_and_patterns, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    X, patterns = data_and_patterns
    patterns.check_matches(X)
    turned = X.copy()
    turned[[3, 24]] *= -1.0
    with pytest.raises(ValueError, match=r"D differs from 1\[X G >= 0\] at 20 of 250 entries.*another X"):
        patterns.check_matches(turned)


def test_check_matches_finds_one_wrong_entry(data_and_patterns):
    X, patterns = data_and_patterns
    D = patterns.D.copy()
    D[7, 2] ^= True
    with pytest.raises(ValueError, match="at 1 of 250 entries"):
        ActivationPatterns(D, patterns.G).check_matches(X)


def test_check_matches_without_gates_compares_only_the_rows(data_and_patterns):
    X, patterns = data_and_patterns
    ActivationPatterns(patterns.D).check_matches(-X[:, :2])


def test_check_matches_accepts_either_sign_within_rounding_of_the_precision_of_x():
    X = np.array([[0.1, 0.2, -0.3]])
    gate = np.ones((3, 1))
    for on in (0, 1):
        ActivationPatterns([[on]], gate).check_matches(X)
        ActivationPatterns([[on]], gate).check_matches(X.astype(np.float32))
    # 0.1 + 0.2 - 0.3 is about 7e-9 in single precision: significant in double, rounding in single.
    rounded = X.astype(np.float32).astype(np.float64)
    with pytest.raises(ValueError, match="at 1 of 1 entries"):
        ActivationPatterns([[(rounded @ gate)[0, 0] < 0]], gate).check_matches(rounded)


def test_check_matches_accepts_float32_data(data_and_patterns):
    X, patterns = data_and_patterns
    patterns.check_matches(X.astype(np.float32))
    single = ActivationPatterns.from_gates(X.astype(np.float32), patterns.G.astype(np.float32))
    single.check_matches(X.astype(np.float32))
    with pytest.raises(ValueError, match="another X"):
        single.check_matches(-X.astype(np.float32))


def test_gate_moves_from_its_tight_rows_as_far_as_others_allow():
    """The gate is tight on e2 and e3. Their gain then equals the remaining product of the opposing row."""
    signed = module.unit_rows(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.3, -1.0, 0.0], [1.0, 1.0, 1.0]]))
    products = signed @ module.away_from_tight_rows(signed, np.array([1.0, 0.0, 0.0]))
    assert products.min() > 0.05
    assert products[:2].min() == pytest.approx(products[2], rel=1e-12)


def test_blocks_of_rows_are_whole_bytes_and_bounded():
    blocks = list(module.row_blocks(200, module.BLOCK_BYTES // (8 * 80)))
    assert blocks == [slice(0, 80), slice(80, 160), slice(160, 240)]


@pytest.mark.parametrize("d", [1, 10, 1000])
def test_rounding_bound_of_products_of_unit_vectors(d):
    """The bound covers d products and sums and the rounding of each vector, by at most a factor of four."""
    assert (d + 2) * 2.0**-52 <= module.rounding(d) <= 4 * (d + 4) * 2.0**-52


def test_gate_with_a_tiny_margin_is_the_last_resort(monkeypatch):
    """Its relative product with the row, 1e-12, exceeds rounding, but the linear program is tried first."""
    monkeypatch.setattr(module, "_widest_direction", lambda signed: np.zeros(signed.shape[1]))
    gate = np.array([[1.0], [-1.0 + 1e-12]])
    W, found = ActivationPatterns([[1], [1]], gate).witnesses([[1.0, 1.0], [1.0, 0.0]])
    assert found.tolist() == [True]
    np.testing.assert_array_equal(W, gate)
