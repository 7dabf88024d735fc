"""Solves at successive lams: extrapolated starts, what is shared, and what must not be."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.losses.base import dual_term
from cvxrelu.losses.registry import get_loss
from cvxrelu.solvers import screening
from cvxrelu.solvers.interface import Limits
from cvxrelu.solvers.working_set import entry_rounds
from cvxrelu.solvers.working_set.continuation import Continuation, Guess
from tests.helpers.cases import make_data, make_problem, make_targets

LOSSES = ("squared", "huber", "logistic", "softmax")


def limits(continuation, tol=1e-7):
    return Limits(tol=tol, max_iter=1000, continuation=continuation)


def follow(problem, ratios, continuation, tol=1e-7):
    """Solve at fractions of lam_max in turn, each from the last weights; the results."""
    results, start = [], None
    for ratio in ratios:
        results.append(
            cr.WorkingSet().run(problem.with_lam(ratio * problem.lam_max()), start, limits(continuation, tol))
        )
        start = results[-1].weights
    return results


@pytest.mark.parametrize("shape", ["tall", "wide"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("c", [1, 3])
def test_every_point_is_optimal_whatever_was_solved_before(loss, c, shape):
    """Close lams, a jump, back up to a larger one, the same again, and down to near zero."""
    if loss == "softmax" and c == 1:
        c = 2
    X = make_data(shape, 0)
    problem = cr.ConvexGatedReLU(X, make_targets(loss, X, c), cr.sample_patterns(X, 15, seed=1), loss=loss)
    ratios = (0.9, 0.8, 0.3, 0.5, 0.5, 0.05, 1e-4)
    for ratio, result in zip(ratios, follow(problem, ratios, Continuation()), strict=True):
        here = problem.with_lam(ratio * problem.lam_max())
        assert cr.certify(here, result.weights, result.t).rel_gap <= 1.1e-7
        alone = here.objective(cr.WorkingSet().run(here, None, limits(None)).weights)
        assert here.objective(result.weights) == pytest.approx(alone, rel=3e-7)


@pytest.mark.parametrize("penalty", ["l1", "nuclear", "feature_group_l1"])
def test_paths_with_other_penalties(penalty):
    problem = make_problem("gated", penalty=penalty, c=3)
    path = cr.regularization_path(problem, n_lams=10, eps=1e-2, tol=1e-6)
    assert path.gaps.max() <= 1e-6
    cold = cr.solve(problem.with_lam(path.lams[-1]), tol=1e-6)
    assert path.objectives[-1] == pytest.approx(cold.objective, rel=2e-6)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_paths_of_badly_scaled_data(scale):
    X = make_data("tall", 3) * np.geomspace(1.0, scale, make_data("tall", 3).shape[1])
    problem = cr.ConvexGatedReLU(X, make_targets("squared", X, 1)[:, 0], cr.sample_patterns(X, 20, seed=0))
    path = cr.regularization_path(problem, n_lams=12, tol=1e-5)
    assert path.gaps.max() <= 1e-5


def test_a_path_takes_fewer_steps_than_its_solves_alone():
    X = make_data("tall", 5)
    problem = cr.ConvexGatedReLU(X, make_targets("squared", X, 1)[:, 0], cr.sample_patterns(X, 40, seed=0))
    ratios = np.geomspace(0.9, 1e-2, 25)
    together = follow(problem, ratios, Continuation(), tol=1e-5)
    apart = []
    for ratio in ratios:  # started from the last weights too
        start = apart[-1].weights if apart else None
        apart.append(cr.WorkingSet().run(problem.with_lam(ratio * problem.lam_max()), start, limits(None, tol=1e-5)))
    assert sum(one.n_iter for one in together) < 0.8 * sum(one.n_iter for one in apart)


# --- what is shared -----------------------------------------------------------------------------------------


def test_a_trail_belongs_to_one_program():
    X = make_data("tall", 0)
    Y = make_targets("squared", X, 2)
    problem = cr.ConvexGatedReLU(X, Y[:, 0], cr.sample_patterns(X, 6, seed=0))
    continuation = Continuation()
    trail = continuation.trail(problem)
    assert continuation.trail(problem.with_lam(0.5)) is trail
    other = continuation.trail(problem.replace(y=Y[:, 1]))
    assert other is not trail
    assert other.products is trail.products  # of the same data
    assert continuation.trail(problem) is trail
    assert continuation.trail(problem.replace(loss=get_loss("huber"))) is not trail
    rebuilt = cr.ConvexGatedReLU(X, Y[:, 0], problem.patterns)
    fresh = continuation.trail(rebuilt)
    assert fresh is not trail
    assert fresh.products is not trail.products
    assert continuation.trail(problem) is not trail  # that data had been left


def test_products_are_computed_once_for_a_path(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "cvxrelu.solvers.working_set.continuation.pattern_norms",
        lambda problem: calls.append(problem.lam) or np.full(len(problem.patterns), np.inf),
    )
    monkeypatch.setattr(entry_rounds, "_LARGEST", 0.0)
    problem = make_problem("gated", penalty="l1")  # solved by Newton steps
    path = cr.regularization_path(problem, n_lams=6, eps=0.1, solver="WorkingSet")
    assert path.complete
    assert len(calls) == 1


def test_outputs_share_the_norms_of_their_patterns(monkeypatch):
    calls = []
    norms = "cvxrelu.solvers.working_set.continuation.pattern_norms"
    monkeypatch.setattr(norms, lambda problem: calls.append(problem) or screening.pattern_norms(problem))
    monkeypatch.setattr(entry_rounds, "_LARGEST", 0.0)
    problem = make_problem("gated", penalty="l1", c=3)
    assert cr.solve(problem, "WorkingSet").status == "optimal"
    assert len(calls) == 1


def test_paths_leave_problems_as_they_are():
    """A path does not depend on others of the same problem."""
    problem = make_problem("gated")
    first = cr.regularization_path(problem, n_lams=8, eps=0.05, solver="WorkingSet")
    second = cr.regularization_path(problem, n_lams=8, eps=0.05, solver="WorkingSet")
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)


# --- extrapolation ------------------------------------------------------------------------------------------


def trail_with(*lams, shift=0.0):
    """Return a trail with points linear in lam: weights of patterns 0 and 1, t; 2 enters at the last, 3 leaves."""
    problem = make_problem("gated")
    trail = Continuation().trail(problem)
    for lam in lams:
        blocks = np.zeros((1, 4, 2))
        blocks[0, 0], blocks[0, 1] = [1.0 - lam, 2.0], [lam, 0.0]
        blocks[0, 2 if lam == lams[-1] else 3] = 5.0
        trail.note(lam, blocks, np.full((3, 1), -lam), 7.0)
    return trail


def test_points_are_extrapolated():
    trail = trail_with(0.9, 0.5, 0.4)
    guess = trail.guess(0.35)
    np.testing.assert_allclose(guess.blocks[0], [[0.65, 2.0], [0.35, 0.0], [7.5, 7.5], [0.0, 0.0]])
    np.testing.assert_allclose(guess.t + guess.change, -0.35)
    assert trail.sigma == 7.0
    far = trail.guess(0.1)  # at most as far as the last two are apart
    np.testing.assert_allclose(far.t + far.change, -0.3)
    assert trail.guess(0.4) is None
    assert trail.guess(0.45) is None
    trail.note(0.4, guess.blocks, guess.t, 8.0)  # replaces the last point
    np.testing.assert_allclose(trail.guess(0.35).blocks[0, 2], 11.25)


def test_blocks_do_not_change_their_sense():
    problem = make_problem("gated")
    trail = Continuation().trail(problem)
    for lam, size in ((0.5, 3.0), (0.4, 1.0)):
        blocks = np.zeros((1, 4, 2))
        blocks[0, 0], blocks[0, 1] = [size, 0.0], [size, 2.0]
        trail.note(lam, blocks, np.zeros((3, 1)), 1.0)
    np.testing.assert_allclose(trail.guess(0.3).blocks[0], [[0.0, 0.0], [-1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])


def test_one_point_is_not_extrapolated():
    assert trail_with().guess(0.1) is None
    assert trail_with(0.5).guess(0.1) is None


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_dual_variables_stay_in_the_domain(loss):
    X = make_data("tall", 0)
    Y = make_targets(loss, X, 2)
    term = dual_term(get_loss(loss), Y)
    t = term.start(np.zeros_like(Y))
    change = term.start(np.full_like(Y, 3.0) * np.arange(Y.shape[1])) - t
    inside = Guess(np.zeros(0), t, 1e-3 * change).dual(term)
    np.testing.assert_allclose(inside, t + 1e-3 * change, rtol=1e-12)
    for factor in (-1e3, 1e3):
        moved = Guess(np.zeros(0), t, factor * change).dual(term)
        assert np.isfinite(get_loss(loss).conjugate(moved, Y))
        assert not np.array_equal(moved, t)
