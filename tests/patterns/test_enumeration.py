"""All activation patterns: exact counts, brute force, degenerate data, limits, chunks, global optima."""

import itertools
import math
import tracemalloc
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_iris

import cvxrelu as cr
from cvxrelu.patterns import enumeration as module
from cvxrelu.patterns.arrangements import Leaves, half_of_the_cells
from tests.helpers.cases import make_data
from tests.helpers.enumerated import assert_proven, columns, integer_data


def exact_count(X):
    """Return the number of cells of the hyperplanes x_j'w = 0, by deletion and restriction in rational arithmetic."""

    def line(v):
        first = next((a for a in v if a), None)
        return None if first is None else tuple(a / first for a in v)

    @lru_cache(None)
    def cells(lines):
        if not lines:
            return 1
        last, rest = lines[-1], lines[:-1]
        k = next(i for i, a in enumerate(last) if a)
        inside = {line([a - v[k] * b for i, (a, b) in enumerate(zip(v, last, strict=True)) if i != k]) for v in rest}
        return cells(rest) + cells(tuple(sorted(inside - {None})))

    return cells(tuple(sorted({line([Fraction(a) for a in row]) for row in X} - {None})))


# Counts


@pytest.mark.parametrize(
    ("n", "rank", "count"),
    [(1, 1, 2), (5, 1, 2), (5, 2, 10), (200, 3, 39802), (100, 4, 323600), (30, 5, 55682), (4, 4, 16), (4, 9, 16)],
)
def test_count_patterns(n, rank, count):
    assert cr.count_patterns(n, rank) == count


@given(st.integers(1, 80), st.integers(1, 90))
def test_count_patterns_matches_the_formula(n, rank):
    assert cr.count_patterns(n, rank) == 2 * sum(math.comb(n - 1, k) for k in range(rank))


def test_count_patterns_is_exact_for_large_numbers_and_one_for_rank_zero():
    assert cr.count_patterns(3000, 3000) == 2**3000
    assert cr.count_patterns(569, 31) == 2 * sum(math.comb(568, k) for k in range(31))
    assert cr.count_patterns(7, 0) == len(cr.enumerate_patterns(np.zeros((7, 2)))) == 1


@pytest.mark.parametrize(
    ("n", "rank", "error", "message"),
    [
        (0, 1, ValueError, "n must be an integer >= 1; got 0"),
        (3, -1, ValueError, "rank must be an integer >= 0; got -1"),
        (3.0, 1, TypeError, r"n must be an integer >= 1; got 3\.0"),
        (3, True, TypeError, "rank must be an integer >= 0; got True"),
    ],
)
def test_count_patterns_refuses_other_arguments(n, rank, error, message):
    with pytest.raises(error, match=message):
        cr.count_patterns(n, rank)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (9, 1), (200, 2), (60, 3), (20, 4), (12, 5), (6, 6), (5, 9)])
def test_general_position(n, d):
    X = np.random.default_rng(n + d).standard_normal((n, d))
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == cr.count_patterns(n, min(n, d))
    assert_proven(X, patterns)


def test_real_data():
    X = np.column_stack([load_breast_cancer().data[:200, :2], np.ones(200)])
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == 39782 < cr.count_patterns(200, 3)
    assert_proven(X, patterns)


def test_data_on_a_decimal_grid_have_the_patterns_of_the_integers():
    X = np.column_stack([load_iris().data[:20], np.ones(20)])
    integers = np.round(10 * X)
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == exact_count(integers) < cr.count_patterns(20, 5)
    assert columns(patterns) == columns(cr.enumerate_patterns(integers))
    assert_proven(X, patterns)


# Brute force


@settings(max_examples=12, deadline=None, derandomize=True)
@given(integer_data(6, 3))
def test_all_masks_that_are_not_singular(X):
    n = len(X)
    masks = np.array(list(itertools.product([False, True], repeat=n))).T
    masks = masks[:, masks[~X.any(axis=1)].all(axis=0)]  # 1[0 >= 0] = 1
    expected = masks[:, ~cr.ActivationPatterns(masks).is_singular(X)]  # one linear program for each
    patterns = cr.enumerate_patterns(X)
    assert_proven(X, patterns)
    assert columns(patterns) == {column.tobytes() for column in expected.T}


