from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import cvxrelu as cr
from cvxrelu.pricing import relaxation
from cvxrelu.pricing.bounds import feasible_multiple
from cvxrelu.pricing.exact import exact_maximum
from cvxrelu.pricing.neuron_problem import Multipliers, NeuronObjective, RowLines
from cvxrelu.pricing.relaxation import ascended_bound, relaxed_maximum, relaxed_point, within_reach
from tests.helpers.neurons import KINDS, SEEDS, largest_by_enumeration, make_rows


@settings(max_examples=150)
@given(SEEDS, st.sampled_from(KINDS), st.integers(2, 9), st.integers(2, 4), st.floats(-3.0, 3.0))
def test_any_multipliers_prove_a_bound(seed, kind, n, d, exponent):
    rng = np.random.default_rng(seed)
    X, t = make_rows(kind, n, d, rng), rng.standard_normal(n)
    if not X.any():
        return
    lines = RowLines(X)
    K = len(lines.E)
    size = 10.0**exponent * np.linalg.norm(X, axis=1).max()
    bounds = []
    for sign in (1.0, -1.0):
        rho, delta = size * rng.exponential(size=(2, K))
        multipliers = Multipliers(rho, size * rng.standard_normal(K), delta * rng.integers(0, 2, size=K))
        bounds.append(relaxed_maximum(lines.objective(sign * t), multipliers))
    assert max(bounds) >= largest_by_enumeration(X, t)


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(["generic", "constant", "integers", "opposite", "scaled"]), st.integers(1, 40))
def test_any_multipliers_prove_a_bound_of_the_exact_maximum_of_rank_two(seed, kind, n):
    rng = np.random.default_rng(seed)
    X, t = make_rows(kind, n, 2, rng), rng.standard_normal(n)
    if not X.any():
        return
    lines = RowLines(X)
    size = np.abs(t).max() * np.linalg.norm(X, axis=1).max()
    rho, delta = size * rng.exponential(size=(2, len(lines.E)))
    multipliers = Multipliers(rho, np.zeros(len(lines.E)), delta * rng.integers(0, 2, size=len(lines.E)))
    bound = max(relaxed_maximum(lines.objective(sign * t), multipliers) for sign in (1.0, -1.0))
    assert bound >= exact_maximum(X, t)[0] * (1 - 1e-12)


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(KINDS), st.integers(2, 9), st.integers(2, 4))
def test_ascent_of_the_relaxation_stays_above_and_near(seed, kind, n, d):
    rng = np.random.default_rng(seed)
    X, t = make_rows(kind, n, d, rng), rng.standard_normal(n)
    if not X.any():
        return
    lines = RowLines(X)
    largest = largest_by_enumeration(X, t)
    bounds = [ascended_bound(lines, t, steps=steps).upper for steps in (1, 20, 100)]
    assert bounds == sorted(bounds, reverse=True)
    assert largest <= bounds[-1] <= 8.0 * largest + 1e-9 * np.abs(t) @ np.linalg.norm(X, axis=1)


@settings(max_examples=25)
@given(
    SEEDS,
    st.sampled_from(KINDS),
    st.integers(3, 8),
    st.integers(3, 4),
    st.sampled_from(["squared", "logistic", "huber"]),
    st.sampled_from([1e-2, 0.3]),
)
def test_bound_is_proven_and_below_the_optimum(seed, kind, n, d, loss, ratio):
    rng = np.random.default_rng(seed)
    X, y = make_rows(kind, n, d, rng), rng.choice([-1.0, 1.0], size=n)
    if not X.any():
        return
    loss = {"squared": cr.Squared(), "logistic": cr.Logistic(), "huber": cr.Huber(0.5)}[loss]
    gradient = loss.gradient(np.zeros((n, 1)), y[:, None])
    lam = ratio * largest_by_enumeration(X, gradient[:, 0])
    if lam <= 1e-9 * np.abs(X).max():
        return
    t, bound = relaxed_point(RowLines(X), y[:, None], lam, loss)
    upper = bound.upper
    assert upper >= largest_by_enumeration(X, t) * (1 - 1e-9)
    scale = loss.best_scale(t[:, None], y[:, None], lam / upper)
    lower = -loss.conjugate(scale * t[:, None], y[:, None])
    optimum = cr.solve(cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam, loss), tol=1e-7)
    assert lower <= optimum.objective * (1 + 1e-9)


def lower_bound(X, y, lam, loss):
    t, bound = relaxed_point(RowLines(X), y[:, None], lam, loss)
    return feasible_multiple(loss, y[:, None], lam, t, bound.upper).value


