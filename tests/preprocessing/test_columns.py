from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from tests.helpers.cases import random_weights

CLASSES = {"gated": cr.ConvexGatedReLU, "relu": cr.ConvexReLU}
KINDS = st.sampled_from(["gated", "relu"])
SEEDS = st.integers(0, 2**32 - 1)


def badly_scaled(rng, n=15, d=4):
    """Return data with a zero row and columns of sizes from 1e-4 to 1e4, both included, and new data of this kind."""
    sizes = 10.0 ** np.concatenate([[-4.0, 4.0], rng.uniform(-4.0, 4.0, d - 2)])
    X = rng.standard_normal((n, d)) * rng.permutation(sizes)
    new = rng.standard_normal((50, d)) * np.abs(X).max(axis=0)
    X[1] = 0.0
    return X, new


def scaled_problem(kind, c, rng, **options):
    """Return a badly scaled problem whose gates depend on every column, its scaling, and new data."""
    X, new = badly_scaled(rng)
    scaling = cr.ColumnScaling.fit(X)
    gates = rng.standard_normal((X.shape[1], 6)) / scaling.scale[:, None]
    Y = rng.standard_normal((len(X), c))
    problem = CLASSES[kind](X, Y[:, 0] if c == 1 else Y, cr.ActivationPatterns.from_gates(X, gates), **options)
    return problem, scaling, new


def assert_same(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11 * max(1.0, np.abs(expected).max()))


@settings(max_examples=60)
@given(SEEDS, KINDS, st.sampled_from([1, 3]))
def test_weights_map_back_to_the_same_predictions_in_the_same_cones(seed, kind, c):
    rng = np.random.default_rng(seed)
    problem, scaling, _ = scaled_problem(kind, c, rng)
    scaled = scaling.problem(problem)
    w = random_weights(scaled, rng)
    mapped = scaling.weights(w)
    assert scaled.violation(w) == 0.0
    assert_same(problem.predict(mapped), scaled.predict(w))
    assert problem.violation(mapped) <= 1e-12 * np.abs(scaled.blocks(w)).max()
    np.testing.assert_array_equal(problem.blocks(mapped), scaled.blocks(w) / scaling.scale)


@settings(max_examples=60)
@given(SEEDS, KINDS, st.sampled_from([1, 3]))
def test_network_maps_back_to_the_same_predictions_on_raw_data(seed, kind, c):
    rng = np.random.default_rng(seed)
    problem, scaling, new = scaled_problem(kind, c, rng)
    scaled = scaling.problem(problem)
    w = random_weights(scaled, rng)
    network = cr.to_network(scaled, w)
    mapped = scaling.network(network)
    assert type(mapped) is type(network)
    assert mapped.predict(problem.X).shape == problem.y.shape
    assert_same(mapped.predict(new), network.predict(scaling.transform(new)))
    assert_same(mapped.predict(problem.X).reshape(scaled.Y.shape), scaled.predict(w))


def test_unmapped_gates_change_predictions():
    """Without the mapping of the gates, predictions would differ."""
    problem, scaling, new = scaled_problem("gated", 1, np.random.default_rng(0))
    network = cr.to_network(scaling.problem(problem), np.ones((1, len(problem.patterns), 4)))
    expected = network.predict(scaling.transform(new))
    forgetful = cr.GatedReLUNetwork(network.G, network.W1 / scaling.scale, network.w2)
    assert np.abs(forgetful.predict(new) - expected).max() > 0.1 * np.abs(expected).max()
    assert_same(scaling.network(network).predict(new), expected)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("gates", [True, False])
