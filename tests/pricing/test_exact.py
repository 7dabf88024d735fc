import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.pricing.exact import exact_maximum

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ["generic", "constant", "integers", "one_feature", "parallel"]


def make_plane(kind, n, rng):
    X = rng.standard_normal((n, 2))
    if kind == "constant":
        X[:, 1] = 1.0
    elif kind == "integers":  # duplicate, opposite, collinear and zero rows
        X = rng.integers(-2, 3, size=(n, 2)).astype(float)
    elif kind == "one_feature":
        X[:, 1] = 0.0
    elif kind == "parallel":
        X = rng.standard_normal((n, 1)) * np.array([[1.0, -3.0]])
    return X


def brute_force(X, t):
    """Return the maximum over all patterns, from a gate inside each arc, of |g'u|: along +-g or at a switch."""
    angles = np.arctan2(X[:, 1], X[:, 0])
    switches = np.sort(np.concatenate([angles - np.pi / 2, angles + np.pi / 2]) % (2 * np.pi))
    directions = [np.array([np.cos(a), np.sin(a)]) for a in switches]
    for start, end in zip(switches, np.append(switches[1:], switches[0] + 2 * np.pi), strict=True):
        middle = 0.5 * (start + end)
        g = (t * (X @ [np.cos(middle), np.sin(middle)] > 0.0)) @ X
        if np.any(g):
            directions += [g / np.linalg.norm(g), -g / np.linalg.norm(g)]
    return max(abs(t @ np.maximum(X @ u, 0.0)) for u in directions)


@settings(max_examples=200)
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 25))
def test_equals_brute_force(seed, kind, n):
    rng = np.random.default_rng(seed)
    X, t = make_plane(kind, n, rng), rng.standard_normal(n)
    value, U = exact_maximum(X, t)
    u = U[0]
    size = np.abs(t) @ np.linalg.norm(X, axis=1)
    assert value == pytest.approx(brute_force(X, t), rel=1e-12, abs=1e-14 * size)
    assert abs(t @ np.maximum(X @ u, 0.0)) == pytest.approx(value, rel=1e-12, abs=1e-13 * size)
    assert np.linalg.norm(u) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=50)
@given(SEEDS, st.sampled_from(KINDS))
def test_no_unit_vector_is_above(seed, kind):
    rng = np.random.default_rng(seed)
    X, t = make_plane(kind, 200, rng), rng.standard_normal(200)
    U = rng.standard_normal((2, 2000))
    U /= np.linalg.norm(U, axis=0)
    assert np.abs(t @ np.maximum(X @ U, 0.0)).max() <= exact_maximum(X, t)[0] * (1 + 1e-12)


@settings(max_examples=30)
@given(SEEDS, st.integers(2, 12))
def test_only_local_maximisers_in_descending_order(seed, n):
    rng = np.random.default_rng(seed)
    X, t = make_plane("generic", n, rng), rng.standard_normal(n)

    def values(angles):
        return np.abs(t @ np.maximum(X @ [np.cos(angles), np.sin(angles)], 0.0))

    _, U = exact_maximum(X, t)
    found = np.arctan2(U[:, 1], U[:, 0])
    assert np.all(np.diff(values(found)) <= 1e-12)
    for step in (1e-5, -1e-5):
        assert np.all(values(found + step) <= values(found) + 1e-12)


@pytest.mark.parametrize(("x_size", "t_size"), [(1.0, 1.0), (1e150, 1e-150), (1e-150, 1e-150)])
def test_rank_two_in_more_columns(x_size, t_size):
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((6, 2)))[0].T
    plane, t = rng.standard_normal((40, 2)), rng.standard_normal(40)
    value, (u, *_) = exact_maximum(plane @ basis * x_size, t * t_size)
    assert value == pytest.approx(brute_force(plane, t) * x_size * t_size, rel=1e-12)
    assert u.shape == (6,)


def test_the_residual_of_the_rank_is_added():
    """A third singular value within the tolerance of the rank is included in the bound."""
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((40, 2)), rng.standard_normal(40)
    tiny = 1e-15 * rng.standard_normal(40)
    plain, raised = exact_maximum(X, t)[0], exact_maximum(np.column_stack([X, tiny]), t)[0]
    assert plain < raised <= plain + 2 * np.abs(t) @ np.abs(tiny)


def test_zeros_and_single_rows():
    assert exact_maximum(np.zeros((3, 2)), np.ones(3))[0] == 0.0
    assert exact_maximum(np.ones((3, 2)), np.zeros(3))[0] == 0.0
    value, (u, *_) = exact_maximum(np.array([[3.0, 4.0]]), np.array([-2.0]))
    assert value == pytest.approx(10.0)
    np.testing.assert_allclose(u, [0.6, 0.8], atol=1e-12)
    assert exact_maximum(np.array([[3.0], [-4.0]]), np.array([2.0, 1.0]))[0] == pytest.approx(6.0)


def test_errors():
    with pytest.raises(ValueError, match=r"X must have rank at most 2 .* got rank 3"):
        exact_maximum(np.eye(3), np.ones(3))
    with pytest.raises(ValueError, match=r"t must have shape \(n,\) = \(3,\); got \(2,\)"):
        exact_maximum(np.ones((3, 2)), np.ones(2))
