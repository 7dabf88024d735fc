"""Jacobians of the proximal maps against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.penalties.base import PatternNorm
from cvxrelu.penalties.registry import PENALTIES, get_penalty
from tests.helpers.prox_jacobians import SHAPES, assert_is_the_derivative, each_shape, kinks, matrix, middle_threshold

NAMES = ("group_l1", "l1", "nuclear")
each_penalty = pytest.mark.parametrize("name", NAMES)


@each_shape
@each_penalty
@pytest.mark.parametrize("seed", range(3))
def test_squared_half_is_the_derivative_of_the_prox(name, shape, seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape)
    sizes = kinks(name, w)
    for threshold in (0.5 * sizes.min(), middle_threshold(name, w), 1.5 * sizes.max()):
        assert_is_the_derivative(name, w, threshold, rng)


@settings(max_examples=60)
@given(st.sampled_from(NAMES), st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.booleans())
def test_half_is_symmetric_with_eigenvalues_in_0_1(name, shape, seed, low_rank):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape)
    if low_rank:
        w = np.round(w)  # ties, zeros, zero blocks
    # Singular values of integers are not 0.3 or 1.05, but entries and norms may be 1.
    threshold = float(rng.choice([0.3, 1.05 if name == "nuclear" else 1.0]))
    jacobian = get_penalty(name).prox_jacobian(w, threshold)
    half = matrix(jacobian.half, shape)
    np.testing.assert_allclose(half, half.T, atol=1e-13)
    eigenvalues = np.linalg.eigvalsh(half)
    assert eigenvalues[0] >= -1e-13
    assert eigenvalues[-1] <= 1.0 + 1e-13


@each_penalty
def test_blocks_shrunk_to_zero_stay_zero(name):
    rng = np.random.default_rng(0)
    w, v = rng.standard_normal((2, 2, 4, 3))
    w[:, 1], w[:, 2] = 0.0, 1e-3 * w[:, 2]
    jacobian = get_penalty(name).prox_jacobian(w, 0.1)
    half = jacobian.half(v)
    assert np.isfinite(half).all()
    assert not half[:, 1:3].any()
    assert half[:, 0].any()
    if name != "nuclear":
        assert not jacobian.diagonal(np.ones_like(v))[:, 1:3].any()
    nothing = get_penalty(name).prox_jacobian(np.zeros_like(w), 0.1)
    assert not nothing.half(v).any()


@each_shape
@each_penalty
def test_precision(name, shape):
    rng = np.random.default_rng(0)
    w, v = rng.standard_normal((2, *shape))
    double = get_penalty(name).prox_jacobian(w, middle_threshold(name, w))
    single = double.astype(np.float32)
    assert type(single) is type(double)
    assert single.half(v.astype(np.float32)).dtype == np.float32
    assert single.diagonal(np.ones(shape, np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.half(v.astype(np.float32)), double.half(v), atol=1e-5)


def test_penalties_with_jacobians():
    assert tuple(name for name, penalty in PENALTIES.items() if issubclass(penalty, PatternNorm)) == NAMES
