"""Dual terms against finite differences of the losses and their conjugates."""

import numpy as np
import pytest

from cvxrelu.losses import registry
from cvxrelu.losses.base import ConjugateDerivatives, dual_term
from cvxrelu.losses.registry import get_loss
from cvxrelu.losses.weighted import Weighted
from tests.helpers.cases import LOSSES
from tests.helpers.dual_terms import difference, draw, each_sigma, interior, tangent

each_loss = pytest.mark.parametrize("name", LOSSES)


@each_sigma
@pytest.mark.parametrize("seed", range(3))
@each_loss
def test_gradient_matches_the_conjugate(name, seed, sigma):
    """For Huber, |n t| < delta and the block s is zero, so that the term is F* itself."""
    term, Y, rng, _ = draw(name, seed)
    t = interior(name, Y, rng)
    for _ in range(5):
        direction = tangent(name, rng.standard_normal(Y.shape)) / len(Y)
        expected = difference(lambda point: get_loss(name).conjugate(point, Y), t, direction)
        assert np.vdot(term.gradient(t, sigma), direction) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    np.testing.assert_array_equal(term.gradient(t, sigma), term.rows(t, sigma).gradient)


@each_sigma
@each_loss
def test_gradient_matches_the_value(name, sigma):
    term, Y, rng, f = draw(name)
    term.start(f)
    t = interior(name, Y, rng)
    for _ in range(5):
        direction = tangent(name, rng.standard_normal(Y.shape)) / len(Y)
        expected = difference(lambda point: term.value(point, sigma), t, direction)
        assert np.vdot(term.gradient(t, sigma), direction) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("largest", [0.0, 1e-3, 0.5, 30.0])
@pytest.mark.parametrize("seed", range(3))
@each_loss
def test_bound_is_the_value_of_a_feasible_multiple(name, seed, largest):
    """The bound is -F* at a multiple m of t with m * largest <= lam, and at least that of the largest such m."""
    term, Y, rng, _ = draw(name, seed)
    t, lam = interior(name, Y, rng), 0.1
    limit = lam / largest if largest else 1e3
    vertex = -np.vdot(t, Y) / (len(Y) * np.vdot(t, t))  # optimal for the squared loss without a box
    multiples = np.append(np.linspace(0.0, limit, 2001), [np.clip(vertex, 0.0, limit), min(1.0, limit)])
    values = np.array([-get_loss(name).conjugate(m * t, Y) for m in multiples])
    bound = term.bound(t, lam, largest)
    assert np.isfinite(bound)
    assert values[-1] - 1e-13 <= bound
    if largest:
        assert bound <= values.max() + 1e-13 * (1 + abs(values.max()))


@each_sigma
@each_loss
def test_gradient_at_the_start_is_the_prediction(name, sigma):
    term, _, _, f = draw(name)
    np.testing.assert_allclose(tangent(name, term.gradient(term.start(f), sigma)), tangent(name, f), atol=1e-12)


@each_sigma
@pytest.mark.parametrize("seed", range(3))
@each_loss
def test_respond_inverts_differences_of_the_gradient(name, seed, sigma):
    term, Y, rng, f = draw(name, seed)
    term.start(f)  # with a non-zero block s for Huber
    t = interior(name, Y, rng)
    if name == "huber":
        assert 0 < np.count_nonzero(term.rows(t, sigma).diagonal < 0.999 / len(Y)) < Y.size
    for _ in range(5):
        direction = tangent(name, rng.standard_normal(Y.shape)) / len(Y)
        change = difference(lambda point: term.gradient(point, sigma), t, direction)
        np.testing.assert_allclose(term.rows(t, sigma).respond(change), direction, atol=1e-7)


