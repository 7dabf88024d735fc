"""Steps of C-ReLU in one kernel: they are those of NumPy, and keep the limits."""

import itertools

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.losses.base import dual_term
from cvxrelu.numerics.cone_newton import cone_step
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.solvers.interface import Budget, Limits
from cvxrelu.solvers.working_set import compiled_steps, relu_newton, relu_rounds
from cvxrelu.solvers.working_set.compiled_steps import SAVINGS, CompiledSteps
from cvxrelu.solvers.working_set.relu_newton import ConeNewton
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks
from tests.helpers.cases import assert_agrees, make_problem

KINDS = [("squared", 1), ("squared", 3), ("huber", 1), ("huber", 3), ("logistic", 1), ("logistic", 3)]
SHAPES = ["tall", "wide", "collinear", "doubled"]


@pytest.fixture(autouse=True)
def _compiled():
    cone_step.compile()


def steps(problem, tol, compiled, max_iter=1000):
    """Return the solver after one working set of all blocks, with its blocks and dual variable."""
    projector = problem.cones.projector(2 * problem.n_outputs * len(problem.patterns))
    term = dual_term(problem.loss, problem.Y)
    t = term.start(np.zeros_like(problem.Y))
    newton = ConeNewton(problem, term, projector)
    blocks = CompiledSteps(problem, problem.X, projector)
    gap_tol = tol
    if not compiled:
        blocks = WorkingBlocks(problem.X, problem.cones.D, problem.n_outputs, np.arange(projector.n_blocks))
        gap_tol = tol * problem.value_at_zero
    start = np.zeros((projector.n_blocks, problem.d))
    budget = Budget.of(Limits(tol=tol, max_iter=max_iter))
    u, t = newton.minimise(blocks, start, t, problem.value_at_zero, gap_tol, budget)
    return newton, u, t


@pytest.mark.parametrize("ratio", [0.9, 0.1, 1e-3])
@pytest.mark.parametrize("shape", ["tall", "collinear", "doubled"])
@pytest.mark.parametrize(("loss", "c"), KINDS)
def test_steps_are_those_of_numpy(loss, c, shape, ratio):
    """Four Newton steps, before rounding errors grow, from the same start."""
    problem = make_problem("relu", loss, shape=shape, c=c, ratio=ratio)
    (one, u, t), (other, v, s) = (steps(problem, 1e-12, compiled, max_iter=4) for compiled in (True, False))
    assert one.n_steps == other.n_steps
    assert one.sigma == other.sigma
    np.testing.assert_allclose(u, v, rtol=1e-7, atol=1e-7 * np.abs(v).max(initial=1e-300))
    np.testing.assert_allclose(t, s, rtol=1e-7, atol=1e-7 * np.abs(s).max())


@pytest.mark.parametrize("shape", ["tall", "collinear", "doubled"])
@pytest.mark.parametrize(("loss", "c"), KINDS)
def test_the_gap_is_reached_on_feasible_blocks(loss, c, shape):
    """The blocks are in their cones to rounding, and the gap is that of a dual point computed by NumPy."""
    problem = make_problem("relu", loss, shape=shape, c=c, ratio=0.03)
    _, u, t = steps(problem, 1e-7, compiled=True)
    weights = problem.weights(u.reshape(2, c, -1, problem.d))
    assert problem.violation(weights) <= 1e-9 * np.abs(u).max()
    upper, lower = problem.objective(problem.repair(weights)), problem.dual_point(t).value
    assert -1e-12 * upper <= upper - lower <= 1e-6 * upper


@pytest.mark.parametrize("columns", [(1e-8, 1.0), (1e8, 1.0, 1e-3)])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_badly_scaled_data(loss, columns):
    problem = make_problem("relu", loss, ratio=0.1, columns=columns)
    assert_agrees(problem, cr.solve(problem, tol=1e-6), 1e-6)


