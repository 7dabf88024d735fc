"""The networks of the literal programs, and networks trained without them."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from reference import programs as ref
from tests.helpers.literal_programs import DELTA, LAM, LOSSES, data, penalty_by_numpy, smooth_data, solve


@pytest.mark.parametrize("c", [1, 3])
def test_network_of_a_relu_solution_has_the_convex_value(c):
    X, Y, D = smooth_data(c=c)
    program = solve(ref.c_relu(X, Y, D, LAM))
    W1, w2 = ref.relu_network(*program.weights())
    assert W1.shape == (2 * c * D.shape[1], X.shape[1])
    assert w2.shape == (len(W1), c)
    assert ref.nc_relu_objective(X, Y, W1, w2, LAM) == pytest.approx(program.value, rel=1e-5)


def test_network_leaves_zero_blocks_out():
    V, W = np.zeros((2, 3, 2)), np.zeros((2, 3, 2))
    W[1, 0] = (3.0, 4.0)
    W1, w2 = ref.relu_network(V, W)
    np.testing.assert_allclose(W1, np.array([[3.0, 4.0]]) / math.sqrt(5))
    np.testing.assert_allclose(w2, [[0.0, -math.sqrt(5)]])


def test_gated_network_shares_a_pattern_between_singular_triples_and_leaves_zeros_out():
    U = np.random.default_rng(0).standard_normal((3, 4, 2))
    U[:, 1] = 0
    W1, w2, gates = ref.gated_network(U)
    assert gates == [0, 0, 2, 2, 3, 3]
    for i in range(4):
        neurons = [j for j, gate in enumerate(gates) if gate == i]
        np.testing.assert_allclose(w2[neurons].T @ W1[neurons], U[:, i], atol=1e-12)
    decay = (np.sum(W1**2) + np.sum(w2**2)) / 2
    assert decay == pytest.approx(penalty_by_numpy([U], "nuclear"), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_nuclear_norm_is_the_weight_decay_of_the_gated_network(loss):
    X, Y, D = data(loss, c=3)
    program = solve(ref.c_gated_relu(X, Y, D, LAM, loss, "nuclear", DELTA))
    W1, w2, gates = ref.gated_network(program.weights())
    value = ref.nc_gated_relu_objective(X, Y, D[:, gates], W1, w2, LAM, loss, DELTA)
    assert value == pytest.approx(program.value, rel=1e-6)


def test_objectives_of_a_network_by_hand():
    X, y = np.array([[1.0], [-2.0]]), np.array([1.0, 3.0])
    # NC-ReLU: prediction (1 * 2, 0) = (2, 0); residuals (1, -3); decay 1 + 4.
    assert ref.nc_relu_objective(X, y, [[1.0]], [2.0], lam=0.2) == pytest.approx((1 + 9) / 4 + 0.1 * 5)
    # NC-GReLU with the gate open on both rows: prediction (2, -4); residuals (1, -7).
    gate = np.ones((2, 1), dtype=bool)
    assert ref.nc_gated_relu_objective(X, y, gate, [[1.0]], [2.0], lam=0.2) == pytest.approx(50 / 4 + 0.1 * 5)


def test_no_trained_network_beats_the_convex_program_with_all_patterns():
    """NC-ReLU and C-ReLU have one optimal value: descent from random starts reaches it, never passes it."""
    X, Y, _ = smooth_data(n=6, d=2)
    y, n, m = Y[:, 0], 6, 12
    optimum = solve(ref.c_relu(X, Y, ref.all_patterns(X), LAM)).value

    def objective(theta):
        W1, w2 = theta[: 2 * m].reshape(m, 2), theta[2 * m :]
        hidden = np.maximum(X @ W1.T, 0)
        r = (hidden @ w2 - y) / n
        first = ((np.outer(r, w2) * (hidden > 0)).T @ X + LAM * W1).ravel()
        return n * r @ r / 2 + LAM / 2 * theta @ theta, np.append(first, hidden.T @ r + LAM * w2)

    best = np.inf
    for seed in range(20):
        start = np.random.default_rng(seed).standard_normal(3 * m)
        theta = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
        value = ref.nc_relu_objective(X, y, theta[: 2 * m].reshape(m, 2), theta[2 * m :], LAM)
        assert value >= optimum - 1e-7
        best = min(best, value)
    assert best == pytest.approx(optimum, rel=1e-3)
