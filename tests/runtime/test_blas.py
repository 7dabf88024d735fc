"""The routines of BLAS and LAPACK in kernels, and their NumPy equivalents."""

import numpy as np
import pytest

from cvxrelu.runtime.blas import column_gram, row_gram, solve_positive
from cvxrelu.runtime.compilation import Kernel


def grams(B, of_rows, of_columns):
    row_gram(B, of_rows)
    column_gram(B, of_columns)


def solve(matrix, right, info):
    info[0] = solve_positive(matrix, right)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (1, 4), (4, 1)])
def test_grams_are_those_of_numpy(shape):
    kernel = Kernel(grams, "(float64[:, ::1], float64[::1], float64[::1])")
    B = np.random.default_rng(0).standard_normal(shape)
    for call in (kernel, grams):
        of_rows, of_columns = np.full(60, np.nan), np.full(60, np.nan)
        call(B, of_rows, of_columns)
        for entries, expected in ((of_rows, B @ B.T), (of_columns, B.T @ B)):
            lower = np.tril(entries[: expected.size].reshape(expected.shape))
            np.testing.assert_allclose(lower, np.tril(expected), rtol=1e-12, atol=1e-14)
            assert np.isnan(entries[expected.size :]).all()


@pytest.mark.parametrize("order", [1, 2, 9])
def test_systems_are_solved_from_the_lower_triangle(order):
    kernel = Kernel(solve, "(float64[::1], float64[::1], int64[::1])")
    rng = np.random.default_rng(0)
    B, right = rng.standard_normal((order, order + 2)), rng.standard_normal(order)
    matrix = B @ B.T + np.eye(order)
    for call in (kernel, solve):
        entries, solution, info = np.tril(matrix).ravel(), right.copy(), np.full(1, -1)
        call(entries, solution, info)
        assert info[0] == 0
        np.testing.assert_allclose(matrix @ solution, right, rtol=1e-9, atol=1e-12)
        indefinite, solution = (np.tril(matrix) - 100.0 * np.eye(order)).ravel(), right.copy()
        call(indefinite, solution, info)
        assert info[0] > 0
        np.testing.assert_array_equal(solution, right)
