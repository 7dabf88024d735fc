"""Proximal operators of the penalties: by hand, optimality, Moreau's decomposition."""

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given

from cvxrelu.penalties.registry import get_penalty
from tests.helpers.penalties import SEEDS, STEPS, draw, each_norm, each_penalty, matrix_rows, properties, weights
from tests.helpers.subdifferential import subdifferential_distance


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("group_l1", [[[2.4, -3.2], [0.0, 0.0]]]),
        (
            "feature_group_l1",
            [[[3 - 3 / 3.0, -4 * (1 - 1 / np.hypot(4, 0.5))], [0.0, 0.5 * (1 - 1 / np.hypot(4, 0.5))]]],
        ),
        ("l1", [[[2.0, -3.0], [0.0, 0.0]]]),
        ("nuclear", [[[2.4, -3.2], [0.0, 0.0]]]),
        ("squared_l2", [[[1.5, -2.0], [0.0, 0.25]]]),
        ("none", [[[3.0, -4.0], [0.0, 0.5]]]),
    ],
)
def test_prox_by_hand(name, expected):
    U = np.array([[[3.0, -4.0], [0.0, 0.5]]])
    np.testing.assert_allclose(get_penalty(name).prox(U, 1.0), expected, rtol=1e-14, atol=1e-15)


@each_penalty
@properties
@given(seed=SEEDS, step=STEPS)
def test_prox_is_the_minimiser(penalty, seed, step):
    rng, shape = draw(penalty, seed)
    U = 2 * weights(rng, shape)
    p = penalty.prox(U, step)
    least = np.sum((p - U) ** 2) / 2 + step * penalty.value(p)
    for distance in (1e-3, 0.1, 1.0, 10.0):
        V = p + distance * weights(rng, shape)
        objective = np.sum((V - U) ** 2) / 2 + step * penalty.value(V)
        assert objective >= least + np.sum((V - p) ** 2) / 2 - 1e-14 * (1 + objective)


@each_penalty
@properties
@given(seed=SEEDS, step=STEPS)
def test_prox_solves_its_inclusion(penalty, seed, step):
    rng, shape = draw(penalty, seed)
    U = 2 * weights(rng, shape)
    p = penalty.prox(U, step)
    # Singular vectors are accurate relative to their singular values; all else to the last digits.
    accuracy = 1e-12 if penalty.name == "nuclear" else 1e-14
    assert subdifferential_distance(penalty, p, U - p, step) <= accuracy * (step + np.linalg.norm(U))


@each_penalty
@properties
@given(seed=SEEDS, step=STEPS)
def test_prox_is_firmly_nonexpansive(penalty, seed, step):
    rng, shape = draw(penalty, seed)
    U, V = weights(rng, shape), weights(rng, shape)
    change = penalty.prox(U, step) - penalty.prox(V, step)
    assert np.sum(change**2) <= np.sum(change * (U - V)) + 1e-14 * np.sum((U - V) ** 2)


@each_norm
@properties
@given(seed=SEEDS, step=STEPS)
def test_moreau_decomposition(penalty, seed, step):
    rng, shape = draw(penalty, seed)
    U = 2 * weights(rng, shape)
    p = penalty.prox(U, step)
    rounding = 1e-14 * (step + np.linalg.norm(U))
    assert penalty.dual_norm(U - p) <= step + rounding
    assert np.sum((U - p) * p) == pytest.approx(step * penalty.value(p), abs=rounding * (1 + np.linalg.norm(U)))


@each_penalty
def test_prox_at_zero_and_with_step_zero(penalty):
    U = weights(np.random.default_rng(0), (2, 3, 2), sparse=False)
    U[0, 1] = 0
    U.flags.writeable = False
    np.testing.assert_allclose(penalty.prox(U, 0.0), U, rtol=0, atol=1e-15)
    assert not np.shares_memory(penalty.prox(U, 0.0), U)
    assert not np.any(penalty.prox(np.zeros_like(U), 0.0))
    assert not np.any(penalty.prox(np.zeros_like(U), 1.0))


@each_norm
def test_prox_is_exactly_zero_at_and_above_the_dual_norm(penalty):
    U = np.array([[[3.0, 4.0], [0.0, 1.0]]])
    assert not np.any(penalty.prox(U, penalty.dual_norm(U)))
    assert np.any(penalty.prox(U, penalty.dual_norm(U) * (1 - 1e-12)))


@each_penalty
def test_prox_agrees_with_cvxpy(penalty):
    U = np.random.default_rng(0).standard_normal((2, 3, 2))
    rows = matrix_rows(U)
    V, step = cp.Variable(rows.shape), cp.Parameter(nonneg=True, value=0.9)
    objective = cp.sum_squares(V - rows) / 2 + step * penalty.expression(V, 2)
    cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL")
    np.testing.assert_allclose(V.value, matrix_rows(penalty.prox(U, 0.9)), rtol=0, atol=1e-4)
