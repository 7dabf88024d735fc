from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.pricing import branch_and_bound as cone_search
from cvxrelu.pricing.bounds import bound_neurons
from cvxrelu.pricing.branch_and_bound import search
from cvxrelu.pricing.neuron_problem import _DECIMALS, _RANK_TOL, RowLines
from tests.helpers.clock import Clock
from tests.helpers.neurons import KINDS, SEEDS, largest_by_enumeration, make_rows


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


@settings(max_examples=50)
@given(SEEDS, st.sampled_from(KINDS), st.integers(2, 5))
def test_form_is_the_function_on_the_rows(seed, kind, d):
    rng = np.random.default_rng(seed)
    X, t = make_rows(kind, 12, d, rng), rng.standard_normal(12)
    lines = RowLines(X)
    objective = lines.objective(t)
    U = rng.standard_normal((50, X.shape[1]))
    size = float(np.abs(t) @ np.linalg.norm(X, axis=1))
    for u in U / np.linalg.norm(U, axis=1, keepdims=True):
        assert objective.value(u @ lines.basis) == pytest.approx(
            t @ np.maximum(X @ u, 0.0), abs=objective.slack + 1e-13 * size
        )
    assert objective.slack <= 1e-8 * size


def ordinary(n=120, d=5):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    return X, rng.standard_normal(n)


@pytest.mark.parametrize("limit", [{"max_nodes": 40}, {"deadline": 0.0}], ids=["nodes", "time"])
def test_a_search_ended_by_a_limit_still_has_a_bound(limit):
    X, t = ordinary()
    lines = RowLines(X)
    objective = lines.objective(t)
    full = search(objective, 1e-6, lambda u: u)
    short = search(objective, 1e-6, lambda u: u, **limit)
    assert full.finished
    assert not short.finished
    assert np.isfinite(short.upper)
    assert short.upper >= full.upper
    assert short.n_nodes <= 40


def test_a_deadline_ends_the_search(monkeypatch):
    """Each reading of the clock takes a second: five nodes for the first sign, one for the second."""
    clock = Clock(1.0)
    monkeypatch.setattr(cone_search, "clock", SimpleNamespace(perf_counter=clock))
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((300, 9)), rng.standard_normal(300)
    bound = bound_neurons(X, RowLines(X), t, 1e-3, deadline=clock.now + 5.0)
    assert clock.now == 1006.0
    assert bound.n_nodes > 0
    assert bound.upper >= cr.find_neuron(X, t).value


def test_a_number_of_nodes_ends_the_search():
    X, t = ordinary()
    full = bound_neurons(X, RowLines(X), t, 1e-3)
    short = bound_neurons(X, RowLines(X), t, 1e-3, max_nodes=40)
    assert short.n_nodes <= 40 < full.n_nodes
    assert short.upper >= full.upper


def test_zero_dual_variable():
    X, t = ordinary(20, 3)
    assert bound_neurons(X, RowLines(X), 0.0 * t, 1e-3).upper == pytest.approx(1e-3)


def test_rows_are_signed_multiples_of_their_lines():
    """e1, -e1, 2 e1 and -3 e2 in the plane, and a zero row: row j is its norm times the signed unit row of its line."""
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [0.0, -3.0]])
    lines = RowLines(X)
    numbers = lines.row_lines()
    assert numbers[2] == 0
    assert sorted(set(np.abs(numbers))) == [0, 1, 2]
    units = np.where(numbers > 0, 1.0, -1.0)[:, None] * lines.E[np.abs(numbers) - 1] @ lines.basis.T
    used = numbers != 0
    np.testing.assert_allclose(units[used] * np.linalg.norm(X[used], axis=1)[:, None], X[used], atol=1e-15)


@pytest.mark.parametrize(("size", "rank"), [(0.5, 2), (2.0, 3)])
def test_the_rank_is_relative_to_the_largest_singular_value(size, rank):
    """Unit rows in a plane and a small third column: the largest singular value of 400 such rows is 14, not 1."""
    angles = np.linspace(0.0, 2.0 * np.pi, 400, endpoint=False)
    third = np.where(np.arange(400) % 2, 1.0, -1.0) / 20.0  # of norm one, and orthogonal to the others
    X = np.column_stack([np.cos(angles), np.sin(angles), third * size * _RANK_TOL * np.sqrt(200.0)])
    assert RowLines(X).rank == rank


def test_the_slack_bounds_the_error_of_joining():
    """Joining two nearly parallel rows changes t'(Xu)_+ by at most |t_j| times the distance the second row is moved."""
    moved = 10.0**-_DECIMALS / 8.0
    X = np.array([[1.0, 0.0], [3.0, 3.0 * moved], [0.0, 1.0]])
    lines = RowLines(X)
    assert len(lines.E) == 2
    assert lines.objective(np.array([0.0, -2.0, 0.0])).slack == pytest.approx(2.0 * 3.0 * moved, rel=1e-2)
    assert lines.objective(np.array([5.0, 0.0, 5.0])).slack <= 1e-14
