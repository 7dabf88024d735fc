"""Bounds of rounding errors against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.numerics.rounding import above, dot_radius, norms_above, singular_values_above
from reference.rationals import rational
from reference.rounded.exact import singular_values

SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1.0, 1e-150, 1e150, 1e-160, 1e-310])


def numbers(rng, shape, scale, spread):
    return scale * rng.standard_normal(shape) * 10.0 ** rng.uniform(-spread, 0, shape)


@settings(max_examples=150)
@given(SEEDS, st.integers(1, 40), SCALES, st.sampled_from([0, 5, 150]))
def test_dot_products(seed, length, scale, spread):
    rng = np.random.default_rng(seed)
    x, y = numbers(rng, (2, length), scale, spread)
    y[length // 2] = -(x[: length // 2] @ y[: length // 2]) / (x[length // 2] or 1.0)  # cancellation
    y = np.clip(np.nan_to_num(y), -1e150, 1e150)
    error = abs(sum(rational(x) * rational(y)) - Fraction(float(x @ y)))
    radius = float(dot_radius(np.abs(x) @ np.abs(y), length))
    assert error <= radius
    assert radius <= (length + 8) * 2.0**-52 * (np.abs(x) @ np.abs(y)) + 4 * (length + 8) * 2.0**-1074


@settings(max_examples=100)
@given(SEEDS, st.integers(1, 100), SCALES)
def test_sums(seed, length, scale):
    x = np.abs(numbers(np.random.default_rng(seed), length, scale, 10))
    assert sum(rational(x)) <= Fraction(float(above(np.sum(x), length - 1)))
    sequential = float(np.add.accumulate(x)[-1])
    assert sum(rational(x)) <= Fraction(float(above(np.asarray(sequential), length - 1)))


@settings(max_examples=150)
@given(SEEDS, st.integers(1, 30), SCALES, st.sampled_from([0, 5, 150]))
def test_norms(seed, length, scale, spread):
    rows = numbers(np.random.default_rng(seed), (3, length), scale, spread)
    rows[0] = 0.0
    norms = norms_above(rows)
    assert norms[0] == 0.0
    for row, norm in zip(rows, norms.tolist(), strict=True):
        square = sum(x * x for x in rational(row))
        assert square <= Fraction(norm) ** 2
        assert Fraction(norm) ** 2 <= square * (1 + (length + 20) * Fraction(2) ** -50) + Fraction(2) ** -2100


@settings(max_examples=100)
@given(SEEDS, st.integers(1, 2), st.integers(1, 6), SCALES, st.booleans())
def test_singular_values(seed, c, d, scale, dependent):
    rng = np.random.default_rng(seed)
    matrices = scale * rng.standard_normal((3, c, d))
    if dependent:
        matrices[:, -1] = 3.0 * matrices[:, 0]
    matrices[0] = 0.0
    largest, total = singular_values_above(matrices)
    for matrix, top, both in zip(matrices, largest.tolist(), total.tolist(), strict=True):
        exact = singular_values(rational(matrix))
        assert exact[0] <= top
        assert exact[1] <= both
        assert top <= float(exact[0]) * (1 + 1e-13) + 1e-320
        assert both <= float(exact[1]) * (1 + 1e-13) + 1e-320


@pytest.mark.parametrize("part", [0, 1, 2])
def test_bounds_hold_for_wrong_factors(monkeypatch, part):
    matrix = np.random.default_rng(0).standard_normal((1, 2, 4))
    factors = list(np.linalg.svd(matrix, full_matrices=False))
    factors[part] = 0.9 * factors[part]
    monkeypatch.setattr(np.linalg, "svd", lambda matrices, full_matrices: factors)
    largest, total = singular_values_above(matrix)
    exact = singular_values(rational(matrix[0]))
    assert exact[0] <= largest[0]
    assert exact[1] <= total[0]


def test_overflow_gives_infinite_bounds():
    largest, total = singular_values_above(np.array([[[np.inf, 1.0]], [[np.nan, 1.0]]]))
    assert np.all(largest == np.inf)
    assert np.all(total == np.inf)
    assert np.isnan(norms_above(np.array([np.nan, 1.0])))
    assert norms_above(np.array([np.inf, 1.0])) == np.inf
