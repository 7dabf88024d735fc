"""A common contract of all penalties: values, dual norms, conjugates and CVXPY expressions."""

import dataclasses

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvxrelu.penalties.base import NormPenalty, PatternNorm, Penalty
from cvxrelu.penalties.group_norms import L1, FeatureGroupL1, GroupL1
from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.registry import get_penalty
from tests.helpers.penalties import (
    SEEDS,
    STEPS,
    draw,
    each_norm,
    each_penalty,
    matrix_rows,
    properties,
    subgradient,
    weights,
)
from tests.helpers.subdifferential import subdifferential_distance


def maximiser(penalty, Z):
    """Return a U with <Z, U> = dual_norm(Z) * Omega(U)."""
    U = np.zeros_like(Z)
    if penalty.name == "group_l1":
        block = np.unravel_index(np.argmax(np.linalg.norm(Z, axis=-1)), Z.shape[:-1])
        U[block] = Z[block]
    elif penalty.name == "feature_group_l1":
        feature = np.argmax(np.linalg.norm(Z.reshape(-1, Z.shape[-1]), axis=0))
        U[..., feature] = Z[..., feature]
    elif penalty.name == "l1":
        entry = np.unravel_index(np.argmax(np.abs(Z)), Z.shape)
        U[entry] = Z[entry]
    elif penalty.name == "nuclear":
        pattern = max(range(Z.shape[1]), key=lambda i: np.linalg.norm(Z[:, i], 2))
        left, _, right = np.linalg.svd(Z[:, pattern])
        U[:, pattern] = np.outer(left[:, 0], right[0])
    return U


@pytest.mark.parametrize(
    ("name", "value", "dual_norm"),
    [
        ("group_l1", 5 + 13 + 0 + 1, 13),
        ("feature_group_l1", np.sqrt(9 + 25) + np.sqrt(16 + 144 + 1), np.sqrt(161)),
        ("l1", 3 + 4 + 5 + 12 + 1, 12),
        ("nuclear", 5 + np.sqrt(170 + 2 * 5), np.sqrt(85 + np.sqrt(85**2 - 25))),
        ("squared_l2", (25 + 169 + 1) / 2, None),
        ("none", 0, None),
    ],
)
def test_by_hand(name, value, dual_norm):
    # Blocks (k, i): (0, 0) and (1, 0) make the first matrix of the nuclear norm, [[3, -4], [0, 0]], the
    # others the second, [[5, 12], [0, 1]], whose squared singular values have sum 170 and product 25.
    U = np.array([[[3.0, -4.0], [5.0, 12.0]], [[0.0, 0.0], [0.0, 1.0]]])
    penalty = get_penalty(name)
    assert penalty.value(U) == pytest.approx(value, rel=1e-14)
    if dual_norm is not None:
        assert penalty.dual_norm(U) == pytest.approx(dual_norm, rel=1e-14)


@each_norm
@properties
@given(seed=SEEDS)
def test_dual_norm_by_its_definition(penalty, seed):
    rng, shape = draw(penalty, seed)
    Z, U = weights(rng, shape, sparse=False), weights(rng, shape)
    assert np.sum(Z * U) <= penalty.dual_norm(Z) * penalty.value(U) * (1 + 1e-14)
    U = maximiser(penalty, Z)
    assert np.sum(Z * U) == pytest.approx(penalty.dual_norm(Z) * penalty.value(U), rel=1e-13)


