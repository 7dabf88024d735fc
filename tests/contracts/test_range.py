"""Data at the ends of float64: solved as ordinary data are, or refused by name; never a wrong zero or NaN."""

import itertools

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.losses.base import require_range
from tests.helpers.cones import multipliers
from tests.helpers.sizes import SIZES

PENALTIES = {
    "gated": ["group_l1", "feature_group_l1", "l1", "squared_l2", "nuclear", "none"],
    "relu": ["group_l1", "feature_group_l1", "l1", "squared_l2", "none"],
}


def make_problem(kind, loss="squared", penalty="group_l1", x=1.0, y=1.0, lam=None):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((20, 2)), np.ones(20)])
    target = np.abs(X[:, 0]) + 0.3 * rng.standard_normal(20)
    if loss in ("logistic", "weighted"):
        target = np.sign(target - 0.5)
    elif loss == "softmax":
        target = np.eye(3)[np.arange(20) % 3]
    loss = {
        "huber": cr.Huber(0.5 * y),
        "weighted": cr.Weighted("logistic", np.logspace(-3, 3, 20)),
        "weighted huber": cr.Weighted(cr.Huber(0.5 * y), np.linspace(1.0, 3.0, 20)),
    }.get(loss, loss)
    patterns = cr.ActivationPatterns(cr.sample_patterns(X, n_gates=5, seed=0).D)
    cls = {"gated": cr.ConvexGatedReLU, "relu": cr.ConvexReLU}[kind]
    problem = cls(x * X, y * target, patterns, 0.0, loss, penalty)
    if lam is None:
        largest = problem.lam_max()
        lam = 0.3 * largest if np.isfinite(largest) else 0.0
    return problem.with_lam(lam)


CASES = [
    (kind, loss, penalty)
    for kind, penalties in PENALTIES.items()
    for loss, penalty in itertools.product(["squared", "huber", "weighted huber"], penalties)
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "loss", "penalty"), CASES)
def test_targets_whose_loss_is_beyond_the_range_are_refused(kind, loss, penalty, size):
    problem = make_problem(kind, loss, penalty, y=size)
    for refused in (
        lambda: cr.solve(problem),
        lambda: cr.solve(problem, "CLARABEL"),
        lambda: cr.certify(problem, problem.zero_weights()),
    ):
        with pytest.raises(ValueError, match="y has entries up to .* leaves the range of float64; multiply y"):
            refused()
    plain = make_problem(kind, loss, penalty)
    if penalty in ("squared_l2", "none"):
        assert problem.lam_max() == np.inf
    else:
        np.testing.assert_allclose(problem.lam_max() / size, plain.lam_max(), rtol=1e-9)


@pytest.mark.parametrize("size", [1e-130, 1e140])
@pytest.mark.parametrize(("kind", "loss"), [("gated", "squared"), ("relu", "huber")])
def test_targets_whose_loss_is_within_the_range_are_solved(kind, loss, size):
    problem, plain = make_problem(kind, loss, y=size), make_problem(kind, loss)
    solution, expected = cr.solve(problem), cr.solve(plain)
    assert solution.status == "optimal"
    assert solution.objective / size / size == pytest.approx(expected.objective, rel=1e-6)


def test_one_ordinary_target_beside_tiny_ones_is_enough():
    require_range(cr.Squared(), np.array([[1e-200], [1.0]]))
    require_range(cr.Squared(), np.zeros((3, 1)))
    require_range(cr.Huber(1e-3), np.full((3, 1), 1e200))
    for delta in (1e-300, 1e300):  # where delta over the size of y leaves the range too
        with pytest.raises(ValueError, match="leaves the range"):
            require_range(cr.Huber(delta), np.full((3, 1), 1e-200 if delta < 1 else 1e-100 / 1e100))


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_global_search_networks_and_paths_refuse_them_too(size):
    problem = make_problem("gated", y=size)
    X, y, lam = problem.X, problem.y, problem.lam
    network = cr.ReLUNetwork(np.ones((1, 3)), np.ones(1))
    for refused in (
        lambda: cr.solve_global(X, y, lam=lam),
        lambda: cr.certify_network(network, X, y, lam),
        lambda: cr.regularization_path(problem),
    ):
        with pytest.raises(ValueError, match="leaves the range|finite objective|too far from 1"):
            refused()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", ["X", "y", "sample_weight"])
def test_estimators_standardise_data_of_any_size(part, size):
    problem = make_problem("gated")
    X, y, weights = problem.X[:, :2], problem.y, np.linspace(1.0, 2.0, 20)

    def predictions(x, y_size, w):
        estimator = cr.GatedReLURegressor(n_gates=5, random_state=0, tol=1e-9)
        estimator.fit(x * X, y_size * y, sample_weight=w * weights)
        assert estimator.certificate_.rel_gap <= 1e-8
        return estimator.predict(x * X) / y_size

    scaled = {"X": (size, 1.0, 1.0), "y": (1.0, size, 1.0), "sample_weight": (1.0, 1.0, size)}[part]
    np.testing.assert_allclose(predictions(*scaled), predictions(1.0, 1.0, 1.0), atol=1e-4)


def test_estimators_refuse_columns_at_the_end_of_the_range():
    X = np.random.default_rng(0).standard_normal((20, 2)) * [1.0, 1e-320]
    with pytest.raises(ValueError, match="X cannot be standardised: its column 1 has values up to .*e-320"):
        cr.GatedReLURegressor(n_gates=5, random_state=0).fit(X, X[:, 0])


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_train_network_refuses_them(size):
    pytest.importorskip("torch")
    problem = make_problem("gated", y=size)
    with pytest.raises(ValueError, match="leaves the range"):
        cr.train_network(problem.X, problem.y, 3, problem.lam)


@pytest.mark.parametrize("size", [1e-200, 1e200])
@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax", "weighted"])
def test_columns_of_any_size_are_solved(kind, loss, size):
    problem, plain = make_problem(kind, loss, x=size), make_problem(kind, loss)
    solution, expected = cr.solve(problem), cr.solve(plain)
    assert solution.status == expected.status == "optimal"
    assert solution.objective == pytest.approx(expected.objective, rel=1e-6)
    assert cr.certify(problem, solution).rel_gap <= 1e-6


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_lam_that_vanishes_beside_the_data_is_refused(kind, loss):
    problem = make_problem(kind, loss, "squared_l2", x=1e200, lam=0.1)
    with pytest.raises(ValueError, match="lam = 0.1 is 0 for normalized X and y"):
        cr.solve(problem)
    with pytest.raises(ValueError, match="lam = 0.1 is 0 for normalized X and y"):
        cr.certify(problem, problem.zero_weights())


def test_multipliers_without_rows_are_zero():
    plain = make_problem("relu")
    cones = PatternCones(0.0 * plain.X, plain.patterns)
    assert not multipliers(cones, np.ones(3), 0).any()


@pytest.mark.parametrize("size", SIZES)
def test_searches_over_all_neurons_refuse_data_beyond_the_range(size):
    """Their squares vanish or overflow: rows that counted as zero gave false bounds."""
    problem = make_problem("relu")
    network = cr.ReLUNetwork(np.eye(3) / size, np.ones(3))
    for refused in (
        lambda: cr.solve_global(size * problem.X, problem.y, 0.05 * size),
        lambda: cr.certify_network(network, size * problem.X, problem.y, 0.05 * size, scope="global"),
    ):
        with pytest.raises(ValueError, match=r"too far from 1|finite objective"):
            refused()