def test_scaled_problem_differs_in_data_and_gates_only(kind, gates):
    problem, scaling, _ = scaled_problem(kind, 3, np.random.default_rng(1), lam=0.3, loss="huber", penalty="l1")
    if not gates:
        masks = cr.ActivationPatterns(problem.patterns.D)
        problem = CLASSES[kind](problem.X, problem.y, masks, problem.lam, problem.loss, problem.penalty)
    scaled = scaling.problem(problem)
    assert type(scaled) is type(problem)
    np.testing.assert_array_equal(scaled.X, problem.X / scaling.scale)
    np.testing.assert_array_equal(scaled.y, problem.y)
    np.testing.assert_array_equal(scaled.patterns.D, problem.patterns.D)
    assert (scaled.lam, scaled.loss, scaled.penalty) == (problem.lam, problem.loss, problem.penalty)
    if gates:
        np.testing.assert_array_equal(scaled.patterns.G, problem.patterns.G * scaling.scale[:, None])
    else:
        assert scaled.patterns.G is None


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 6), st.sampled_from([np.float32, np.float64]))
def test_masks_of_ties_still_match_the_scaled_data(seed, d, dtype):
    """Rows lie on the hyperplanes of the gates, where signs are decided by rounding, which scaling changes."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-4.0, 4.0, d)
    G = rng.standard_normal((d, 20)) / sizes[:, None]
    balanced = G * sizes[:, None]
    rows = rng.standard_normal((20, d)) if d > 1 else np.zeros((20, 1))
    rows -= np.sum(rows * balanced.T, axis=1, keepdims=True) * (balanced / np.sum(balanced**2, axis=0)).T
    X = np.vstack([rows * sizes, rng.standard_normal((5, d)) * sizes]).astype(dtype)
    patterns = cr.ActivationPatterns(X @ G.astype(dtype) >= 0.0, G.astype(dtype))
    problem = cr.ConvexGatedReLU(X, rng.standard_normal(25), patterns)
    scaling = cr.ColumnScaling.fit(X)
    scaled = scaling.problem(problem)
    U = rng.standard_normal((1, 20, d))
    accuracy = 1e-12 if dtype is np.float64 else 1e-5
    expected = scaled.predict(U)
    np.testing.assert_allclose(problem.predict(scaling.weights(U)), expected, atol=accuracy * (1 + np.abs(U).sum()))


def test_powers_of_two_are_exact():
    """Integer rows have exact ties with the gates, which other scales would break."""
    X = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 1.0], [3.0, -1.0, 2.0], [-1.0, 1.0, 7.0]])
    G = np.array([[2.0, 1.0, -3.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    assert np.count_nonzero(X @ G == 0.0) >= 4
    patterns = cr.ActivationPatterns.from_gates(X, G)
    problem = cr.ConvexGatedReLU(X, np.ones(4), patterns)
    scaling = cr.ColumnScaling(2.0 ** np.round(np.log2(cr.ColumnScaling.fit(X).scale)))
    assert (scaling.scale != 1.0).all()
    scaled = scaling.problem(problem)
    network = cr.to_network(scaled, np.ones((1, len(patterns), 3)))
    mapped = scaling.network(network)
    np.testing.assert_array_equal(mapped.G, patterns.G)
    np.testing.assert_array_equal(mapped.predict(X), network.predict(scaled.X))


@pytest.mark.parametrize(
    ("kind", "solver", "tol"), [("gated", "RFISTA", 1e-5), ("gated", "CLARABEL", 1e-6), ("relu", "CLARABEL", 1e-6)]
)
def test_solved_through_the_scaling(kind, solver, tol):
    problem, scaling, new = scaled_problem(kind, 1, np.random.default_rng(3))
    scaled = scaling.problem(problem)
    scaled = scaled.with_lam(0.05 * scaled.lam_max())
    solution = cr.solve(scaled, solver, tol=tol)
    assert solution.status is cr.Status.OPTIMAL
    network = solution.network()
    mapped = scaling.network(network)
    assert mapped.n_neurons > 0
    assert_same(mapped.predict(new), network.predict(scaling.transform(new)))
    assert_same(mapped.predict(problem.X), scaled.predict(solution.weights)[:, 0])
    assert problem.violation(scaling.weights(solution.weights)) <= 1e-12
    decay = network.objective(scaled.X, scaled.y, scaled.lam)
    assert decay == pytest.approx(solution.objective, rel=1e-12)
    assert mapped.objective(problem.X, problem.y, scaled.lam) > 2.0 * decay  # the penalty is not that of raw weights


def test_empty_network_maps_to_the_empty_network():
    for kind in CLASSES:
        problem, scaling, new = scaled_problem(kind, 3, np.random.default_rng(0))
        scaled = scaling.problem(problem)
        mapped = scaling.network(cr.to_network(scaled, scaled.zero_weights()))
        assert mapped.n_neurons == 0
        np.testing.assert_array_equal(mapped.predict(new), np.zeros((50, 3)))


def test_fit_takes_norms_and_leaves_zero_columns():
    scaling = cr.ColumnScaling.fit([[3, 0, 1], [4, 0, -1]])
    np.testing.assert_allclose(scaling.scale, [5.0, 1.0, np.sqrt(2.0)], rtol=1e-15)
    X = np.random.default_rng(0).standard_normal((20, 3)) * [1e-4, 1.0, 1e4]
    np.testing.assert_allclose(cr.ColumnScaling.fit(X).scale, np.linalg.norm(X, axis=0), rtol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(cr.ColumnScaling.fit(X).transform(X), axis=0), 1.0, rtol=1e-14)


def test_fit_survives_squares_out_of_range():
    X = np.array([[3e200, 3e-200, 5e-324, 0.0], [4e200, -4e-200, 0.0, 0.0]])
    scaling = cr.ColumnScaling.fit(X)
    np.testing.assert_allclose(scaling.scale, [5e200, 5e-200, 5e-324, 1.0], rtol=1e-15)
    np.testing.assert_allclose(scaling.transform(X), [[0.6, 0.6, 1.0, 0.0], [0.8, -0.8, 0.0, 0.0]], rtol=1e-15)
    single = np.full((4, 1), 3e38, dtype=np.float32)  # a norm that float32 cannot hold
    np.testing.assert_allclose(cr.ColumnScaling.fit(single).transform(single), 0.5, rtol=1e-6)


def test_zero_columns_are_carried_through():
    rng = np.random.default_rng(0)
    X = np.column_stack([1e3 * rng.standard_normal((12, 2)), np.zeros(12)])
    scaling = cr.ColumnScaling.fit(X)
    problem = cr.ConvexGatedReLU(X, rng.standard_normal(12), cr.sample_patterns(X, 5))
    U = rng.standard_normal((1, len(problem.patterns), 3))
    network = cr.to_network(scaling.problem(problem), U)
    np.testing.assert_array_equal(scaling.network(network).W1[:, 2], network.W1[:, 2])
    new = 1e3 * rng.standard_normal((30, 3))  # the column need not be zero there
    assert_same(scaling.network(network).predict(new), network.predict(scaling.transform(new)))


def test_float32_is_kept():
    rng = np.random.default_rng(0)
    X, new = badly_scaled(rng)
    single = X.astype(np.float32)
    scaling = cr.ColumnScaling.fit(single)
    assert scaling.scale.dtype == np.float64
    np.testing.assert_allclose(scaling.scale, np.linalg.norm(single.astype(np.float64), axis=0), rtol=1e-14)
    assert scaling.transform(single).dtype == np.float32
    assert scaling.transform(new).dtype == np.float64
    assert scaling.transform(np.ones((2, 4), dtype=int)).dtype == np.float64
    problem = cr.ConvexReLU(single, rng.standard_normal(15), cr.sample_patterns(single, 5))
    assert scaling.problem(problem).X.dtype == np.float32


def test_scaling_is_immutable():
    given_scale = np.array([1.0, 2.0])
    scaling = cr.ColumnScaling(given_scale)
    given_scale[0] = 5.0
    np.testing.assert_array_equal(scaling.scale, [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        scaling.scale[0] = 3.0
    with pytest.raises(FrozenInstanceError):
        scaling.scale = given_scale


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        ([1.0, 0.0], ValueError, "scale must be > 0; got 0.0 at index 1"),
        ([1.0, 2.0, -3.0], ValueError, "scale must be > 0; got -3.0 at index 2"),
        ([1.0, np.inf], ValueError, r"scale must be finite; got inf at index \(1,\)"),
        ([np.nan], ValueError, "scale must be finite"),
        ([], ValueError, "scale must not be empty"),
        ([[1.0, 2.0]], ValueError, r"scale must have shape \(d,\).*got shape \(1, 2\)"),
        (2.0, ValueError, r"scale must have shape \(d,\).*got shape \(\)"),
        (["a"], TypeError, "scale must hold real numbers"),
    ],
)
def test_bad_scales(scale, error, message):
    with pytest.raises(error, match=message):
        cr.ColumnScaling(scale)


def test_wrong_columns_and_types():
    problem, scaling, _ = scaled_problem("relu", 1, np.random.default_rng(0))
    three = cr.ColumnScaling(np.ones(3))
    with pytest.raises(ValueError, match="X must be a 2-D array"):
        cr.ColumnScaling.fit(np.ones(4))
    with pytest.raises(ValueError, match="X must have the 3 columns of the scaling; got 4"):
        three.transform(problem.X)
    with pytest.raises(ValueError, match="X must have the 3 columns of the scaling; got 4"):
        three.problem(problem)
    with pytest.raises(TypeError, match="problem must be a ConvexGatedReLU or ConvexReLU; got ndarray"):
        scaling.problem(problem.X)
    V, W = problem.zero_weights()
    with pytest.raises(ValueError, match=r"weights must have shape \(c, P, d\) with d = 3; got \(1, \d, 4\)"):
        three.weights(V)
    with pytest.raises(ValueError, match=r"W must have shape \(c, P, d\) with d = 4; got \(\d, 4\)"):
        scaling.weights((V, W[0]))
    with pytest.raises(ValueError, match=r"pair \(V, W\); got 3 arrays"):
        scaling.weights((V, W, W))
    network = cr.to_network(problem, problem.zero_weights())
    with pytest.raises(ValueError, match="network must have the 3 inputs of the scaling; got 4"):
        three.network(network)
    with pytest.raises(TypeError, match="network must be a ReLUNetwork or GatedReLUNetwork; got ConvexReLU"):
        scaling.network(problem)


def test_wrong_masks_hidden_by_bad_scales_are_rejected():
    """X G is wrong by 1, which is negligible only relative to the first column, where the gate is zero."""
    X = np.array([[1e17, 1.0], [0.0, -1.0]])
    problem = cr.ConvexGatedReLU(X, np.ones(2), cr.ActivationPatterns([[0], [0]], [[0.0], [1.0]]))
    with pytest.raises(ValueError, match="X does not match the patterns"):
        cr.ColumnScaling.fit(X).problem(problem)
