"""Weights as repetition: a weighted loss equals the unweighted loss on rows repeated w_j times."""

import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.losses.base import dual_term
from cvxrelu.losses.weighted import unweighted
from tests.helpers.cases import assert_agrees, make_targets
from tests.helpers.dual_terms import difference, interior, tangent

COUNTS = np.array([3, 1, 2, 5, 1, 1, 4, 2, 3])
LOSSES = {"logistic": cr.Logistic(), "softmax": cr.SoftmaxCrossEntropy(), "huber": cr.Huber(0.4)}

each_loss = pytest.mark.parametrize("name", LOSSES)


def draw(name, c=3, seed=0):
    """Return the weighted loss, the unweighted loss, targets and predictions of distinct rows."""
    Y = make_targets(name, np.zeros((len(COUNTS), 2)), c, seed)
    rng = np.random.default_rng(seed)
    return cr.Weighted(LOSSES[name], COUNTS), LOSSES[name], Y, rng.standard_normal(Y.shape), rng


def repeated(rows):
    return np.repeat(rows, COUNTS, axis=0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0])
@each_loss
def test_values_and_bregman_distances_match_repeated_rows(name, size):
    weighted, loss, Y, f, rng = draw(name)
    f, step = size * f, 0.1 * size * rng.standard_normal(f.shape)
    assert weighted.value(f, Y) == pytest.approx(loss.value(repeated(f), repeated(Y)), rel=1e-13)
    expected = loss.bregman(repeated(step), repeated(f), repeated(Y))
    assert weighted.bregman(step, f, Y) == pytest.approx(expected, rel=1e-12)


@each_loss
def test_gradients_sum_over_repeated_rows(name):
    weighted, loss, Y, f, _ = draw(name)
    each = loss.gradient(repeated(f), repeated(Y))
    sums = np.add.reduceat(each, np.concatenate([[0], np.cumsum(COUNTS)[:-1]]), axis=0)
    np.testing.assert_allclose(weighted.gradient(f, Y), sums, rtol=1e-13)


@each_loss
def test_conjugates_match_dual_points_spread_over_repeated_rows(name):
    weighted, loss, Y, f, rng = draw(name)
    t = weighted.gradient(f, Y)
    spread = repeated(t / COUNTS[:, None])
    assert weighted.conjugate(t, Y) == pytest.approx(loss.conjugate(spread, repeated(Y)), rel=1e-12)
    assert weighted.value(f, Y) + weighted.conjugate(t, Y) == pytest.approx(np.sum(t * f), rel=1e-12)  # Fenchel-Young
    for row in range(len(Y)):
        outside = t.copy()
        outside[row, 0] += 2 * COUNTS[row]
        assert weighted.conjugate(outside, Y) == np.inf
    far = 10.0 * rng.standard_normal(Y.shape)
    nearest = weighted.project_domain(far, Y)
    assert weighted.conjugate(nearest, Y) < np.inf
    np.testing.assert_allclose(weighted.project_domain(nearest, Y), nearest, atol=1e-15)
    for _ in range(20):  # variational inequality of the projection
        other = weighted.gradient(5 * rng.standard_normal(Y.shape), Y)
        assert np.sum((far - nearest) * (other - nearest)) <= 1e-13
    assert weighted.best_scale(t, Y, 0.3) == 0.3
    assert weighted.best_scale(t, Y, 3.0) == 1.0


@pytest.mark.parametrize("n", [3, 21, 999])
@each_loss
def test_conjugates_are_finite_at_gradients_and_scaled_projections(name, n):
    rng = np.random.default_rng(n)
    Y = make_targets(name, np.zeros((n, 2)), 4)
    weighted = cr.Weighted(LOSSES[name], 10.0 ** rng.uniform(-8, 8, len(Y)))
    for scale in (1e-8, 1.0, 1e3, 1e8):
        t = weighted.gradient(scale * rng.standard_normal(Y.shape), Y)
        for point in (t, weighted.project_domain(scale * rng.standard_normal(Y.shape), Y)):
            for shrunk in (1.0, 1 / 3, 1e-9, 0.0):
                assert weighted.conjugate(shrunk * point, Y) < np.inf