@pytest.mark.parametrize("name", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("seed", range(3))
def test_respond_is_the_hessian_of_the_loss(name, seed):
    term, Y, rng, f = draw(name, seed)
    rows = term.rows(term.start(f), 1.0)
    for _ in range(5):
        v = rng.standard_normal(Y.shape)
        expected = difference(lambda point: get_loss(name).gradient(point, Y), f, v)
        np.testing.assert_allclose(rows.respond(v), expected, atol=1e-9)


@each_loss
def test_respond_is_symmetric_and_positive_within_rows(name):
    term, Y, _, f = draw(name)
    rows = term.rows(term.start(f), 5.0)
    Q = np.array([rows.respond(e.reshape(Y.shape)).ravel() for e in np.eye(Y.size)])
    np.testing.assert_allclose(Q, Q.T, atol=1e-16)
    np.testing.assert_allclose(rows.own.ravel(), np.diag(Q), atol=1e-16)
    other_rows = ~np.kron(np.eye(len(Y), dtype=bool), np.ones((Y.shape[1],) * 2, dtype=bool))
    assert not Q[other_rows].any()
    eigenvalues = np.linalg.eigvalsh(Q)
    assert eigenvalues[-1] <= get_loss(name).smoothness(len(Y)) * (1 + 1e-12)
    nulls = len(Y) if name == "softmax" else 0  # constants in each row
    assert np.count_nonzero(eigenvalues < 1e-12) == nulls
    assert term.constant_curvature == (name == "squared")


def test_the_diagonal_is_not_negative_in_spite_of_rounding():
    p = np.nextafter(np.ones((1, 3)), 0.0, dtype=np.float32)
    rows = ConjugateDerivatives(p, p, np.nextafter(np.sqrt(p), np.float32(2.0)))
    assert (rows.diagonal < rows.coupling**2).any()
    assert (rows.own >= 0.0).all()


@pytest.mark.parametrize("name", ["squared", "logistic", "softmax"])
def test_recentre_changes_no_other_term(name):
    term, Y, rng, _ = draw(name)
    t = interior(name, Y, rng)
    before = term.gradient(t, 2.0)
    term.recentre(3.0 * t, 2.0)
    np.testing.assert_array_equal(term.gradient(t, 2.0), before)


@pytest.mark.parametrize("name", ["squared", "logistic", "softmax"])
def test_other_terms_need_no_multiple(name):
    """Steps stay inside the domain, so points need no scaling."""
    term, Y, rng, _ = draw(name)
    assert term.largest_multiple(interior(name, Y, rng)) >= 1.0


# Steps inside the domain


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_longest_step_stays_strictly_inside(name, seed, size):
    term, Y, rng, _ = draw(name, seed)
    t = interior(name, Y, rng)
    step = size * tangent(name, rng.standard_normal(Y.shape))
    for _ in range(30):  # repeatedly towards the boundary
        longest = term.longest_step(t, step)
        assert 0.0 < longest < np.inf
        assert get_loss(name).conjugate(t + 2.0 * longest * step, Y) == np.inf  # not needlessly short
        t = term.moved(t, longest * step)
        assert np.isfinite(get_loss(name).conjugate(t, Y))
        rows = term.rows(t, 1.0)
        assert np.isfinite(rows.gradient).all()
        assert (rows.diagonal > 0.0).all()
        if name == "logistic" and np.min(np.abs(t)) * len(Y) < 1e-9:
            break
        step = size * tangent(name, rng.standard_normal(Y.shape))


@pytest.mark.parametrize("name", ["squared", "huber"])
def test_steps_have_no_limit_without_a_boundary(name):
    term, Y, rng, _ = draw(name)
    assert term.longest_step(interior(name, Y, rng), 1e6 * rng.standard_normal(Y.shape)) == np.inf


@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_zero_step_has_no_limit(name):
    term, Y, rng, _ = draw(name)
    assert term.longest_step(interior(name, Y, rng), np.zeros_like(Y)) == np.inf


@each_loss
def test_moved_is_the_sum(name):
    term, Y, rng, _ = draw(name)
    t = interior(name, Y, rng)
    step = tangent(name, rng.standard_normal(Y.shape)) / (100 * len(Y))
    np.testing.assert_allclose(term.moved(t, step), t + step, atol=1e-16)


# Starts


@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4])
@each_loss
def test_starts_are_inside_also_for_extreme_predictions(name, size):
    term, Y, rng, _ = draw(name)
    for f in (size * rng.choice([-1.0, 1.0], Y.shape), size * Y, -size * Y):
        t = term.start(f)
        rows = term.rows(t, 1.0)
        assert np.isfinite(get_loss(name).conjugate(t, Y))
        assert np.isfinite(rows.gradient).all()
        assert (rows.diagonal > 0.0).all()
        for _ in range(5):
            step = tangent(name, rng.standard_normal(Y.shape))
            assert term.longest_step(t, step) > 0.0
            moved = term.moved(t, min(1.0, term.longest_step(t, step)) * step)
            assert np.isfinite(term.gradient(moved, 1.0)).all()


@each_loss
def test_starts_are_gradients_of_the_loss(name):
    term, Y, _, f = draw(name)
    np.testing.assert_allclose(term.start(f), get_loss(name).gradient(f, Y), rtol=1e-9)


def test_all_losses_are_tested_here():
    assert set(registry.LOSSES) == set(LOSSES)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
@each_loss
def test_damped_steps_stay_inside_and_short_ones_are_unchanged(name, seed, weighted):
    """Derivatives are finite after steps of any size, also from points rounded to the boundary."""
    _, Y, rng, _ = draw(name, seed)
    n = len(Y)
    weights = 10.0 ** rng.uniform(-4.0, 0.0, n)
    w = weights[:, None] / weights.mean() if weighted and name != "squared" else 1.0
    loss = get_loss(name) if np.ndim(w) == 0 else Weighted(name, weights)
    term, t = dual_term(loss, Y), w * interior(name, Y, rng)
    step = w * tangent(name, rng.standard_normal(Y.shape)) / n
    np.testing.assert_allclose(term.damped(t, 1e-3 * step), 1e-3 * step, rtol=1e-9, atol=1e-18)
    for size in (1.0, 1e3, 1e9):
        damped_step = term.damped(t, size * step)
        if name != "huber":  # no box constraint
            assert loss.conjugate(t + damped_step, Y) < np.inf
        assert (damped_step * step >= 0.0).all() or name == "softmax"  # row sums are corrected to zero
        moved = term.moved(t, damped_step)
        for _ in range(40):
            moved = term.moved(moved, term.damped(moved, size * step))
            rows = term.rows(moved, 1.0)
            assert np.isfinite(rows.gradient).all()
            assert (rows.diagonal > 0.0).all()


@each_loss
def test_one_row_at_the_boundary_does_not_stop_the_others(name):
    _, Y, _, f = draw(name)
    term = dual_term(get_loss(name), Y)
    f[0] = -40.0 * Y[0] if name == "logistic" else 40.0 * (1.0 - Y[0])
    t = term.start(f)
    step = term.start(0.9 * f) - t
    step[0] *= -1e12
    damped_step = term.damped(t, step)
    np.testing.assert_allclose(damped_step[1:], step[1:], rtol=1e-6)
