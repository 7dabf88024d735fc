"""The patterns of scaled, transformed, repeated and permuted data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.patterns import enumeration as module
from tests.helpers.cases import make_data
from tests.helpers.enumerated import assert_proven, columns, integer_data


@settings(max_examples=30, deadline=None, derandomize=True)
@given(integer_data(10, 4), st.integers(0, 2**32 - 1))
def test_invariance_under_row_and_column_scaling(X, seed):
    rng = np.random.default_rng(seed)
    n, d = X.shape
    scaled = X * 10.0 ** rng.uniform(-3, 3, (n, 1)) * 10.0 ** rng.uniform(-60, 60, d)
    patterns = cr.enumerate_patterns(scaled)
    assert columns(patterns) == columns(cr.enumerate_patterns(X))
    assert_proven(scaled, patterns)


def test_lengths_of_rows_far_apart():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((14, 3))
    scaled = X * 10.0 ** rng.uniform(-60, 60, (14, 1)) * 10.0 ** rng.uniform(-60, 60, 3)
    patterns = cr.enumerate_patterns(scaled)
    assert columns(patterns) == columns(cr.enumerate_patterns(X))
    assert_proven(scaled, patterns)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(integer_data(10, 4), st.integers(0, 2**32 - 1))
def test_invariance_under_changes_of_basis(X, seed):
    d = X.shape[1]
    turned = X @ np.random.default_rng(seed).standard_normal((d, d + 2))
    patterns = cr.enumerate_patterns(turned)
    assert columns(patterns) == columns(cr.enumerate_patterns(X))
    assert_proven(turned, patterns)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(integer_data(8, 4), st.integers(0, 2**32 - 1))
def test_rows_may_be_repeated_negated_and_permuted(X, seed):
    rng = np.random.default_rng(seed)
    n = len(X)
    order = np.concatenate([rng.permutation(n), rng.integers(0, n, 3)])
    signs = rng.choice([-1.0, 1.0], len(order))
    other = signs[:, None] * X[order]
    patterns = cr.enumerate_patterns(other)
    D = np.asarray(cr.enumerate_patterns(X).D)[order]
    turned = (signs < 0) & X[order].any(axis=1)
    D[turned] = ~D[turned]
    assert columns(patterns) == {column.tobytes() for column in D.T}
    assert_proven(other, patterns)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(integer_data(8, 4))
def test_opposite_patterns_are_included(X):
    patterns = cr.enumerate_patterns(X)
    opposite = ~np.asarray(patterns.D) | ~X.any(axis=1)[:, None]
    assert {column.tobytes() for column in opposite.T} == columns(patterns)


def test_single_precision_data():
    X = np.random.default_rng(0).standard_normal((15, 3)).astype(np.float32)
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == cr.count_patterns(15, 3)
    assert_proven(X, patterns)
    patterns.check_matches(X)


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_sizes_far_from_one(scale):
    X = make_data("tall")
    patterns = cr.enumerate_patterns(scale * X)
    assert columns(patterns) == columns(cr.enumerate_patterns(X))
    assert_proven(scale * X, patterns)


def test_rounding_errors_of_zeros_do_not_determine_the_scales():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((14, 3))
    X[2:, 1] = 0.0
    noisy = X.copy()
    noisy[2:, 1] = 1e-17 * rng.standard_normal(12)
    assert columns(cr.enumerate_patterns(noisy)) == columns(cr.enumerate_patterns(X))


def test_row_and_column_factors_are_separated():
    """Columns of entries 2^(r_j + c_k) are divided by 2^c_k, up to a common factor."""
    rows, columns = np.array([0, 60, -60, 25, 40]), np.array([0, -90, 35])
    X = np.ldexp(1.0, rows[:, None] + columns) * [[1, 1, 0], [0, 1, 1], [1, 1, 1], [1, 0, 1], [0, 0, 1]]
    assert np.ptp(module.column_exponents(X) - columns) == 0


@pytest.mark.parametrize("edge", [module._SMALLEST, module._LARGEST])
def test_sizes_at_the_limits_of_their_range(edge):
    assert len(cr.enumerate_patterns([[edge], [-edge]])) == 2
    beyond = edge * (1.0 - 2.0**-52 if edge < 1.0 else 1.0 + 2.0**-52)
    with pytest.raises(ValueError, match="X must have columns that are zero or have a largest entry between"):
        cr.enumerate_patterns([[beyond], [-beyond]])