@each_loss
def test_gradient_is_lipschitz_with_the_largest_weight(name):
    weighted, loss, Y, f, rng = draw(name)
    assert weighted.smoothness(9) == pytest.approx(loss.smoothness(9) * 5 / COUNTS.mean(), rel=1e-15)
    for _ in range(20):
        step = rng.standard_normal(f.shape)
        change = weighted.gradient(f + step, Y) - weighted.gradient(f, Y)
        assert np.linalg.norm(change) <= weighted.smoothness(9) * np.linalg.norm(step) * (1 + 1e-12)


@each_loss
def test_expressions_have_the_values(name):
    weighted, _, Y, f, _ = draw(name)
    variable = cp.Variable(f.shape, value=f)
    parameter = cp.Parameter(Y.shape, value=Y)
    expression = weighted.expression(variable, parameter)
    assert expression.value == pytest.approx(weighted.value(f, Y), rel=1e-12)
    assert cp.Problem(cp.Minimize(expression)).is_dcp(dpp=True)
    conjugate, domain = weighted.conjugate_expression(variable, parameter)
    assert cp.Problem(cp.Maximize(-conjugate), domain).is_dcp(dpp=True)
    assert all(part.label.startswith("domain") for part in domain)
    variable.value = t = weighted.gradient(f, Y)
    assert conjugate.value == pytest.approx(weighted.conjugate(t, Y), rel=1e-12)
    assert max(np.max(part.violation()) for part in domain) <= 1e-14
    variable.value = t + 3.0 * COUNTS.max()
    assert max(np.max(part.violation()) for part in domain) > 1e-3


@each_loss
def test_float32_is_kept(name):
    weighted, _, Y, f, _ = draw(name)
    single = weighted.gradient(f.astype(np.float32), Y.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, weighted.gradient(f, Y), atol=1e-6)


# The dual term of the Newton solvers


@pytest.mark.parametrize("sigma", [0.3, 40.0])
@each_loss
def test_dual_term_matches_the_conjugate(name, sigma):
    weighted, _, Y, f, rng = draw(name)
    w = weighted.weights[:, None]
    term = dual_term(weighted, Y)
    start = term.start(f)
    np.testing.assert_allclose(tangent(name, term.gradient(start, sigma)), tangent(name, f), atol=1e-12)
    t = w * interior(name, Y, rng) * (0.4 if name == "huber" else 1.0)
    for _ in range(5):
        direction = tangent(name, rng.standard_normal(Y.shape)) / len(Y)
        slope = difference(lambda point: term.value(point, sigma), t, direction)
        assert np.vdot(term.gradient(t, sigma), direction) == pytest.approx(slope, rel=1e-6, abs=1e-8)
        change = difference(lambda point: term.gradient(point, sigma), t, direction)
        np.testing.assert_allclose(term.rows(t, sigma).respond(change), direction, atol=1e-7)
        step = term.longest_step(t, 1e3 * direction)
        if name != "huber":
            inside = term.moved(t, step * 1e3 * direction)
            np.testing.assert_allclose(inside, t + step * 1e3 * direction, atol=1e-14)
            assert weighted.conjugate(inside, Y) < np.inf
            assert weighted.conjugate(t + 2.0 * step * 1e3 * direction, Y) == np.inf
    multiple = term.largest_multiple(t)
    if name == "huber":
        assert weighted.conjugate(multiple * t, Y) < weighted.conjugate(1.0001 * multiple * t, Y) == np.inf


# Solutions


def repeated_problem(kind, name, c):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((len(COUNTS), 3))
    Y = make_targets(name, X, c)
    D = cr.sample_patterns(X, 6)
    lam = 0.02
    one = kind(X, Y, D, lam, cr.Weighted(LOSSES[name], COUNTS))
    many = kind(repeated(X), repeated(Y), cr.ActivationPatterns(repeated(D.D), D.G), lam, LOSSES[name])
    return one, many