@pytest.mark.parametrize("seed", range(2))
def test_all_masks_of_eight_rows(seed):
    X = np.random.default_rng(seed).integers(-1, 2, size=(8, 3)).astype(float)
    masks = np.array(list(itertools.product([False, True], repeat=8))).T
    masks = masks[:, masks[~X.any(axis=1)].all(axis=0)]
    expected = masks[:, ~cr.ActivationPatterns(masks).is_singular(X)]
    assert columns(cr.enumerate_patterns(X)) == {column.tobytes() for column in expected.T}


@settings(max_examples=80, deadline=None, derandomize=True)
@given(integer_data(12, 5))
def test_exact_count_of_integer_data(X):
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == exact_count(X)
    assert_proven(X, patterns)


@pytest.mark.parametrize("shape", ["tall", "wide", "collinear", "tripled"])
def test_random_gates_give_no_other_pattern(shape):
    X = make_data(shape)
    found = cr.ActivationPatterns.from_gates(X, np.random.default_rng(0).standard_normal((X.shape[1], 20_000)))
    patterns = cr.enumerate_patterns(X)
    assert_proven(X, patterns)
    assert columns(found) <= columns(patterns)


@pytest.mark.parametrize("bias", [False, True])
def test_many_random_gates_find_all_patterns_of_few_rows(bias):
    X = np.random.default_rng(3).standard_normal((6, 2))
    if bias:
        X[:, 1] = 1.0
    D = X @ np.random.default_rng(4).standard_normal((2, 200_000)) >= 0
    assert columns(cr.enumerate_patterns(X)) == {column.tobytes() for column in np.unique(D, axis=1).T}


# Degenerate data


def test_zero_rows_are_always_active():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    patterns = cr.enumerate_patterns(X)
    assert_proven(X, patterns)
    np.testing.assert_array_equal(patterns.D[[0, 3]], True)
    assert columns(cr.ActivationPatterns(patterns.D[1:3])) == columns(cr.enumerate_patterns(np.eye(2)))


def test_zero_data_have_the_pattern_of_ones():
    patterns = cr.enumerate_patterns(np.zeros((3, 2)))
    np.testing.assert_array_equal(patterns.D, np.ones((3, 1), dtype=bool))
    assert_proven(np.zeros((3, 2)), patterns)


def test_zero_pattern_is_included_and_can_be_dropped():
    X = np.column_stack([[0.0, 1.0, 2.0], np.ones(3)])
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == cr.count_patterns(3, 2)
    inactive = ~patterns.D.any(axis=0)
    assert inactive.sum() == 1
    assert columns(patterns.unique()) == columns(patterns) - {np.zeros(3, dtype=bool).tobytes()}


