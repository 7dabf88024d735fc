import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.numerics.rounding import EPS
from cvxrelu.pricing.neuron_problem import _DECIMALS, _RANK_TOL, RowLines
from tests.helpers.neurons import KINDS, SEEDS, make_rows


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


def test_rows_are_signed_multiples_of_their_lines():
    """e1, -e1, 2 e1 and -3 e2 in the plane, and a zero row: row j is its norm times the signed unit row of its line."""
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [0.0, -3.0]])
    lines = RowLines(X)
    numbers = lines.numbers
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
    rounding = 10.0 * 8.0 * np.sqrt(2.0) * EPS  # (r + 6) sqrt(r) eps of the sizes
    assert lines.objective(np.array([5.0, 0.0, 5.0])).slack == pytest.approx(rounding, rel=0.1)


@pytest.mark.parametrize("size", [1e-200, 1e160])
def test_lines_of_rows_beyond_the_range(size):
    """No row counts as zero because its square does."""
    rows = np.array([[1.0, 2.0], [3.0, -1.0]])
    lines = RowLines(np.vstack([rows, size * rows[:1]]))
    t = np.array([0.0, 0.0, 1.0 / size])
    u = np.array([0.6, 0.8])
    assert lines.objective(t).value(lines.basis.T @ u) == pytest.approx(2.2)
