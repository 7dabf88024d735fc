"""ActivationPatterns: construction, duplicates, signs of gates, and the check against X."""

import copy
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from cvxrelu.patterns import activation_patterns as module
from cvxrelu.patterns.activation_patterns import ActivationPatterns, unique_columns

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=10))


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


def test_blocks_of_rows_are_whole_bytes_and_bounded():
    blocks = list(module.row_blocks(200, module.BLOCK_BYTES // (8 * 80)))
    assert blocks == [slice(0, 80), slice(80, 160), slice(160, 240)]


@pytest.mark.parametrize("d", [1, 10, 1000])
def test_rounding_bound_of_products_of_unit_vectors(d):
    """The bound covers d products and sums and the rounding of each vector, by at most a factor of four."""
    assert (d + 2) * 2.0**-52 <= module.rounding(d) <= 4 * (d + 4) * 2.0**-52