@pytest.fixture(scope="module")
def small():
    """Return data with zero rows, and labels."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.choice([-1.0, 1.0], size=12)
    X[::4] = 0.0
    return X, y


LOSSES = [cr.Squared(), cr.Logistic(), cr.Huber(0.5)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize(("ratio", "fraction"), [(1.0 - 1e-7, 0.98), (1.5, 1.0 - 1e-6)])
def test_lam_near_and_above_its_largest(small, loss, ratio, fraction):
    # At lam_max the zero network is optimal; the relaxation proves it if lam is above its own, larger maximum.
    X, y = small
    gradient = loss.gradient(np.zeros((12, 1)), y[:, None])[:, 0]
    lam = ratio * largest_by_enumeration(X, gradient)
    assert (ratio > 1.0) == (lam > ascended_bound(RowLines(X), gradient).upper)
    at_zero = loss.value(np.zeros((12, 1)), y[:, None])
    assert fraction * at_zero <= lower_bound(X, y, lam, loss) <= at_zero * (1 + 1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_tiny_lam(small, loss):
    X, y = small
    gradient = loss.gradient(np.zeros((12, 1)), y[:, None])[:, 0]
    lam = 1e-6 * largest_by_enumeration(X, gradient)
    solution = cr.solve(cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam, loss), tol=1e-4)
    assert 0.5 * solution.objective < lower_bound(X, y, lam, loss) <= solution.objective


@pytest.mark.parametrize(("rows", "targets"), [(1e-8, 1.0), (1e8, 1.0), (1.0, 1e-6), (1.0, 1e6), (1e-4, 1e4)])
def test_bound_does_not_depend_on_the_scale(small, rows, targets):
    X, y = small
    plain = lower_bound(X, y, 0.02, cr.Squared())
    scaled = lower_bound(rows * X, targets * y, rows * targets * 0.02, cr.Squared())
    assert scaled / targets**2 == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize("loss", [cr.Squared(), cr.Huber(0.5)], ids=lambda loss: loss.name)
def test_bound_of_zero_targets_is_zero(small, loss):
    assert lower_bound(small[0], np.zeros(12), 0.1, loss) == pytest.approx(0.0, abs=1e-12)


def test_a_solver_ended_by_its_time_limit_gives_a_bound():
    X = np.random.default_rng(0).standard_normal((300, 20))
    t, bound = relaxed_point(RowLines(X), np.ones((300, 1)), 1e-3, cr.Squared(), time_limit=1e-6)
    largest = cr.find_neuron(X, t).value
    assert largest <= bound.upper <= 10.0 * largest


def test_reach():
    rng = np.random.default_rng(0)
    assert within_reach(RowLines(rng.standard_normal((569, 31))))
    assert not within_reach(RowLines(rng.standard_normal((400, 400))))


def standardised(n_features):
    X, classes = load_breast_cancer(return_X_y=True)
    X = X[:, :n_features] - X[:, :n_features].mean(axis=0)
    X /= np.linalg.norm(X, axis=0)
    return np.column_stack([X, np.full(len(X), len(X) ** -0.5)]), 2.0 * classes - 1.0


# Optima by `solve_global`, proven to a relative gap of 1e-6, and the measured fractions of them.
@pytest.mark.parametrize(("n_features", "optimum", "fraction"), [(3, 0.1915161, 0.761), (4, 0.1898511, 0.754)])
def test_proven_fraction_of_the_optimum_on_real_data(n_features, optimum, fraction):
    X, y = standardised(n_features)
    assert lower_bound(X, y, 1e-3, cr.Squared()) / optimum == pytest.approx(fraction, abs=0.01)


@pytest.mark.slow
def test_full_breast_cancer():
    X, y = standardised(30)
    with pytest.warns(
        cr.ConvergenceWarning, match=r"unproven.*The search found no better neuron, but that is no proof"
    ):
        solution = cr.solve_global(X, y, 1e-3)
    assert solution.status == "unproven"
    assert solution.certificate.proof.method == "relaxation"
    assert solution.objective <= 0.08438
    assert solution.lower >= 0.0547
    assert max(record.n_patterns for record in solution.history) < 300


@pytest.mark.parametrize("linear", [0.0, 1.0])
def test_the_point_of_a_relaxation_attains_its_quadratic_maximum(linear):
    """The maximiser is on the sphere if the quadratic form is indefinite, even without a linear part."""
    rng = np.random.default_rng(0)
    E = rng.standard_normal((6, 4))
    E /= np.linalg.norm(E, axis=1, keepdims=True)
    tau, rho, gamma, delta = rng.standard_normal(6), 2.0 + rng.random(6), 0.1 * rng.standard_normal(6), np.zeros(6)
    b = linear * rng.standard_normal(4)
    w0 = b - 0.5 * (tau + gamma) @ E
    objective = NeuronObjective(E=E, tau=tau, w0=w0, slack=0.0, sizes=np.abs(tau), n_terms=1, stretch=1.0)
    proven = relaxation.quadratic_bound(objective, Multipliers(rho, gamma, delta))
    bound, u = proven.upper, proven.u
    p = tau + np.maximum(np.abs(gamma), np.maximum(-tau, 0.0))
    rho = np.maximum(rho, p / 2.0)
    value = b @ u + u @ (0.5 * (E.T * rho) @ E) @ u + np.sum(p**2 / (8.0 * rho))
    assert np.linalg.norm(u) == pytest.approx(1.0, abs=1e-9)
    assert value == pytest.approx(bound, rel=1e-9)
    off = replace(objective, slack=0.25)  # the slack is added in full
    assert relaxed_maximum(off, Multipliers(rho, gamma, delta)) == pytest.approx(bound + 0.25, rel=1e-9)