@pytest.mark.parametrize("penalty", [GroupL1(), L1(), Nuclear()], ids=lambda penalty: penalty.name)
@properties
@given(seed=SEEDS)
def test_pattern_dual_norms_match_single_patterns(penalty, seed):
    rng, shape = draw(penalty, seed)
    Z = weights(rng, shape)
    sizes = penalty.pattern_dual_norm(Z)
    assert sizes.shape == (shape[-2],)
    alone = [penalty.dual_norm(Z[..., [i], :]) for i in range(shape[-2])]
    np.testing.assert_allclose(sizes, alone, rtol=1e-14)
    assert sizes.max() == pytest.approx(penalty.dual_norm(Z), rel=1e-14)
    assert penalty.pattern_dual_norm(Z.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(("name", "expected"), [("group_l1", [5, 13]), ("l1", [4, 12]), ("nuclear", [5, None])])
def test_pattern_dual_norms_by_hand(name, expected):
    Z = np.array([[[3.0, -4.0], [5.0, 12.0]], [[0.0, 0.0], [0.0, 1.0]]])
    expected = np.array([np.sqrt(85 + np.sqrt(85**2 - 25)) if size is None else size for size in expected])
    np.testing.assert_allclose(get_penalty(name).pattern_dual_norm(Z), expected, rtol=1e-14)


@each_norm
@properties
@given(seed=SEEDS)
def test_norms_are_norms(penalty, seed):
    rng, shape = draw(penalty, seed)
    U, V = weights(rng, shape), weights(rng, shape)
    for norm in (penalty.value, penalty.dual_norm):
        assert norm(U + V) <= (norm(U) + norm(V)) * (1 + 1e-14)
        assert norm(-3 * U) == pytest.approx(3 * norm(U), rel=1e-14)
        assert (norm(U) == 0) == (not np.any(U))


@each_penalty
@properties
@given(seed=SEEDS, lam=st.sampled_from([0.0, 0.3, 2.0]))
def test_fenchel_young(penalty, seed, lam):
    rng, shape = draw(penalty, seed)
    U, Z = weights(rng, shape), weights(rng, shape)
    assert lam * penalty.value(U) + penalty.conjugate(Z, lam) >= np.sum(Z * U) - 1e-14 * (1 + np.sum(np.abs(Z * U)))
    S = subgradient(penalty, rng, U)
    inside = lam * (1 - 1e-12) * S  # the norm ball has no tolerance for rounding
    excess = lam * penalty.value(U) + penalty.conjugate(inside, lam) - np.sum(inside * U)
    assert abs(excess) <= 1e-11 * lam * np.sum(U * U + np.abs(U))


@each_norm
def test_conjugate_of_a_norm_is_the_indicator_of_its_ball(penalty):
    Z = np.random.default_rng(0).standard_normal((2, 3, 2))
    size = penalty.dual_norm(Z)
    assert penalty.conjugate(Z, size) == 0
    assert penalty.conjugate(Z, size * (1 - 1e-15)) == np.inf


@each_norm
def test_conjugate_of_float32_is_computed_in_float64(penalty):
    rng = np.random.default_rng(0)
    for _ in range(10):
        Z = rng.standard_normal((2, 3, 2)).astype(np.float32)
        size = penalty.dual_norm(Z.astype(np.float64))
        assert penalty.conjugate(Z, size) == 0
        assert penalty.conjugate(Z, size * (1 - 1e-15)) == np.inf


@each_penalty
def test_conjugate_with_lam_zero_is_the_indicator_of_zero(penalty):
    Z = np.zeros((2, 3, 2))
    assert penalty.conjugate(Z, 0.0) == 0
    Z[1, 2, 1] = 1e-150
    assert penalty.conjugate(Z, 0.0) == np.inf


@pytest.mark.parametrize(
    ("one", "two", "shape", "twin"),
    [
        # One output: each pattern's matrix is a row. Blocks of one entry. One block, so one entry for each
        # feature. Features and blocks exchanged.
        (Nuclear(), GroupL1(), (1, 3, 4), lambda U: U),
        (GroupL1(), L1(), (2, 3, 1), lambda U: U),
        (FeatureGroupL1(), L1(), (1, 1, 5), lambda U: U),
        (FeatureGroupL1(), GroupL1(), (1, 3, 4), lambda U: U.swapaxes(1, 2)),
    ],
)
@properties
@given(seed=SEEDS, step=STEPS)
def test_penalties_coincide_on_some_shapes(one, two, shape, twin, seed, step):
    rng = np.random.default_rng(seed)
    U, G = weights(rng, shape), weights(rng, shape)
    assert one.value(U) == pytest.approx(two.value(twin(U)), rel=1e-14)
    assert one.dual_norm(G) == pytest.approx(two.dual_norm(twin(G)), rel=1e-14)
    np.testing.assert_allclose(one.prox(U, step), twin(two.prox(twin(U), step)), rtol=0, atol=1e-14)
    distance = subdifferential_distance(two, twin(U), twin(G), step)
    assert subdifferential_distance(one, U, G, step) == pytest.approx(distance, abs=1e-14 * (1 + step))


@each_penalty
@properties
@given(seed=SEEDS)
def test_expression_has_the_value(penalty, seed):
    rng = np.random.default_rng(seed)
    U = weights(rng, tuple(rng.integers(1, 5, 3)))
    rows = matrix_rows(U)
    expression = penalty.expression(cp.Variable(rows.shape, value=rows), len(U))
    assert expression.value == pytest.approx(penalty.value(U), rel=1e-12, abs=1e-15)
    assert expression.shape == ()


@each_penalty
def test_expressions_are_dpp_with_labelled_constraints(penalty):
    lam = cp.Parameter(nonneg=True, value=0.5)
    data = cp.Parameter((6, 6), value=np.eye(6))
    affine = data @ cp.Variable((6, 3))
    regulariser = lam * penalty.expression(cp.Variable((6, 3)), 2)
    assert cp.Problem(cp.Minimize(regulariser)).is_dcp(dpp=True)
    term, constraints = penalty.conjugate_constraints(affine, lam, 2)
    assert cp.Problem(cp.Maximize(-term), constraints).is_dcp(dpp=True)
    assert constraints
    assert all(part.label.startswith("dual") for part in constraints)
    assert len({part.label for part in constraints}) == len(constraints)


@pytest.mark.parametrize("lam", [0.7, 0.0])
@each_penalty
def test_biconjugate_by_cvxpy(penalty, lam):
    # sup_Z <C, Z> - R*(Z) = lam * Omega(C).
    C = np.random.default_rng(0).standard_normal((2, 3, 2))
    rows = matrix_rows(C)
    Z, parameter = cp.Variable(rows.shape), cp.Parameter(nonneg=True, value=lam)
    term, constraints = penalty.conjugate_constraints(Z, parameter, 2)
    problem = cp.Problem(cp.Maximize(cp.sum(cp.multiply(rows, Z)) - term), constraints)
    assert problem.solve(solver="CLARABEL") == pytest.approx(lam * penalty.value(C), abs=1e-6)


@each_penalty
def test_precision_follows_the_weights(penalty):
    U = np.random.default_rng(0).standard_normal((2, 3, 2))
    single = U.astype(np.float32)
    for step in (0.4, np.float64(0.4)):
        assert penalty.prox(single, step).dtype == np.float32
        np.testing.assert_allclose(penalty.prox(single, step), penalty.prox(U, 0.4), rtol=0, atol=1e-6)
    assert type(penalty.value(single)) is float
    assert type(penalty.conjugate(single, 0.1)) is float


@each_penalty
def test_penalties_are_values(penalty):
    assert isinstance(penalty, Penalty)
    assert penalty == type(penalty)()
    assert isinstance(penalty, NormPenalty) == (penalty.name not in ("squared_l2", "none"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        penalty.name = "other"


@each_penalty
@pytest.mark.parametrize("seed", range(5))
def test_capabilities_hold(penalty, seed):
    rng = np.random.default_rng(seed)
    U, V = rng.standard_normal((2, 3, 4, 2))
    parts = [U * (np.arange(4) == i)[None, :, None] for i in range(4)]
    if penalty.degree is not None:
        assert penalty.value(3.0 * U) == pytest.approx(3.0**penalty.degree * penalty.value(U))
    if penalty.curvature is not None:
        assert penalty.value(U) == pytest.approx(0.5 * penalty.curvature * np.sum(U * U))
    if isinstance(penalty, PatternNorm):
        assert penalty.value(U) == pytest.approx(sum(map(penalty.value, parts)))
        assert penalty.dual_norm(U) == pytest.approx(penalty.pattern_dual_norm(U).max())
        for i, part in enumerate(parts):
            assert penalty.pattern_dual_norm(U)[i] == pytest.approx(penalty.dual_norm(part))
    if penalty.scales_by_block and penalty.curvature is None:
        factors = rng.uniform(0.0, 3.0, (1 if penalty.couples_outputs else 3, 4, 1))
        scaled = sum(
            penalty.value(factors[k, i] * W[None, None] if not penalty.couples_outputs else factors[0, i] * W[:, None])
            for k, i, W in (
                [(0, i, U[:, i]) for i in range(4)]
                if penalty.couples_outputs
                else [(k, i, U[k, i]) for k in range(3) for i in range(4)]
            )
        )
        assert penalty.value(factors * U) == pytest.approx(scaled)
    if penalty.scales_by_block and penalty.curvature is None and not penalty.couples_outputs:
        assert penalty.value(U) == pytest.approx(penalty.block_costs(U.reshape(-1, 2)).sum())
    if penalty.gated_is_lower_bound:
        assert penalty.value(U - V) <= penalty.value(np.stack([U, V])) + 1e-12
    elif not penalty.couples_outputs:
        assert penalty.value(2.0 * U) > penalty.value(np.stack([U, -U]))  # u = 2 v, w = -v
    turn = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    if penalty.rotation_invariant:
        assert penalty.value(U @ turn) == pytest.approx(penalty.value(U))
