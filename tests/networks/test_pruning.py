"""Pruning keeps predictions, cones and gap, does not raise the penalty, and leaves independent blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.networks import pruning
from reference.datasets.prepare import load
from tests.helpers.cases import LOSSES, make_data, make_problem, make_targets, random_weights

SEEDS = st.integers(0, 2**32 - 1)
ACCEPTED = ("group_l1", "l1", "none")


def block_predictions(problem, weights):
    """Return the predictions of the scaled units for each group that is pruned on its own: lists of arrays (m, N)."""
    blocks = problem.blocks(weights)
    masks, X = np.asarray(problem.patterns.D).T, problem.operator.X
    parts = blocks.reshape(-1, *blocks.shape[-3:])  # V and W, or U alone
    products = np.einsum("pn,scpd,nd->scpn", masks, parts, X)
    if problem.penalty.name == "nuclear":
        used = np.any(blocks, axis=(0, 2))
        return [products[0].transpose(1, 0, 2)[used].reshape(used.sum(), -1)]
    return [products[:, k][np.any(parts[:, k], axis=-1)] for k in range(problem.n_outputs)]


def rank(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    sizes = np.linalg.svd(vectors / np.where(norms > 0.0, norms, 1.0), compute_uv=False)
    return np.sum(sizes > 1e-14 * sizes.max(initial=0.0))


def assert_pruned(problem, weights):
    """Return the pruned weights after checking all guaranteed properties."""
    pruned = cr.prune(problem, weights)
    before, after = block_predictions(problem, weights), block_predictions(problem, pruned)
    total = sum(np.abs(vectors).sum(axis=0).max(initial=0.0) for vectors in before)
    np.testing.assert_allclose(problem.predict(pruned), problem.predict(weights), rtol=0.0, atol=1e-11 * total)
    assert problem.penalty.value(problem.blocks(pruned)) <= problem.penalty.value(problem.blocks(weights)) * (1 + 1e-13)
    assert problem.objective(pruned) <= problem.objective(weights) * (1 + 1e-12)
    size = np.abs(problem.blocks(pruned)).max()
    assert problem.violation(pruned) <= problem.violation(weights) + 1e-14 * max(1.0, size)
    for old, new in zip(before, after, strict=True):
        assert len(new) <= rank(old) <= old.shape[1]
        assert rank(new) == len(new)
    kept = np.any(problem.blocks(pruned), axis=-1)
    assert not np.any(kept & ~np.any(problem.blocks(weights), axis=-1))
    again = cr.prune(problem, pruned)
    np.testing.assert_array_equal(problem.blocks(again), problem.blocks(pruned))
    return pruned


def count(problem, weights):
    return np.any(problem.blocks(weights), axis=-1).sum()


@settings(max_examples=80)
@given(
    SEEDS,
    st.sampled_from(["gated", "relu"]),
    st.sampled_from(ACCEPTED),
    st.sampled_from(["tall", "wide", "collinear", "tripled"]),
    st.sampled_from([1, 3]),
    st.integers(5, 60),
)
def test_any_weights_keep_predictions_penalty_and_cones(seed, kind, penalty, shape, c, n_gates):
    rng = np.random.default_rng(seed)
    problem = make_problem(kind, penalty=penalty, shape=shape, c=c, n_gates=n_gates, seed=seed % 100)
    blocks = problem.blocks(random_weights(problem, rng))
    blocks = blocks * (rng.random(blocks.shape[:-1]) < 0.8)[..., None] * 10.0 ** rng.integers(-4, 4)
    pruned = assert_pruned(problem, problem.weights(blocks))
    assert count(problem, pruned) <= problem.n * c


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(["tall", "wide", "collinear"]), st.integers(5, 60))
def test_any_matrices_under_nuclear(seed, shape, n_gates):
    rng = np.random.default_rng(seed)
    problem = make_problem("gated", penalty="nuclear", shape=shape, c=3, n_gates=n_gates, seed=seed % 100)
    pruned = assert_pruned(problem, random_weights(problem, rng))
    network = cr.to_network(problem, pruned)
    assert network.n_neurons <= 3 * problem.n
    objective = network.objective(problem.X, problem.y, problem.lam)
    assert objective == pytest.approx(problem.objective(pruned), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("kind", "penalty"), [("gated", "group_l1"), ("gated", "nuclear"), ("relu", "group_l1")])
def test_mixtures_of_duplicate_patterns_shrink_to_the_solution_of_distinct_ones(kind, penalty, loss):
    """An optimal point spread over copies of patterns stays optimal, and is pruned to the rank."""
    c = 3 if loss == "softmax" or penalty == "nuclear" else 1
    distinct = make_problem(kind, loss, penalty, c=c, ratio=0.05)
    D, G = distinct.patterns.D, distinct.patterns.G
    copies = cr.ActivationPatterns(np.tile(D, 5), np.tile(G, 5))
    problem = type(distinct)(distinct.X, distinct.y, copies, distinct.lam, loss, penalty)
    solution = cr.solve(distinct, "CLARABEL", tol=1e-8)
    fractions = np.random.default_rng(0).dirichlet(np.ones(5), D.shape[1])  # (P, 5)
    blocks = distinct.blocks(solution.weights)
    spread = np.concatenate([column[:, None] * blocks for column in fractions.T], axis=-2)
    weights = problem.weights(np.ascontiguousarray(spread))
    assert count(problem, weights) == 5 * solution.certificate.n_active
    pruned = assert_pruned(problem, weights)
    assert count(problem, pruned) <= solution.certificate.n_active
    assert cr.certify(problem, pruned).rel_gap <= 1.01 * cr.certify(problem, weights).rel_gap + 1e-12
    network = cr.to_network(problem, pruned)
    np.testing.assert_allclose(
        network.predict(problem.X).reshape(problem.Y.shape), problem.predict(weights), atol=1e-11
    )


@pytest.mark.parametrize(("penalty", "c"), [("group_l1", 1), ("l1", 3), ("nuclear", 3)])
def test_the_middle_of_optimal_points_is_pruned_to_an_optimal_point(penalty, c):
    """Rows are the corners of a cube, patterns its sides: the sum of two opposite sides is the same in five ways."""
    corners = np.indices((2,) * 5).reshape(5, -1).T == 1
    patterns = cr.ActivationPatterns(np.column_stack([corners, ~corners]))
    X, lam = np.ones((32, 1)), 0.1
    Y = np.ones((32, c)) / np.sqrt(c if penalty == "nuclear" else 1.0)
    problem = cr.ConvexGatedReLU(X, Y, patterns, lam, penalty=penalty)
    points = np.zeros((5, c, 10, 1))
    for i, point in enumerate(points):
        point[:, [i, 5 + i]] = (1.0 - 2.0 * lam) * Y[0, 0]  # the least of (a - 1)^2 / 2 + 2 lam a
        assert cr.certify(problem, point).rel_gap <= 1e-14
    middle = points.mean(axis=0)
    assert count(problem, middle) == 10 * c
    pruned = assert_pruned(problem, middle)
    assert count(problem, pruned) <= 6 * c  # the rank of the patterns
    assert cr.certify(problem, pruned).rel_gap <= 1e-14


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("penalty", ["group_l1", "l1"])
def test_real_data_from_a_dense_point(kind, penalty):
    X, y = load("breast_cancer", 40)
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    patterns = cr.sample_patterns(X, 300, seed=0)
    problem = cls(X, y, patterns, lam=1e-6, penalty=penalty)
    gates = patterns.G.T / np.linalg.norm(patterns.G, axis=0)[:, None]
    blocks = np.random.default_rng(0).random(problem.blocks(problem.zero_weights()).shape[:-1])[..., None] * gates
    weights = problem.weights(blocks)
    assert count(problem, weights) > 290
    pruned = assert_pruned(problem, weights)
    assert count(problem, pruned) == 40
    network = cr.to_network(problem, pruned)
    assert network.n_neurons == 40
    np.testing.assert_allclose(network.predict(X), problem.predict(weights)[:, 0], atol=1e-10)


@pytest.mark.parametrize("penalty", ["group_l1", "l1"])
def test_real_data_from_the_iterate_of_a_first_order_solver(penalty):
    X, y = load("breast_cancer", 40)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 300, seed=0), lam=1e-6, penalty=penalty)
    with pytest.warns(cr.ConvergenceWarning, match="above tol"):
        solution = cr.solve(problem, cr.RFISTA(screen=False), max_iter=200)
    assert solution.certificate.n_active > 250
    pruned = assert_pruned(problem, solution.weights)
    assert cr.to_network(problem, pruned).n_neurons <= 40
    assert cr.certify(problem, pruned, solution.dual).gap <= solution.gap + 1e-12 * solution.objective


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_real_data_from_an_optimal_point(kind):
    X, y = load("breast_cancer", 40)
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls(X, y, cr.sample_patterns(X, 60, seed=0), lam=1e-4)
    solution = cr.solve(problem, tol=1e-6)
    pruned = assert_pruned(problem, solution.weights)
    assert cr.to_network(problem, pruned).n_neurons == count(problem, pruned) <= 40
    assert cr.certify(problem, pruned, solution.dual).rel_gap <= 1e-6 * (1 + 1e-6)


def test_the_least_norm_fit_without_regularisation():
    X, y = load("breast_cancer", 40)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 300, seed=0), lam=0.0)
    solution = cr.solve(problem, "LeastSquares")
    assert solution.status == "optimal"  # with an objective of zero to rounding
    assert solution.certificate.n_active > 250
    pruned = cr.prune(problem, solution)
    assert count(problem, pruned) <= 40
    assert problem.objective(pruned) <= 1e-20
    assert problem.penalty.value(pruned) <= problem.penalty.value(solution.weights)


def test_many_blocks_and_many_rows():
    rng = np.random.default_rng(0)
    for n, n_gates in ((30, 2000), (2000, 30)):
        X = rng.standard_normal((n, 12))
        problem = cr.ConvexGatedReLU(X, X[:, 0], cr.sample_patterns(X, n_gates, seed=0))
        weights = random_weights(problem, rng)
        assert count(problem, assert_pruned(problem, weights)) == min(n, count(problem, weights))


def test_a_case_by_hand():
    """Blocks 1 and 2 predict the same direction at prices 1 and 3: the cheaper remains; the zero block is dropped."""
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    patterns = cr.ActivationPatterns(np.array([[1, 1, 0], [1, 0, 1]], dtype=bool))
    problem = cr.ConvexGatedReLU(X, np.ones(2), patterns, lam=0.1)
    U = np.array([[[2.0, 0.0, 0.0], [3.0, 0.0, np.sqrt(72.0)], [0.0, 2.0, -2.0]]])
    np.testing.assert_allclose(cr.prune(problem, U), [[[5.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], atol=1e-14)


def test_opposite_blocks_of_a_gated_network_cancel():
    X = np.array([[1.0, 2.0], [3.0, -1.0]])
    patterns = cr.ActivationPatterns(np.ones((2, 2), dtype=bool))
    problem = cr.ConvexGatedReLU(X, np.ones(2), patterns, lam=0.1)
    U = np.array([[[1.0, 1.0], [-2.0, -2.0]]])
    np.testing.assert_allclose(cr.prune(problem, U), [[[0.0, 0.0], [-1.0, -1.0]]], atol=1e-14)


@pytest.mark.parametrize(("kind", "penalty"), [("gated", "group_l1"), ("gated", "nuclear"), ("relu", "l1")])
def test_zero_one_block_and_minimal_weights_are_unchanged(kind, penalty):
    problem = make_problem(kind, penalty=penalty, c=3)
    zero = problem.zero_weights()
    np.testing.assert_array_equal(problem.blocks(cr.prune(problem, zero)), problem.blocks(zero))
    blocks = problem.blocks(random_weights(problem, np.random.default_rng(0))).copy()
    blocks[..., 1:, :] = 0.0
    blocks[..., :2, 0, :] = 0.0
    blocks[:-1] = 0.0
    weights = problem.repair(problem.weights(blocks))
    assert count(problem, weights) == 1
    np.testing.assert_array_equal(problem.blocks(cr.prune(problem, weights)), problem.blocks(weights))


def test_weights_that_predict_nothing_are_dropped():
    X = make_data("wide")
    problem = cr.ConvexGatedReLU(X, np.ones(6), cr.sample_patterns(X, 6, seed=0))
    null = np.linalg.svd(X)[2][-1]  # X null = 0 to rounding
    U = np.random.default_rng(0).standard_normal((1, len(problem.patterns), 8))
    U[0, 2] = 1e3 * null
    U[0, 4:] = 0.0
    pruned = cr.prune(problem, U)
    assert not pruned[0, 2].any()
    np.testing.assert_array_equal(pruned[0, [0, 1, 3]], U[0, [0, 1, 3]])


@pytest.mark.parametrize("size", [1e-200, 1e-8, 1e8, 1e150])
def test_pruning_does_not_depend_on_the_scale_of_the_weights(size):
    problem = make_problem("gated", n_gates=40)
    U = random_weights(problem, np.random.default_rng(0))
    np.testing.assert_allclose(cr.prune(problem, size * U) / size, cr.prune(problem, U), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_columns_of_very_different_scales(kind):
    problem = make_problem(kind, n_gates=40, columns=(1e6, 1.0, 1e-6))
    blocks = problem.blocks(random_weights(problem, np.random.default_rng(0))) / np.array([1e6, 1.0, 1e-6])
    assert_pruned(problem, problem.repair(problem.weights(blocks)))


def test_weights_outside_their_cones_are_repaired_first():
    problem = make_problem("relu", n_gates=40)
    rng = np.random.default_rng(0)
    blocks = problem.blocks(random_weights(problem, rng))
    weights = problem.weights(blocks + 1e-3 * rng.standard_normal(blocks.shape))
    assert problem.violation(weights) > 1e-4
    pruned = cr.prune(problem, weights)
    repaired = problem.repair(weights)
    assert problem.violation(pruned) <= 1e-14
    np.testing.assert_allclose(problem.predict(pruned), problem.predict(repaired), atol=1e-12)
    assert cr.certify(problem, pruned).upper <= cr.certify(problem, weights).upper * (1 + 1e-12)


def test_a_solution_is_pruned_like_its_weights_and_not_modified():
    problem = make_problem("relu", n_gates=20)
    solution = cr.solve(problem)
    before = problem.blocks(solution.weights).copy()
    pruned = cr.prune(problem, solution)
    np.testing.assert_array_equal(problem.blocks(pruned), problem.blocks(cr.prune(problem, solution.weights)))
    np.testing.assert_array_equal(problem.blocks(solution.weights), before)


def test_float32_data_are_pruned_in_float64():
    problem = make_problem("gated", n_gates=40, dtype=np.float32)
    assert_pruned(problem, random_weights(problem, np.random.default_rng(0)))


def test_the_earlier_point_is_kept_where_a_step_would_move_the_prediction(monkeypatch):
    problem = make_problem("gated", n_gates=40)
    weights = random_weights(problem, np.random.default_rng(0))
    monkeypatch.setattr(pruning, "_null_vectors", lambda units: np.eye(len(units))[:3])  # not null vectors
    np.testing.assert_array_equal(cr.prune(problem, weights), weights)


@pytest.mark.parametrize("penalty", ["feature_group_l1", "squared_l2"])
def test_other_penalties_are_rejected(penalty):
    problem = make_problem("gated", penalty=penalty)
    with pytest.raises(ValueError, match=f"'group_l1', 'l1', 'nuclear', 'none'.*got '{penalty}'"):
        cr.prune(problem, problem.zero_weights())


def test_arguments_are_checked():
    problem = make_problem("relu")
    with pytest.raises(TypeError, match="problem must be"):
        cr.prune("problem", problem.zero_weights())
    with pytest.raises(TypeError, match="pair"):
        cr.prune(problem, problem.zero_weights()[0])
    with pytest.raises(ValueError, match="shape"):
        cr.prune(make_problem("gated"), np.zeros((1, 2, 3)))


def test_as_many_neurons_as_predictions_have_entries():
    """The predictions of dense weights have rank n for rows in general position, n c under nuclear."""
    X = make_data("wide")
    patterns = cr.sample_patterns(X, 60, seed=0)
    problem = cr.ConvexGatedReLU(X, make_targets("squared", X, 3), patterns, penalty="nuclear")
    pruned = cr.prune(problem, random_weights(problem, np.random.default_rng(0)))
    assert cr.to_network(problem, pruned).n_neurons == 18
