"""Distances to the subdifferentials of the penalties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvxrelu.penalties.base import NormPenalty
from cvxrelu.penalties.registry import get_penalty
from tests.helpers.penalties import SEEDS, draw, each_penalty, properties, subgradient, weights
from tests.helpers.subdifferential import subdifferential_distance


@each_penalty
@properties
@given(seed=SEEDS, lam=st.sampled_from([0.0, 0.3, 2.0]))
def test_distance_of_subgradients_is_zero(penalty, seed, lam):
    rng, shape = draw(penalty, seed)
    U = weights(rng, shape)
    S = subgradient(penalty, rng, U)
    assert subdifferential_distance(penalty, U, lam * S, lam) <= 1e-14 * lam * (1 + np.linalg.norm(U))


@each_penalty
@properties
@given(seed=SEEDS, lam=st.sampled_from([0.0, 0.3, 2.0]))
def test_distance_is_at_most_that_to_any_subgradient(penalty, seed, lam):
    rng, shape = draw(penalty, seed)
    U, G = weights(rng, shape), 2 * weights(rng, shape)
    distance = subdifferential_distance(penalty, U, G, lam)
    for _ in range(5):
        S = lam * subgradient(penalty, rng, U)
        assert distance <= np.linalg.norm(G - S) * (1 + 1e-13) + 1e-14


@each_penalty
@properties
@given(seed=SEEDS, lam=st.sampled_from([0.0, 0.3, 2.0]))
def test_distance_is_the_limit_of_the_proximal_residual(penalty, seed, lam):
    # prox(U + h G) - U = h (G - projection of G onto lam dOmega(U)) + O(h^2), independent of the formula.
    rng, shape = draw(penalty, seed)
    U, G = np.round(2 * weights(rng, shape)), 2 * weights(rng, shape)  # integers: zero or not small
    distance = subdifferential_distance(penalty, U, G, lam)
    residuals = [np.linalg.norm(penalty.prox(U + h * G, h * lam) - U) / h for h in (2e-6, 1e-6)]
    extrapolated = 2 * residuals[1] - residuals[0]
    assert distance == pytest.approx(extrapolated, abs=1e-6 * (1 + distance))


@pytest.mark.parametrize(
    ("name", "U", "G", "expected"),
    [
        ("group_l1", [[[3, 4], [0, 0]]], [[[0.6, 0.8], [0.6, 0.8]]], 0),
        ("group_l1", [[[3, 4], [0, 0]]], [[[1.6, 2.8], [3, 4]]], np.sqrt(1 + 4 + 16)),
        ("feature_group_l1", [[[3, 0], [4, 0]]], [[[0.6, 0.6], [0.8, 0.8]]], 0),
        ("feature_group_l1", [[[3, 0], [4, 0]]], [[[1.6, 3], [2.8, 4]]], np.sqrt(1 + 4 + 16)),
        ("l1", [[[3, -4], [0, 0]]], [[[2, -3], [-0.5, 4]]], np.sqrt(1 + 4 + 9)),
        ("squared_l2", [[[3, 4], [0, 0]]], [[[3, 5], [1, 0]]], np.sqrt(2)),
        ("none", [[[3, 4], [0, 0]]], [[[3, 4], [0, 0]]], 5),
        # One pattern with the matrix diag(2, 0), of rank one: the off-diagonal part of G counts in full,
        # its last entry only beyond 1.
        ("nuclear", [[[2, 0]], [[0, 0]]], [[[1, 0]], [[0, 1]]], 0),
        ("nuclear", [[[2, 0]], [[0, 0]]], [[[1, 0]], [[0, -0.5]]], 0),
        ("nuclear", [[[2, 0]], [[0, 0]]], [[[3, 0]], [[0, 5]]], np.sqrt(4 + 16)),
        ("nuclear", [[[2, 0]], [[0, 0]]], [[[1, 3]], [[4, 1]]], 5),
        ("nuclear", [[[1, 0]], [[0, 1]]], [[[1, 2]], [[2, 1]]], np.sqrt(8)),
        ("nuclear", [[[0, 0]], [[0, 0]]], [[[0, 3]], [[0.5, 0]]], 2),
    ],
)
def test_distance_by_hand_with_lam_one(name, U, G, expected):
    U, G = np.array(U, dtype=float), np.array(G, dtype=float)
    assert subdifferential_distance(get_penalty(name), U, G, 1.0) == pytest.approx(expected, abs=1e-15)


@each_penalty
def test_distance_at_zero_and_with_lam_zero(penalty):
    rng = np.random.default_rng(0)
    U, G = rng.standard_normal((2, 2, 3, 2))
    size = np.linalg.norm(G)
    assert subdifferential_distance(penalty, U, G, 0.0) == pytest.approx(size, rel=1e-14)
    assert subdifferential_distance(penalty, 0 * U, G, 0.0) == pytest.approx(size, rel=1e-14)
    assert subdifferential_distance(penalty, 0 * U, 0 * G, 0.0) == 0
    if isinstance(penalty, NormPenalty):
        assert subdifferential_distance(penalty, 0 * U, G, penalty.dual_norm(G)) == 0
        assert subdifferential_distance(penalty, 0 * U, G, 0.9 * penalty.dual_norm(G)) > 0.01