def test_no_zero_pattern_if_no_gate_is_inactive_on_every_row():
    patterns = cr.enumerate_patterns([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert patterns.D.any(axis=0).all()
    np.testing.assert_array_equal(patterns.D[0], ~patterns.D[1])


def test_rows_parallel_to_rounding_are_one_line():
    X = np.array([[0.1, 0.7], [0.3, 2.1], [-0.7, -4.9], [1.0, 0.0]])
    assert 0.1 * 2.1 != 0.3 * 0.7
    patterns = cr.enumerate_patterns(X)
    assert_proven(X, patterns)
    assert len(patterns) == 4
    np.testing.assert_array_equal(patterns.D[0], patterns.D[1])
    np.testing.assert_array_equal(patterns.D[0], ~patterns.D[2])


@pytest.mark.parametrize(("angle", "count"), [(1e-3, 6), (1e-6, 6), (1e-10, 6), (2.3e-16, 4)])
def test_thin_cones_are_found_unless_caused_by_rounding(angle, count):
    X = np.array([[1.0, 1.0], [1.0, 1.0 + angle], [1.0, -1.0]])
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == count
    assert_proven(X, patterns)


# Limits


def test_too_many_patterns_are_refused_with_their_number():
    X = np.random.default_rng(0).standard_normal((200, 3))
    message = (
        r"max_patterns must be at least .* 39,802 for 200 distinct lines through its rows and rank 3; got 39,801\. "
        "Raise it, or use iter_patterns.*sample_patterns"
    )
    with pytest.raises(ValueError, match=message):
        cr.enumerate_patterns(X, max_patterns=39_801)
    assert len(cr.enumerate_patterns(X, max_patterns=39_802)) == 39_802


def test_predicted_number_counts_distinct_lines():
    X = np.repeat(np.random.default_rng(0).standard_normal((8, 3)), 50, axis=0)
    X *= np.random.default_rng(1).choice([-2.0, 1.0, 3.0], (400, 1))
    assert len(cr.enumerate_patterns(X, max_patterns=58)) == cr.count_patterns(8, 3) == 58


@pytest.mark.parametrize("n", [569, 4000])
def test_astronomical_numbers_are_refused_at_once(n):
    X = np.random.default_rng(0).standard_normal((n, 31))
    with pytest.raises(ValueError, match=rf"about 10\^\d+\.\d for {n} distinct lines through its rows and rank 31"):
        cr.enumerate_patterns(X)


@pytest.mark.parametrize("function", [cr.enumerate_patterns, cr.iter_patterns])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(3), "X must be a 2-D array"),
        (np.ones((0, 3)), "X must not be empty"),
        ([[np.nan, 1.0]], "X must be finite"),
        ([[1.0, 1.0], [1e-200, 0.0]], r"X must have rows that are zero.* got 1\.0e-200 \(1 such rows\)"),
        ([[1e200, 1.0]], r"X must have columns that are zero.* got 1\.0e\+200 \(1 such columns\)"),
    ],
)
def test_bad_data_are_refused_at_the_call(function, X, message):
    with pytest.raises(ValueError, match=message):
        function(X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X: cr.enumerate_patterns(X, max_patterns=0), ValueError, "max_patterns must be an integer >= 1; got 0"),
        (lambda X: cr.enumerate_patterns(X, max_patterns=1e6), TypeError, "max_patterns must be an integer"),
        (lambda X: cr.iter_patterns(X, chunk_size=0), ValueError, "chunk_size must be an integer >= 1; got 0"),
        (lambda X: cr.iter_patterns(X, chunk_size="all"), TypeError, "chunk_size must be an integer >= 1; got 'all'"),
        (lambda X: cr.iter_patterns(X * 1j), TypeError, "X must hold real numbers"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(np.eye(2))


def test_data_with_ambiguous_scales_are_refused():
    rng = np.random.default_rng(0)
    # Row scales hide the column scales, and rounding errors of zeros hide the row scales.
    X = rng.integers(-2, 3, (12, 3)).astype(float)
    X[X == 0.0] = 1e-17
    unclear = [X * 10.0 ** rng.uniform(-80, 80, (12, 1))]
    # Ambiguous: a long first row, or a first column that is zero in the others.
    unclear.append(np.array([[1e20, 0.0], [1.0, 1.0], [1.0, 2.0]]))
    for data in unclear:
        with pytest.raises(ValueError, match="X must have entries that scaling .* can balance.*round the smallest"):
            cr.enumerate_patterns(data)
    assert len(cr.enumerate_patterns([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])) == 6
    assert len(cr.enumerate_patterns([[1e20, 0.0], [0.0, 1.0], [0.0, 2.0]])) == 4


def test_wide_unconfirmed_cell_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "strictly_inside", lambda units, D, G: np.arange(G.shape[1]) > 0)
    with pytest.raises(ValueError, match="X must have patterns that double precision can resolve"):
        cr.enumerate_patterns(np.eye(2))


# Chunks


