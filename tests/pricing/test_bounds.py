import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.pricing.bounds import bound_neurons
from cvxrelu.pricing.neuron_problem import RowLines
from tests.helpers.neurons import KINDS, SEEDS, largest_by_enumeration, make_rows, ordinary


@settings(max_examples=50)
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 9), st.integers(1, 4), st.booleans())
def test_bound_is_the_maximum_of_all_cones(seed, kind, n, d, one_signed):
    rng = np.random.default_rng(seed)
    X, t = make_rows(kind, n, d, rng), rng.standard_normal(n)
    if one_signed:
        t = np.abs(t)
    if not X.any():
        return
    largest = largest_by_enumeration(X, t)
    size = float(np.abs(t) @ np.linalg.norm(X, axis=1))
    bound = bound_neurons(X, RowLines(X), t, 1e-3 * size)
    assert bound.upper >= largest * (1 - 1e-9)
    assert bound.upper <= max(1e-3 * size, largest) * (1 + 2e-4)
    if largest > 1e-3 * size:
        values = np.abs(t @ np.maximum(X @ bound.candidates.T, 0.0))
        assert values.max() >= largest * (1 - 2e-4)
        assert np.linalg.norm(bound.candidates, axis=1) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(KINDS), st.integers(3, 4), st.floats(1.0, 1.3))
def test_bounds_are_proven_only_if_true(seed, kind, d, factor):
    rng = np.random.default_rng(seed)
    X, t = make_rows(kind, 8, d, rng), rng.standard_normal(8)
    if np.linalg.matrix_rank(X) < 3:
        return
    largest = largest_by_enumeration(X, t)
    above = bound_neurons(X, RowLines(X), t, factor * largest * (1 + 1e-6))
    assert above.upper == pytest.approx(factor * largest * (1 + 1e-6), rel=1e-9)
    below = bound_neurons(X, RowLines(X), t, largest / factor * (1 - 1e-6))
    assert below.upper >= largest * (1 - 1e-9)
    assert len(below.candidates)


def test_a_number_of_nodes_ends_the_search():
    X, t = ordinary()
    full = bound_neurons(X, RowLines(X), t, 1e-3)
    short = bound_neurons(X, RowLines(X), t, 1e-3, max_nodes=40)
    assert short.n_nodes <= 40 < full.n_nodes
    assert short.upper >= full.upper


def test_zero_dual_variable():
    X, t = ordinary(20, 3)
    assert bound_neurons(X, RowLines(X), 0.0 * t, 1e-3).upper == pytest.approx(1e-3)