@pytest.mark.parametrize(
    ("kind", "solver", "c"),
    [
        (cr.ConvexGatedReLU, "auto", 3),
        (cr.ConvexGatedReLU, "RFISTA", 2),
        (cr.ConvexReLU, "auto", 2),
        (cr.ConvexReLU, "AugmentedLagrangian", 2),
    ],
)
@each_loss
def test_solvers_certify_the_optimum_of_the_repeated_rows(kind, solver, c, name):
    one, many = repeated_problem(kind, name, c)
    tol = 1e-3 if solver == "AugmentedLagrangian" else 1e-6
    solution = cr.solve(one, solver, tol=tol)
    assert_agrees(one, solution, tol)
    if solver == "auto" and (name != "softmax" or kind is cr.ConvexGatedReLU):
        assert solution.attempts[0].solver == "WorkingSet"
    assert one.lam_max() == pytest.approx(many.lam_max(), rel=1e-12)
    other = cr.certify(many, solution.weights, repeated(solution.dual.t / COUNTS[:, None]))
    assert other.upper == pytest.approx(solution.objective, rel=1e-12)
    assert other.lower >= solution.lower - 1e-12
    assert other.rel_gap <= tol * 1.001


@pytest.mark.parametrize("name", ["logistic", "huber"])
def test_global_optimum_of_weighted_rows_matches_repeated_rows(name):
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.standard_normal(len(COUNTS)), np.ones(len(COUNTS))])
    y = make_targets(name, X, 1)[:, 0]
    one = cr.solve_global(X, y, 0.02, cr.Weighted(LOSSES[name], COUNTS), tol=1e-8)
    many = cr.solve_global(repeated(X), repeated(y), 0.02, LOSSES[name], tol=1e-8)
    assert one.status == many.status == "optimal"
    assert one.objective == pytest.approx(many.objective, rel=2e-8)


# Construction


def test_weights_are_stored_with_mean_one():
    weighted = cr.Weighted("logistic", [2, 1, 3])
    np.testing.assert_allclose(weighted.weights, [1.0, 0.5, 1.5])
    assert weighted == cr.Weighted(cr.Logistic(), [4.0, 2.0, 6.0])
    assert hash(weighted) == hash(cr.Weighted(cr.Logistic(), [4.0, 2.0, 6.0]))
    assert weighted != cr.Weighted("logistic", [2, 1, 4])
    assert weighted != cr.Weighted("huber", [2, 1, 3])
    assert repr(weighted) != repr(cr.Weighted("logistic", [2, 1, 4]))
    assert "Logistic()" in repr(weighted)
    assert np.isfinite(cr.Weighted("huber", [1e308, 1e308, 1e300]).weights).all()
    assert unweighted(weighted) == cr.Logistic()
    assert unweighted(cr.Squared()) == cr.Squared()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("squared", [1.0]), r"loss must be logistic, softmax or huber; got Squared\(\).*square roots"),
        (("logistic", [1.0, 0.0]), r"weights must be .* positive numbers; got .* minimum 0 \(omit rows"),
        (("logistic", [[1.0]]), r"weights must be a 1-D array of positive numbers; got shape \(1, 1\)"),
        (("logistic", [1.0, np.nan]), "weights must be finite"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        cr.Weighted(*arguments)


def test_weights_must_fit_the_rows():
    X = np.ones((3, 1))
    with pytest.raises(ValueError, match="weights must have one entry for each row of y; got 2 for 3 rows"):
        cr.ConvexReLU(X, [1, -1, 1], cr.ActivationPatterns(X > 0), 0.1, cr.Weighted("logistic", [1, 2]))


def test_rounded_certificates_and_files_refuse_weighted_losses(tmp_path):
    one, _ = repeated_problem(cr.ConvexReLU, "logistic", 1)
    solution = cr.solve(one)
    with pytest.raises(ValueError, match="Weighted"):
        cr.certify(one, solution, rigor="rounded")
    with pytest.raises(ValueError, match="Weighted"):
        solution.certificate.save(tmp_path / "file.cert")