@pytest.mark.parametrize("chunk_size", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("block", [1, 2**22])
def test_chunks_are_the_same_patterns_in_the_same_order(monkeypatch, chunk_size, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    X = make_data("collinear")
    patterns = cr.enumerate_patterns(X)
    chunks = list(cr.iter_patterns(X, chunk_size=chunk_size))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
    assert 1 <= len(chunks[-1]) <= chunk_size
    np.testing.assert_array_equal(np.hstack([chunk.D for chunk in chunks]), patterns.D)
    np.testing.assert_array_equal(np.hstack([chunk.G for chunk in chunks]), patterns.G)


def test_memory_is_independent_of_the_number_of_patterns():
    X = np.random.default_rng(0).standard_normal((40, 7))
    assert cr.count_patterns(40, 7) > 7e6
    peaks = []
    tracemalloc.start()
    try:
        chunks = cr.iter_patterns(X, chunk_size=500)
        for part in (itertools.islice(chunks, 4), itertools.islice(chunks, 60)):
            tracemalloc.reset_peak()
            assert sum(len(chunk) for chunk in part) in (2000, 30_000)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert max(peaks) < 1e8


# Global optima


def local_optimum(X, y, lam, m, rng):
    """Return the objective of a network of m neurons found by L-BFGS from a random start."""
    n, d = X.shape

    def objective(theta):
        W1, w2 = theta[: m * d].reshape(m, d), theta[m * d :]
        hidden = np.maximum(X @ W1.T, 0.0)
        residual = hidden @ w2 - y
        value = residual @ residual / (2 * n) + lam / 2 * (theta @ theta)
        back = np.outer(residual, w2) * (hidden > 0)
        return value, np.concatenate([(back.T @ X).ravel() / n, hidden.T @ residual / n]) + lam * theta

    result = minimize(objective, rng.standard_normal(m * (d + 1)), jac=True, method="L-BFGS-B")
    W1, w2 = result.x[: m * d].reshape(m, d), result.x[m * d :]
    return cr.ReLUNetwork(W1, w2).objective(X, y, lam)


@pytest.mark.parametrize("kind", ["generic", "bias", "integers"])
def test_all_patterns_give_the_global_optimum(kind):
    rng = np.random.default_rng(7)
    X = rng.standard_normal((8, 3))
    if kind == "bias":
        X[:, 2] = 1.0
    elif kind == "integers":
        X = rng.integers(-1, 2, (8, 3)).astype(float)
    y = rng.standard_normal(8)
    lam = 0.02
    patterns = cr.enumerate_patterns(X)
    solution = cr.solve(cr.ConvexReLU(X, y, patterns, lam=lam), tol=1e-8)
    assert solution.status == "optimal"
    # No trained network is better, and the best of many is close.
    values = [local_optimum(X, y, lam, 10, rng) for _ in range(40)]
    assert min(values) >= solution.lower
    assert min(values) <= 1.01 * solution.objective
    assert solution.network().objective(X, y, lam) <= solution.objective * (1 + 1e-9)
    # The dual of networks of any width: |t'(Xu)_+| <= lam for all unit vectors u.
    U = rng.standard_normal((3, 100_000))
    U /= np.linalg.norm(U, axis=0)
    violation = np.abs(solution.dual.t[:, 0] @ np.maximum(X @ U, 0.0)).max()
    assert 0.9 * lam < violation <= lam * (1 + 1e-6)
    # A subset of patterns is not better.
    few = cr.ConvexReLU(X, y, cr.sample_patterns(X, 5), lam=lam)
    assert cr.solve(few, tol=1e-8).objective >= solution.lower


@pytest.mark.parametrize("d", [2, 3, 5, 9])
def test_axis_aligned_lines_are_distinct(d):
    """Opposite rows are one line, oriented by the sign of a large entry, never by that of a zero."""
    axes = np.eye(d)
    tilted = np.ones((1, d)) / np.sqrt(d)
    units = np.vstack([axes, -axes[::-1], tilted, -tilted])
    lines, first = module.distinct_lines(units)
    np.testing.assert_array_equal(first, [*range(d), 2 * d])
    np.testing.assert_array_equal(lines, units[first])


@pytest.mark.parametrize(
    ("witness", "sides", "refused"),
    [
        ([1.0, 0.0], [True, True], False),  # on the second line: on its computed sides, but not strictly inside
        ([-1e-14, -1.0], [True, False], False),  # a sliver on the wrong side of the first line
        ([np.sqrt(0.5), np.sqrt(0.5)], [True, False], True),  # far from all lines: the coordinates are inaccurate
    ],
)
def test_unconfirmed_cells(monkeypatch, witness, sides, refused):
    """Thin unconfirmed cells are dropped as slivers caused by rounding; others raise an error."""
    X = np.diag([1.0, 2.0])

    def with_another(lines, basis):
        np.testing.assert_array_equal(lines, np.eye(2))
        yield from half_of_the_cells(lines, basis)
        yield Leaves(np.array([witness]), np.array([[0, 1]]), np.array([sides]))

    monkeypatch.setattr(module, "half_of_the_cells", with_another)
    if refused:
        with pytest.raises(ValueError, match="patterns that double precision can resolve"):
            cr.enumerate_patterns(X)
    else:
        patterns = cr.enumerate_patterns(X)
        assert len(patterns) == 4
        assert_proven(X, patterns)
