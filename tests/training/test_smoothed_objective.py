"""The smoothed objective: values and gradients of every loss, against sums written out and finite differences."""

import numpy as np
import pytest
from hypothesis import given

import cvxrelu as cr
from cvxrelu.losses.weighted import Weighted
from cvxrelu.training.smoothed_objective import SmoothedObjective
from tests.helpers.losses import LOSSES, SEEDS, each_loss, properties, targets


def draw(loss, seed, n=30, d=4, m=6):
    rng = np.random.default_rng(seed)
    c = 3 if loss.name == "softmax" else int(rng.integers(1, 4))
    X, Y = rng.standard_normal((n, d)), targets(loss, rng, n, c)
    return X, Y, rng.standard_normal((m, d)), rng.standard_normal((m, c)), rng


def value(X, Y, lam, loss, W, V, eps):
    """Return the smoothed objective in float64."""
    Z, e = X @ W.T, eps * np.linalg.norm(W, axis=1)
    A = np.where(e < Z, Z, np.where(-e > Z, 0.0, (Z + e) ** 2 / (4 * e)))
    return loss.value(A @ V, Y) + 0.5 * lam * (np.sum(W**2) + np.sum(V**2))


@each_loss
@properties
@given(seed=SEEDS)
def test_values_and_gradients(loss, seed):
    X, Y, W, V, rng = draw(loss, seed)
    objective = SmoothedObjective(X, Y, 0.1, loss)
    found, in_W, in_V = objective.evaluate(W, V, 0.3)
    assert found == pytest.approx(value(X, Y, 0.1, loss, W, V, 0.3), rel=1e-5)
    step_W, step_V, h = rng.standard_normal(W.shape), rng.standard_normal(V.shape), 1e-5
    ahead, behind = (value(X, Y, 0.1, loss, W + s * h * step_W, V + s * h * step_V, 0.3) for s in (1.0, -1.0))
    slope = np.vdot(in_W, step_W) + np.vdot(in_V, step_V)
    assert slope == pytest.approx((ahead - behind) / (2 * h), rel=1e-3, abs=1e-3)


@properties
@given(seed=SEEDS)
def test_neurons_can_be_rescaled(seed):
    X, Y, W, V, rng = draw(LOSSES[0], seed)
    objective = SmoothedObjective(X, Y, 1e-12, LOSSES[0])
    factors = rng.uniform(0.1, 10.0, (len(W), 1))
    before, after = objective.evaluate(W, V, 0.1)[0], objective.evaluate(factors * W, V / factors, 0.1)[0]
    assert after == pytest.approx(before, rel=1e-4)


def test_blocks_of_rows_give_the_same_sums():
    X, Y, W, V, _ = draw(LOSSES[0], 0, n=5_000, m=100)
    whole = SmoothedObjective(X, Y, 0.1, LOSSES[0])
    assert len(whole._rows(100)) > 1
    first = SmoothedObjective(X[:2_500], Y[:2_500], 0.1, LOSSES[0])
    second = SmoothedObjective(X[2_500:], Y[2_500:], 0.1, LOSSES[0])
    for found, one, two in zip(*(each.evaluate(W, V, 0.1) for each in (whole, first, second)), strict=True):
        np.testing.assert_allclose(found, 0.5 * (one + two), rtol=1e-4, atol=1e-5)


def test_weights_of_rows():
    X, Y, W, V, _ = draw(cr.Huber(0.5), 1)
    counts = np.arange(1, 31) % 3 + 1
    weighted = SmoothedObjective(X, Y, 0.1, Weighted("huber", counts)).evaluate(W, V, 0.1)
    repeated = SmoothedObjective(X.repeat(counts, axis=0), Y.repeat(counts, axis=0), 0.1, cr.Huber()).evaluate(
        W, V, 0.1
    )
    for one, other in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@each_loss
def test_the_exact_objective_is_that_of_the_network(loss):
    X, Y, W, V, _ = draw(loss, 2)
    X = X.astype(np.float32).astype(np.float64)  # what the objective holds
    assert SmoothedObjective(X, Y, 0.1, loss).exact(W, V) == pytest.approx(
        cr.ReLUNetwork(W, V).objective(X, Y, 0.1, loss), rel=1e-12
    )
