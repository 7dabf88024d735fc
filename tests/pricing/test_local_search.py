import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.pricing.exact import exact_maximum
from cvxrelu.pricing.local_search import draw_starts, local_maxima
from tests.helpers.cases import make_data

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = ["tall", "wide", "collinear", "doubled"]


def constraint_value(X, t, u):
    return abs(t @ np.maximum(X @ u, 0.0))


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(SHAPES))
def test_the_fields_of_a_neuron_are_consistent(seed, shape):
    rng = np.random.default_rng(seed)
    X = make_data(shape, seed)
    t = rng.standard_normal(len(X))
    neuron = cr.find_neuron(X, t, n_starts=10)
    assert np.linalg.norm(neuron.u) == pytest.approx(1.0, abs=1e-12)
    assert neuron.value == constraint_value(X, t, neuron.u)
    assert neuron.sign == -np.sign(t @ np.maximum(X @ neuron.u, 0.0))
    np.testing.assert_array_equal(neuron.pattern, X @ neuron.u >= 0.0)
    assert (neuron.n_starts, neuron.exact, neuron.output) == (10, False, 0)


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(SHAPES), st.integers(1, 5))
def test_no_ascent_ends_below_its_start(seed, shape, k):
    rng = np.random.default_rng(seed)
    X = make_data(shape, seed)
    t = rng.standard_normal(len(X))
    starts = rng.standard_normal((k, X.shape[1])) * 10.0 ** rng.integers(-9, 9)
    neuron = cr.find_neuron(X, t, starts=starts, n_starts=1)
    best = max(constraint_value(X, t, u / np.linalg.norm(u)) for u in starts)
    assert neuron.value >= best * (1 - 1e-12)
    assert neuron.n_starts == k + 1


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 40))
def test_never_above_the_exact_maximum_of_rank_two(seed, n):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal(n), np.ones(n)])
    t = rng.standard_normal(n)
    assert cr.find_neuron(X, t, n_starts=5).value <= exact_maximum(X, t)[0] * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_finds_the_exact_maximum_of_rank_two(seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal(60), np.ones(60)])
    t = rng.standard_normal(60)
    assert cr.find_neuron(X, t).value == pytest.approx(exact_maximum(X, t)[0], rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_at_least_as_good_as_any_of_many_random_neurons(seed):
    rng = np.random.default_rng(seed)
    X, t = rng.standard_normal((40, 4)), rng.standard_normal(40)
    U = rng.standard_normal((4, 100_000))
    U /= np.linalg.norm(U, axis=0)
    neuron = cr.find_neuron(X, t)
    assert neuron.value >= np.abs(t @ np.maximum(X @ U, 0.0)).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_small_perturbations_do_not_raise_the_value(shape):
    rng = np.random.default_rng(0)
    X = make_data(shape)
    t = rng.standard_normal(len(X))
    neuron = cr.find_neuron(X, t)
    for size in (1e-1, 1e-3, 1e-5):
        U = neuron.u[:, None] + size * rng.standard_normal((X.shape[1], 500))
        U /= np.linalg.norm(U, axis=0)
        assert np.abs(t @ np.maximum(X @ U, 0.0)).max() <= neuron.value * (1 + 1e-10)


@pytest.mark.parametrize(("x_size", "t_size"), [(1e150, 1e-150), (1e-150, 1e-100), (1e-3, 1e200)])
def test_scales_change_nothing(x_size, t_size):
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((30, 3)), rng.standard_normal(30)
    plain, scaled = cr.find_neuron(X, t), cr.find_neuron(X * x_size, t * t_size)
    np.testing.assert_allclose(scaled.u, plain.u, atol=1e-9)
    assert scaled.value == pytest.approx(plain.value * x_size * t_size, rel=1e-12)


def test_the_best_of_several_outputs():
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((30, 3)), rng.standard_normal((30, 3))
    alone = [cr.find_neuron(X, t).value for t in T.T]
    neuron = cr.find_neuron(X, T)
    assert neuron.output == int(np.argmax(alone))
    assert neuron.value == pytest.approx(max(alone), rel=1e-12)


def test_equal_seeds_give_equal_neurons():
    rng = np.random.default_rng(0)
    X, t = rng.standard_normal((30, 5)), rng.standard_normal(30)
    first, second = (cr.find_neuron(X, t, seed=3, n_starts=5) for _ in range(2))
    np.testing.assert_array_equal(first.u, second.u)


def test_kinds_of_starts_alternate():
    """Gaussian, whitened Gaussian, a row of either sign, the difference of two rows."""
    rows = np.array([[5.0, 1.0], [1.0, 7.0], [8.0, 9.0]])
    U = draw_starts(rows, np.array([1e6, 1e-6]), 400, np.random.default_rng(0)).reshape(100, 4, 2)
    assert np.linalg.norm(U[:, 0].std(axis=0) - 1.0) < 0.3
    assert np.linalg.norm(U[:, 1].std(axis=0) * [1e6, 1e-6] - 1.0) < 0.3
    either = {(sign * row).tobytes() for row in rows for sign in (1.0, -1.0)}
    assert {u.tobytes() for u in U[:, 2]} == either
    assert {u.tobytes() for u in U[:, 3]} == {(row - other).tobytes() for row in rows for other in rows}


def test_nothing_to_find():
    X = np.array([[1.0, 2.0], [3.0, -1.0]])
    for data, t in ((X, np.zeros(2)), (np.zeros((2, 2)), np.ones(2))):
        neuron = cr.find_neuron(data, t)
        assert neuron.value == 0.0
        assert np.linalg.norm(neuron.u) == pytest.approx(1.0)


def test_dual_of_one_sign():
    """One part of the difference of convex functions is empty, so the maximum is known."""
    X, t = np.eye(3), np.array([3.0, 0.0, 4.0])
    for sign in (1.0, -1.0):
        neuron = cr.find_neuron(X, sign * t)
        np.testing.assert_allclose(neuron.u, [0.6, 0.0, 0.8], atol=1e-12)
        assert neuron.value == pytest.approx(5.0)
        assert neuron.sign == -sign


@pytest.mark.parametrize("w2", [np.ones(2), np.ones((2, 1)), np.array([[1.0, 0.0], [0.0, 2.0]])])
def test_added_to_a_network(w2):
    rng = np.random.default_rng(0)
    X, W1 = rng.standard_normal((12, 3)), rng.standard_normal((2, 3))
    T = rng.standard_normal((12, 1 if w2.ndim == 1 else w2.shape[1]))
    network, neuron = cr.ReLUNetwork(W1, w2), cr.find_neuron(X, T)
    larger = neuron.added_to(network, 0.25)
    assert larger.w2.ndim == w2.ndim
    change = (larger.predict(X) - network.predict(X)).reshape(12, -1)
    expected = np.zeros_like(T)
    expected[:, neuron.output] = 0.25 * neuron.sign * np.maximum(X @ neuron.u, 0.0)
    np.testing.assert_allclose(change, expected, atol=1e-14)
    empty = cr.ReLUNetwork(np.zeros((0, 3)), w2[:0])
    np.testing.assert_allclose(neuron.added_to(empty, 0.25).predict(X).reshape(12, -1), expected, atol=1e-14)


def test_errors():
    X, t = np.eye(3), np.ones(3)
    with pytest.raises(ValueError, match=r"t must have shape \(n,\) or \(n, c\) with n = 3; got \(2,\)"):
        cr.find_neuron(X, t[:2])
    with pytest.raises(ValueError, match="n_starts must be an integer >= 1"):
        cr.find_neuron(X, t, n_starts=0)
    with pytest.raises(ValueError, match="starts must have the 3 columns of X"):
        cr.find_neuron(X, t, starts=np.eye(2))
    with pytest.raises(ValueError, match="t must be finite"):
        cr.find_neuron(X, t * np.nan)
    with pytest.raises(ValueError, match="X must be a 2-D array"):
        cr.find_neuron(t, t)


def test_an_ascent_past_its_deadline_returns_its_starts():
    """They are valid neurons; with time the best is better."""
    rng = np.random.default_rng(8)
    X, t = rng.standard_normal((50, 6)), rng.standard_normal(50)
    given = np.empty((0, 6))
    late = local_maxima(X, t, given, 20, np.random.default_rng(0), deadline=0.0)
    full = local_maxima(X, t, given, 20, np.random.default_rng(0))
    for neuron in late[:5]:
        assert np.linalg.norm(neuron.u) == pytest.approx(1.0)
        assert neuron.value == pytest.approx(abs(t @ np.maximum(X @ neuron.u, 0.0)))
    assert full[0].value > 1.01 * late[0].value
