import numpy as np
import pytest

from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.registry import get_penalty
from tests.helpers.penalties import subgradient
from tests.helpers.prox_jacobians import assert_is_the_derivative, each_shape, matrix, middle_threshold
from tests.helpers.subdifferential import subdifferential_distance


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float64, 1e-15), (np.float32, 1e-7)])
def test_the_rank_of_the_nuclear_norm_ignores_rounding(dtype, rounding):
    rng = np.random.default_rng(0)
    U = np.outer(*rng.standard_normal((2, 3)))
    G = subgradient(Nuclear(), rng, U[:, None])
    rounded = (U + rounding * rng.standard_normal(U.shape))[:, None].astype(dtype)
    assert subdifferential_distance(Nuclear(), rounded, G, 1.0) <= 10 * rounding
    both = np.stack([rounded[:, 0], 1e-14 * rounded[:, 0]], axis=1)  # each pattern has its own scale
    assert subdifferential_distance(Nuclear(), both, 0 * both, 1.0) == pytest.approx(np.sqrt(2), rel=1e-6)
    visible = (U + 1e4 * rounding * rng.standard_normal(U.shape))[:, None].astype(dtype)
    assert subdifferential_distance(Nuclear(), visible, G, 1.0) > 0.1


@pytest.mark.parametrize("shape", [(2, 2, 3, 2), (3, 2)])
def test_nuclear_norm_refuses_other_shapes(shape):
    U = np.zeros(shape)
    calls = [
        lambda: Nuclear().value(U),
        lambda: Nuclear().dual_norm(U),
        lambda: Nuclear().prox(U, 1.0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"'nuclear' takes weights of shape \(c, P, d\); got shape"):
            call()


def spectral(singular, c, d, rng):
    """Return a single pattern (c, 1, d) with the given singular values."""
    left, right = (np.linalg.qr(rng.standard_normal((m, len(singular))))[0] for m in (c, d))
    return (left * np.array(singular) @ right.T)[:, None, :]


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


def test_symmetric_where_the_threshold_is_between_equal_singular_values():
    w = spectral((1.0 + 1e-13, 1.0 - 1e-13), 2, 3, np.random.default_rng(0))
    half = matrix(get_penalty("nuclear").prox_jacobian(w, 1.0).half, w.shape)
    np.testing.assert_allclose(half, half.T, atol=1e-6)


@each_shape
def test_diagonal_of_the_nuclear_norm_is_a_bound_for_constant_arguments(shape):
    rng = np.random.default_rng(0)
    w, a = rng.standard_normal(shape), np.full(shape, 0.7)
    jacobian = get_penalty("nuclear").prox_jacobian(w, middle_threshold("nuclear", w))
    half = matrix(jacobian.half, shape)
    assert np.all(jacobian.diagonal(a).ravel() >= np.diag((half * a.ravel()) @ half) - 1e-13)
