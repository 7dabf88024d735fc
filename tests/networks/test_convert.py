import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.networks.convert import balance
from tests.helpers.cases import LOSSES, make_data, make_problem, random_weights

SEEDS = st.integers(0, 2**32 - 1)


def sparse_weights(problem, rng):
    """Return random feasible weights with some zero blocks."""
    blocks = problem.blocks(random_weights(problem, rng))
    return problem.weights(blocks * (rng.random(blocks.shape[:-1]) < 0.7)[..., None])


@settings(max_examples=60)
@given(
    SEEDS,
    st.sampled_from(["gated", "relu"]),
    st.sampled_from(LOSSES),
    st.sampled_from(["tall", "wide", "collinear"]),
)
def test_network_has_the_predictions_and_objective_of_the_convex_weights(seed, kind, loss, shape):
    rng = np.random.default_rng(seed)
    problem = make_problem(kind, loss, shape=shape, c=3 if loss == "softmax" else int(rng.choice([1, 3])))
    weights = sparse_weights(problem, rng)
    network = cr.to_network(problem, weights)
    prediction = network.predict(problem.X).reshape(problem.Y.shape)
    np.testing.assert_allclose(prediction, problem.predict(weights), rtol=1e-11, atol=1e-11)
    objective = problem.objective(weights)
    assert network.objective(problem.X, problem.y, problem.lam, loss) == pytest.approx(objective, rel=1e-12)
    assert network.n_neurons == np.any(problem.blocks(weights), axis=-1).sum()


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(["gated", "relu"]), st.sampled_from([1, 3]))
def test_round_trip_from_convex_weights_never_raises_the_objective(seed, kind, c):
    rng = np.random.default_rng(seed)
    problem = make_problem(kind, c=c)
    weights = random_weights(problem, rng)
    network = cr.to_network(problem, weights)
    patterns, back = cr.to_convex(network, problem.X)
    again = type(problem)(problem.X, problem.y, patterns, problem.lam)
    assert again.objective(back) <= problem.objective(weights) * (1 + 1e-12)
    np.testing.assert_allclose(again.predict(back), problem.predict(weights), atol=1e-10)
    assert again.violation(back) <= 1e-12


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(["gated", "relu"]), st.integers(1, 12))
def test_round_trip_from_a_network_never_raises_the_objective(seed, kind, m):
    """With unbalanced and dead neurons, and several in a pattern, the convex point and its network are no worse."""
    rng = np.random.default_rng(seed)
    X = make_data("tall", seed)
    y = rng.standard_normal(12)
    W1, w2 = rng.standard_normal((m, 3)), rng.standard_normal(m) * 10.0 ** rng.integers(-3, 3, m)
    W1[m // 2 :] *= rng.random()
    network = cr.ReLUNetwork(W1, w2) if kind == "relu" else cr.GatedReLUNetwork(rng.standard_normal((3, m)), W1, w2)
    lam = 0.1
    patterns, weights = cr.to_convex(network, X)
    problem = (cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU)(X, y, patterns, lam)
    before = network.objective(X, y, lam)
    assert problem.objective(weights) <= before * (1 + 1e-12)
    assert problem.violation(weights) <= 1e-12 * max(1.0, np.abs(problem.blocks(weights)).max())
    np.testing.assert_allclose(problem.predict(weights)[:, 0], network.predict(X), rtol=1e-9, atol=1e-9)
    mapped = cr.to_network(problem, weights)
    assert mapped.objective(X, y, lam) == pytest.approx(problem.objective(weights), rel=1e-9)


@settings(max_examples=30)
@given(SEEDS)
def test_nuclear_weights_become_vector_output_neurons(seed):
    rng = np.random.default_rng(seed)
    problem = make_problem("gated", penalty="nuclear", c=3)
    U = rng.standard_normal((3, len(problem.patterns), 3))
    U[:, 0] = np.outer([1.0, -2.0, 0.5], rng.standard_normal(3))  # rank one
    U[:, 1] = 0.0
    network = cr.to_network(problem, U)
    assert network.n_neurons == 1 + 3 * (len(problem.patterns) - 2)
    np.testing.assert_allclose(network.predict(problem.X), problem.predict(U), atol=1e-11)
    assert network.objective(problem.X, problem.y, problem.lam) == pytest.approx(problem.objective(U), rel=1e-12)
    patterns, back = cr.to_convex(network, problem.X)
    again = cr.ConvexGatedReLU(problem.X, problem.y, patterns, problem.lam, penalty="nuclear")
    assert again.objective(back) == pytest.approx(problem.objective(U), rel=1e-10)


def test_neurons_whose_entries_sum_to_zero_and_tiny_ones_survive():
    X = make_data("tall")
    problem = make_problem("gated")
    U = np.zeros((1, len(problem.patterns), 3))
    U[0, 0] = [1.0, -1.0, 0.0]
    U[0, 1] = [1e-200, 0.0, 1e-200]
    network = cr.to_network(problem, U)
    assert network.n_neurons == 2
    assert np.isfinite(network.W1).all()
    np.testing.assert_allclose(network.W1 * network.w2, U[0, :2], rtol=1e-12)
    np.testing.assert_allclose(network.predict(X), problem.predict(U))


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1.0, 1e9])
def test_singular_values_count_in_proportion_to_the_largest(scale):
    """A block of rank one becomes one neuron and a block of rank two becomes two, whatever their sizes."""
    problem = make_problem("gated", penalty="nuclear", c=3)
    U = np.zeros((3, len(problem.patterns), 3))
    U[:, 0] = np.outer([1.0, -2.0, 0.5], [3.0, 0.1, -0.7])
    U[:, 1] = np.outer([1.0, -2.0, 0.5], [3.0, 0.1, -0.7]) + 1e-9 * np.outer([2.0, 1.0, 0.0], [0.1, -3.0, 0.0])
    assert cr.to_network(problem, scale * U).n_neurons == 1 + 2