@pytest.mark.parametrize("ratio", [0.5, 1e-3])
@pytest.mark.parametrize("shape", SHAPES)
def test_zero_and_opposite_rows(shape, ratio):
    problem = make_problem("relu", "squared", shape=shape)
    X, y = np.concatenate([problem.X, -problem.X[:3], np.zeros((2, problem.d))]), np.append(problem.y, np.arange(5.0))
    problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, 8, seed=0), lam=1.0)
    problem = problem.with_lam(ratio * problem.lam_max())
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=1e-7), 1e-7)


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
def test_an_optimal_start_is_kept(loss):
    problem = make_problem("relu", loss, ratio=0.1)
    first = cr.solve(problem, "WorkingSet", tol=1e-7)
    again = cr.solve(problem, "WorkingSet", tol=1e-6, start=first.weights)
    assert again.status == "optimal"
    assert again.objective <= first.objective * (1.0 + 1e-12)


@pytest.mark.filterwarnings("ignore::cvxrelu.ConvergenceWarning")
def test_limits_are_kept():
    problem = make_problem("relu", "logistic", ratio=1e-3)
    solution = cr.solve(problem, cr.WorkingSet(max_iter=3), tol=1e-9)
    assert (solution.status, solution.n_iter) == ("max_iter", 3)
    expired = cr.WorkingSet().run(problem, None, Limits(tol=1e-9, max_iter=1000, time_limit=0.0))
    assert (expired.status, expired.n_iter) == ("time_limit", 0)
    stopped = cr.solve(problem, "WorkingSet", tol=1e-9, callback=lambda record: True)
    assert len(stopped.history) == 1


def test_parts_of_a_step_continue(monkeypatch):
    """Calls of one Newton step take the same steps as longer ones."""
    problem = make_problem("relu", "logistic", ratio=1e-3)
    whole = steps(problem, 1e-6, compiled=True)
    monkeypatch.setattr(compiled_steps, "_CALL", 1.0)
    parts = steps(problem, 1e-6, compiled=True)
    assert whole[0].n_steps == parts[0].n_steps > 5
    np.testing.assert_allclose(whole[1], parts[1], rtol=1e-6, atol=1e-9)


def test_steps_without_the_kernel_count_their_time(monkeypatch):
    problem, compiled = make_problem("relu", "squared", ratio=0.01), []
    monkeypatch.setattr(cone_step, "_compiled", None)
    monkeypatch.setattr(cone_step, "_looked_up", True)
    monkeypatch.setattr(cone_step, "compile", lambda: compiled.append(True))
    monkeypatch.setattr(SAVINGS, "_seconds", 0.0)
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=1e-6), 1e-6)
    assert SAVINGS._seconds > 0.0
    assert not compiled
    monkeypatch.setattr(SAVINGS, "_seconds", 1e3)
    cr.solve(problem, "WorkingSet", tol=1e-6)
    assert compiled


@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_multipliers_are_kept_for_certificates_that_have_no_time(shape):
    """With time left the certificate computes its own."""
    problem = make_problem("relu", "squared", shape=shape, ratio=0.05)
    blocks = problem.blocks(problem.zero_weights())
    for time_limit, kept in ((0.9 * relu_rounds._CERTIFYING, True), (1e3, False), (None, False)):
        limits = Limits(tol=1e-7, max_iter=1000, time_limit=time_limit)
        *_, last = itertools.islice(relu_rounds.relu_candidates(problem, blocks, limits, DualWorkspace()), 3)
        assert (last.dual.multipliers is not None) == kept


def test_rounds_that_miss_their_gap_do_not_ask_for_more(monkeypatch):
    fractions, advance = [], relu_rounds._Search.advance
    monkeypatch.setattr(relu_newton, "_MAX_STEPS", 1)
    monkeypatch.setattr(
        relu_rounds._Search, "advance", lambda self, budget: fractions.append(self.fraction) or advance(self, budget)
    )
    problem = make_problem("relu", "squared", shape="tall", ratio=0.01)
    assert_agrees(problem, cr.solve(problem, cr.WorkingSet(), tol=1e-7), 1e-7)
    assert len(fractions) > 2
    assert fractions[-2] == relu_rounds._FINAL_FRACTION


def test_blocks_are_limited(monkeypatch):
    problem = make_problem("relu", "squared", shape="tall")
    assert CompiledSteps.supports(problem)
    monkeypatch.setattr(compiled_steps, "_MOST_BLOCKS", 2 * len(problem.patterns) - 1)
    assert not CompiledSteps.supports(problem)
