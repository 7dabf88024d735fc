"""A common contract of all penalties: prox, dual norm, conjugate, subdifferential and CVXPY expressions."""

import dataclasses

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.certificates import checker
from cvxrelu.penalties import registry
from cvxrelu.penalties.base import NormPenalty, PatternNorm, Penalty, offers_rounded
from cvxrelu.penalties.group_norms import L1, FeatureGroupL1, GroupL1
from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.quadratic import NoPenalty, SquaredL2
from cvxrelu.penalties.registry import get_penalty
from tests.helpers.cases import GATED_PENALTIES
from tests.helpers.subdifferential import subdifferential_distance

PENALTIES = [get_penalty(name) for name in registry.PENALTIES]
NORMS = [penalty for penalty in PENALTIES if isinstance(penalty, NormPenalty)]
SEEDS = st.integers(0, 2**32 - 1)
STEPS = st.sampled_from([0.0, 0.05, 0.7, 3.0, 100.0])

each_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
each_norm = pytest.mark.parametrize("penalty", NORMS, ids=lambda penalty: penalty.name)
properties = settings(max_examples=40, deadline=None, derandomize=True)


def weights(rng, shape, sparse=True):
    """Return weights; sparse ones have zero blocks, patterns, features or entries, or rank-one patterns."""
    if not sparse:
        return rng.standard_normal(shape)
    ones = (1,) * (len(shape) - 2)
    if rng.random() < 0.3:
        return rng.standard_normal((*shape[:-2], 1, 1)) * rng.standard_normal(shape[-2:])
    masks = [(*shape[:-1], 1), (*ones, shape[-2], 1), (*ones, 1, shape[-1]), shape]
    return rng.standard_normal(shape) * (rng.random(masks[rng.integers(len(masks))]) < 0.7)


def draw(penalty, seed):
    """Return a generator and the shape (c, P, d) or, where allowed, (2, c, P, d)."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.integers(1, 5, 3))
    return rng, shape if penalty.name == "nuclear" or rng.random() < 0.5 else (2, *shape)


def matrix_rows(U):
    """Return the rows (m, d) that represent U (c, P, d) in CVXPY."""
    return U.reshape(-1, U.shape[-1])


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


def subgradient(penalty, rng, U):
    """Return a point of dOmega(U), without using the penalty."""
    noise = rng.uniform(-1, 1, U.shape)
    if penalty.name == "squared_l2":
        return U
    if penalty.name == "none":
        return 0 * U
    if penalty.name == "nuclear":
        S = np.empty_like(U)
        for i in range(U.shape[1]):
            left, s, right = np.linalg.svd(U[:, i])
            rank = np.count_nonzero(s > 1e-10)
            inner = noise[rank:, i, rank:]
            inner = inner / np.linalg.norm(inner, 2) if inner.size else inner
            S[:, i] = left[:, :rank] @ right[:rank] + left[:, rank:] @ inner @ right[rank:]
        return S
    axes = {"group_l1": -1, "feature_group_l1": tuple(range(U.ndim - 1)), "l1": ()}[penalty.name]
    norms, reach = (np.sqrt(np.sum(array**2, axis=axes, keepdims=True)) for array in (U, noise))
    return np.where(norms > 0, U / np.where(norms > 0, norms, 1), noise / np.maximum(reach, 1))


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


def test_feature_groups_are_not_separable_over_patterns():
    X = np.random.default_rng(0).standard_normal((6, 2))
    problem = cr.ConvexGatedReLU(X, X[:, 0], cr.sample_patterns(X, 3), 0.1, penalty="feature_group_l1")
    assert not isinstance(problem.penalty, PatternNorm)
    with pytest.raises(TypeError, match="penalty must be separable over patterns; got FeatureGroupL1"):
        problem.dual_constraint_values(np.ones((6, 1)))


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


def test_other_conjugates_by_hand():
    Z = np.array([[[3.0, 4.0]]])
    assert SquaredL2().conjugate(Z, 2.0) == 25 / 4
    assert NoPenalty().conjugate(Z, 2.0) == np.inf
    assert NoPenalty().conjugate(0 * Z, 2.0) == 0


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
def test_prox_agrees_with_cvxpy(penalty):
    U = np.random.default_rng(0).standard_normal((2, 3, 2))
    rows = matrix_rows(U)
    V, step = cp.Variable(rows.shape), cp.Parameter(nonneg=True, value=0.9)
    objective = cp.sum_squares(V - rows) / 2 + step * penalty.expression(V, 2)
    cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL")
    np.testing.assert_allclose(V.value, matrix_rows(penalty.prox(U, 0.9)), rtol=0, atol=1e-4)


def test_the_variable_of_the_squared_penalty_is_named():
    _, (constraint,) = SquaredL2().conjugate_constraints(cp.Variable((2, 2)), cp.Parameter(nonneg=True), 1)
    assert "Q" in [variable.name() for variable in constraint.variables()]


@each_penalty
def test_precision_follows_the_weights(penalty):
    U = np.random.default_rng(0).standard_normal((2, 3, 2))
    single = U.astype(np.float32)
    for step in (0.4, np.float64(0.4)):
        assert penalty.prox(single, step).dtype == np.float32
        np.testing.assert_allclose(penalty.prox(single, step), penalty.prox(U, 0.4), rtol=0, atol=1e-6)
    assert type(penalty.value(single)) is float
    assert type(penalty.conjugate(single, 0.1)) is float


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


@each_penalty
def test_penalties_are_values(penalty):
    assert isinstance(penalty, Penalty)
    assert penalty == type(penalty)()
    assert isinstance(penalty, NormPenalty) == (penalty.name not in ("squared_l2", "none"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        penalty.name = "other"


def test_get_penalty():
    penalty = L1()
    assert get_penalty(penalty) is penalty
    for name in registry.PENALTIES:
        assert get_penalty(name).name == name
    names = "'feature_group_l1', 'group_l1', 'l1', 'none', 'nuclear', 'squared_l2'"
    with pytest.raises(ValueError, match=f"penalty must be one of {names}; got 'l2'"):
        get_penalty("l2")
    for wrong in (None, 3, GroupL1):
        with pytest.raises(TypeError, match=r"penalty must be a Penalty or one of group_l1, .*, none; got"):
            get_penalty(wrong)


def test_every_penalty_of_the_package_offers_everything():
    assert all(offers_rounded(kind) for kind in registry.PENALTIES.values())
    assert set(checker.PENALTIES) == set(registry.PENALTIES) == set(GATED_PENALTIES)


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