def test_balance_by_hand():
    """The norm of both layers becomes the root of the product of the norms; a neuron with a zero layer becomes zero."""
    one = balance(cr.ReLUNetwork([[0.0, 8.0], [3.0, -4.0], [0.0, 0.0]], [-2.0, 0.0, 5.0]))
    np.testing.assert_allclose(one.W1, [[0.0, 4.0], [0.0, 0.0], [0.0, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(one.w2, [-4.0, 0.0, 0.0], rtol=1e-15)
    two = balance(cr.ReLUNetwork([[0.0, 10.0]], [[3.0, -4.0]]))
    np.testing.assert_allclose(two.W1, [[0.0, np.sqrt(50.0)]], rtol=1e-15)
    np.testing.assert_allclose(two.w2, np.sqrt(50.0) * np.array([[0.6, -0.8]]), rtol=1e-15)


def test_zero_weights_become_the_empty_network():
    for kind in ("gated", "relu"):
        for c in (1, 3):
            problem = make_problem(kind, c=c)
            network = cr.to_network(problem, problem.zero_weights())
            assert network.n_neurons == 0
            assert network.predict(problem.X).shape == problem.y.shape
            assert not network.predict(problem.X).any()
            zero = problem.objective(problem.zero_weights())
            assert network.objective(problem.X, problem.y, problem.lam) == zero


def test_masks_without_gates_make_no_gated_network():
    problem = make_problem("gated")
    masks = cr.ActivationPatterns(problem.patterns.D)
    unnamed = cr.ConvexGatedReLU(problem.X, problem.y, masks)
    with pytest.raises(ValueError, match="patterns must have gates"):
        cr.to_network(unnamed, unnamed.zero_weights())
    relu = cr.ConvexReLU(problem.X, problem.y, masks)
    assert cr.to_network(relu, relu.zero_weights()).n_neurons == 0


def test_dead_neurons_have_no_pattern():
    X = np.abs(make_data("wide")) + 0.1
    dead = cr.ReLUNetwork([[-1.0] * 8], [1.0])
    with pytest.raises(ValueError, match="active on some row"):
        cr.to_convex(dead, X)
    alive = cr.ReLUNetwork([[-1.0] * 8, [1.0] * 8], [1.0, -2.0])
    patterns, (V, W) = cr.to_convex(alive, X)
    assert len(patterns) == 1
    assert not V.any()
    np.testing.assert_allclose(W[0, 0], 2.0)
