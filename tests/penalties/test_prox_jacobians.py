"""Jacobians of the proximal maps against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.penalties.base import PatternNorm
from cvxrelu.penalties.registry import PENALTIES, get_penalty

NAMES = ("group_l1", "l1", "nuclear")
SHAPES = [(1, 4, 3), (2, 3, 5), (3, 2, 3), (4, 3, 2), (3, 4, 1), (1, 1, 1), (5, 1, 2)]
H = 1e-6
each_penalty = pytest.mark.parametrize("name", NAMES)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def kinks(name, w):
    """Return the thresholds at which the map has kinks: norms, entries or singular values."""
    if name == "l1":
        return np.abs(w).ravel()
    if name == "group_l1":
        return np.linalg.norm(w, axis=-1).ravel()
    return np.linalg.svd(w.transpose(1, 0, 2), compute_uv=False).ravel()


def middle_threshold(name, w):
    """Return a threshold half-way between two kinks, or below the only one, so that some parts vanish."""
    sizes = np.sort(kinks(name, w))
    middle = len(sizes) // 2
    return 0.5 * (sizes[middle] + (sizes[middle - 1] if middle else 0.0))


def twice(jacobian, v):
    return jacobian.half(jacobian.half(v))


def matrix(function, shape):
    """Return the matrix of a linear map on arrays of a shape."""
    return np.array([function(e.reshape(shape)).ravel() for e in np.eye(int(np.prod(shape)))]).T


def assert_is_the_derivative(name, w, threshold, rng, atol=1e-7):
    penalty, jacobian = get_penalty(name), get_penalty(name).prox_jacobian(w, threshold)
    for _ in range(5):
        v = rng.standard_normal(w.shape)
        change = (penalty.prox(w + H * v, threshold) - penalty.prox(w - H * v, threshold)) / (2 * H)
        np.testing.assert_allclose(twice(jacobian, v), change, atol=atol)


def spectral(singular, c, d, rng):
    """Return a single pattern (c, 1, d) with the given singular values."""
    left, right = (np.linalg.qr(rng.standard_normal((m, len(singular))))[0] for m in (c, d))
    return (left * np.array(singular) @ right.T)[:, None, :]


@each_shape
@each_penalty
@pytest.mark.parametrize("seed", range(3))
def test_squared_half_is_the_derivative_of_the_prox(name, shape, seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape)
    sizes = kinks(name, w)
    for threshold in (0.5 * sizes.min(), middle_threshold(name, w), 1.5 * sizes.max()):
        assert_is_the_derivative(name, w, threshold, rng)


@pytest.mark.parametrize(("c", "d"), [(3, 3), (3, 5), (5, 3)])
@pytest.mark.parametrize(
    "singular",
    [(2.0, 2.0, 0.5), (2.0, 2.0, 2.0), (2.0, 0.5, 0.5), (2.0, 0.4, 0.0), (2.0, 0.0, 0.0), (2.0, 2.0, 0.0), (0.3,) * 3],
    ids=str,
)
def test_repeated_and_zero_singular_values(singular, c, d):
    rng = np.random.default_rng(0)
    assert_is_the_derivative("nuclear", spectral(singular, c, d, rng), 1.0, rng)


@pytest.mark.parametrize("apart", [1e-15, 1e-13, 1e-11, 1e-9, 1e-7])
def test_nearly_repeated_singular_values(apart):
    rng = np.random.default_rng(0)
    for singular in ((2.0, 2.0 * (1 + apart), 0.5), (2.0, 0.5, 0.5 * (1 + apart))):
        w = spectral(singular, 3, 4, rng)
        assert_is_the_derivative("nuclear", w, 1.0, rng, atol=1e-4)


def test_nuclear_patterns_do_not_mix():
    rng = np.random.default_rng(0)
    w, v = rng.standard_normal((2, 3, 4, 5))
    jacobian = get_penalty("nuclear").prox_jacobian(w, 1.0)
    for i in range(4):
        alone = get_penalty("nuclear").prox_jacobian(w[:, [i]], 1.0)
        np.testing.assert_allclose(jacobian.half(v)[:, [i]], alone.half(v[:, [i]]), atol=1e-14)


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


def test_symmetric_where_the_threshold_is_between_equal_singular_values():
    w = spectral((1.0 + 1e-13, 1.0 - 1e-13), 2, 3, np.random.default_rng(0))
    half = matrix(get_penalty("nuclear").prox_jacobian(w, 1.0).half, w.shape)
    np.testing.assert_allclose(half, half.T, atol=1e-6)


@each_shape
@pytest.mark.parametrize("name", ["group_l1", "l1"])
def test_diagonal_matches_the_product(name, shape):
    rng = np.random.default_rng(0)
    w, a = rng.standard_normal(shape), rng.uniform(0.0, 2.0, shape)
    jacobian = get_penalty(name).prox_jacobian(w, middle_threshold(name, w))
    half = matrix(jacobian.half, shape)
    np.testing.assert_allclose(jacobian.diagonal(a).ravel(), np.diag((half * a.ravel()) @ half), atol=1e-13)


@each_shape
def test_diagonal_of_the_nuclear_norm_is_a_bound_for_constant_arguments(shape):
    rng = np.random.default_rng(0)
    w, a = rng.standard_normal(shape), np.full(shape, 0.7)
    jacobian = get_penalty("nuclear").prox_jacobian(w, middle_threshold("nuclear", w))
    half = matrix(jacobian.half, shape)
    assert np.all(jacobian.diagonal(a).ravel() >= np.diag((half * a.ravel()) @ half) - 1e-13)


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


def test_one_output_may_be_zero_where_another_is_not():
    w = np.zeros((2, 2, 3))
    w[0, 0], w[1, 1] = [3.0, 4.0, 0.0], [0.0, 0.0, 2.0]
    jacobian = get_penalty("group_l1").prox_jacobian(w, 1.0)
    half = jacobian.half(np.ones_like(w))
    assert not half[0, 1].any()
    assert not half[1, 0].any()
    # s = 1 - 1/5, e = (0.6, 0.8, 0): M e = e, M x = s x across it
    np.testing.assert_allclose(twice(jacobian, w)[0, 0], w[0, 0], atol=1e-14)
    across = np.zeros_like(w)
    across[0, 0] = [0.8, -0.6, 1.0]
    np.testing.assert_allclose(twice(jacobian, across)[0, 0], 0.8 * across[0, 0], atol=1e-14)


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
