"""Limits, callbacks, Ctrl-C, warm starts and invalid arguments of WorkingSet: the best point is kept."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.group_lasso import descend
from cvxrelu.solvers.interface import Limits
from cvxrelu.solvers.working_set.block_descent import BlockDescent
from cvxrelu.solvers.working_set.compiled_rounds import CompiledRounds
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems
from tests.helpers.cases import LOSSES, assert_agrees, assert_honest, make_problem
from tests.helpers.clock import Clock
from tests.helpers.working_sets import SEPARABLE, TOL, many_patterns, outputs, solve


def hard_problem():
    return make_problem("gated", shape="collinear", ratio=0.01)


# Control


def test_history_is_monotone():
    seen = []
    solution = solve(many_patterns(), tol=1e-9, callback=seen.append)
    objectives, lowers, steps = zip(*((r.objective, r.lower, r.n_iter) for r in solution.history), strict=True)
    assert len(objectives) > 2
    assert list(objectives) == sorted(objectives, reverse=True)
    assert list(lowers) == sorted(lowers)
    assert list(steps) == sorted(steps)
    assert steps[-1] == solution.n_iter
    assert all(record.time > 0.0 and (record.step is None or record.step > 0.0) for record in solution.history)
    assert tuple(seen) == solution.history


@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_max_iter_keeps_the_best_point(max_iter):
    problem = hard_problem()
    with pytest.warns(cr.ConvergenceWarning, match="raise max_iter"):
        solution = cr.solve(problem, "WorkingSet", max_iter=max_iter, tol=1e-9)
    assert solution.status == "max_iter"
    assert solution.n_iter == max_iter
    assert_honest(problem, solution, 1e-9)
    assert solution.objective <= problem.objective(problem.zero_weights())
    assert solution.objective == pytest.approx(min(record.objective for record in solution.history), rel=1e-14)


def test_max_iter_defaults_to_that_of_the_solver():
    assert solve(hard_problem(), solver=cr.WorkingSet(max_iter=3), tol=1e-9).n_iter == 3


def test_time_limit_keeps_the_best_point():
    """The clock stands still until the first check; a limit that has expired at the start is tested separately."""
    problem, clock, seen = hard_problem(), Clock(), []

    def expire(record):
        clock.now += 2.0
        seen.append(record)

    limits = Limits(tol=1e-12, max_iter=10_000, time_limit=1.0, callback=expire, now=clock)
    result = cr.WorkingSet().run(problem, None, limits)
    assert (result.status, len(seen)) == ("time_limit", 1)
    assert problem.objective(result.weights) == pytest.approx(seen[0].objective, rel=1e-14)
    assert seen[0].objective < problem.objective(problem.zero_weights())


def test_time_limit_expired_at_the_start():
    solution = solve(hard_problem(), time_limit=1e-9)
    assert solution.status == "time_limit"


def test_callback_may_stop_the_solve():
    seen = []
    with pytest.warns(cr.ConvergenceWarning, match="callback stopped the solve"):
        solution = cr.solve(
            hard_problem(), "WorkingSet", tol=1e-12, callback=lambda record: seen.append(record) or len(seen) == 2
        )
    assert solution.status == "stopped"
    assert tuple(seen) == solution.history
    assert len(seen) == 2


def test_ctrl_c_keeps_the_best_point():
    problem = hard_problem()
    calls = []

    def interrupt(record):
        calls.append(record)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.warns(cr.ConvergenceWarning, match="Ctrl-C"):
        solution = cr.solve(problem, "WorkingSet", tol=1e-12, callback=interrupt)
    assert solution.status == "interrupted"
    assert_honest(problem, solution, 1e-12)
    assert solution.objective == pytest.approx(solution.history[-1].objective, rel=1e-14)
    assert solution.objective < problem.objective(problem.zero_weights())


def test_ctrl_c_during_a_newton_step(monkeypatch):
    direction, calls = NewtonSystems.direction, []

    def interrupted(self, step):
        calls.append(step)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return direction(self, step)

    monkeypatch.setattr(NewtonSystems, "direction", interrupted)
    monkeypatch.setattr(BlockDescent, "supports", lambda problem: False)
    problem = hard_problem()
    with pytest.warns(cr.ConvergenceWarning, match="Ctrl-C"):
        solution = cr.solve(problem, "WorkingSet", tol=1e-12)
    assert solution.status == "interrupted"
    assert_honest(problem, solution, 1e-12)


def test_ctrl_c_during_block_descent(monkeypatch):
    descend.compile()
    minimise, calls = BlockDescent.minimise, []

    def interrupted(self, gap_tol, *rest):
        calls.append(gap_tol)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return minimise(self, gap_tol, *rest)

    monkeypatch.setattr(BlockDescent, "minimise", interrupted)
    monkeypatch.setattr(CompiledRounds, "supports", lambda problem: False)
    problem = many_patterns(ratio=0.1)
    with pytest.warns(cr.ConvergenceWarning, match="Ctrl-C"):
        solution = cr.solve(problem, "WorkingSet", tol=1e-12)
    assert solution.status == "interrupted"
    assert solution.certificate.rel_gap < 0.5
    assert_honest(problem, solution, 1e-12)


def test_verbose_prints_each_check(capsys):
    solution = solve(hard_problem(), verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(solution.history)
    assert "relative gap" in lines[0]


@pytest.mark.parametrize("penalty", SEPARABLE)
@pytest.mark.parametrize("loss", LOSSES)
def test_warm_start_at_the_solution_takes_few_steps(loss, penalty):
    problem = many_patterns(loss, penalty, c=3, n_gates=25)
    cold = solve(problem, tol=1e-6)
    warm = solve(problem, tol=1e-6, start=cold.weights)
    assert_agrees(problem, warm, 1e-6)
    assert warm.n_iter <= max(2, 0.5 * cold.n_iter)
    assert warm.objective <= cold.objective * (1 + 1e-6)


def test_warm_start_from_bad_weights_reaches_the_optimum():
    problem = many_patterns()
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e3):
        start = size * rng.standard_normal((1, len(problem.patterns), problem.d))
        assert_agrees(problem, solve(problem, tol=TOL, start=start), TOL)


@pytest.mark.parametrize("penalty", SEPARABLE)
@pytest.mark.parametrize("loss", LOSSES)
def test_unattainable_accuracy_ends_with_an_honest_status(loss, penalty):
    problem = make_problem("gated", loss, penalty, c=3)
    solution = solve(problem, tol=1e-14, max_iter=150)
    # The certificate is computed anew from the weights: it may miss by a rounding, and is then "inaccurate".
    assert solution.status in ("optimal", "inaccurate", "stalled", "max_iter")
    assert_honest(problem, solution, 1e-14)
    assert solution.certificate.rel_gap <= 1e-9


def test_a_path():
    problem = many_patterns("logistic")
    path = cr.regularization_path(problem, n_lams=8, eps=0.01, tol=TOL, solver="WorkingSet")
    assert path.complete
    assert path.status == ("optimal",) * 8
    assert path.gaps.max() <= TOL
    assert {solution.solver for solution in path.solutions[1:]} == {"WorkingSet"}
    for solution in path.solutions[::3]:
        assert_agrees(solution.problem, solution, TOL)


# Refused problems


@pytest.mark.parametrize("penalty", ["feature_group_l1", "squared_l2", "none"])
def test_refuses_penalties_that_do_not_set_patterns_to_zero(penalty):
    problem = make_problem("gated", penalty=penalty, shape="tripled" if penalty == "none" else "tall")
    with pytest.raises(cr.SolverError, match=r"WorkingSet .*penalty .*group_l1.*use RFISTA"):
        cr.solve(problem, "WorkingSet")


def test_refuses_lam_zero():
    with pytest.raises(cr.SolverError, match=r"WorkingSet .*lam > 0"):
        cr.solve(make_problem("gated", shape="tripled").with_lam(0.0), "WorkingSet")


def test_refuses_unknown_losses():
    class Mine(type(make_problem("gated").loss)):
        name = "mine"

        def value(self, f, Y):
            return 2.0 * super().value(f, Y)

    problem = make_problem("gated")
    mine = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam, loss=Mine())
    with pytest.raises(cr.SolverError, match="WorkingSet"):
        cr.solve(mine, "WorkingSet")


@pytest.mark.parametrize(("loss", "penalty"), [("softmax", "group_l1"), ("squared", "feature_group_l1")])
def test_refuses_unsupported_problems_with_cones(loss, penalty):
    problem = make_problem("relu", loss, penalty, c=outputs(loss))
    with pytest.raises(cr.SolverError, match=r"WorkingSet .*CLARABEL or AugmentedLagrangian"):
        cr.solve(problem, "WorkingSet")


def test_bad_options():
    with pytest.raises(ValueError, match="max_iter"):
        cr.WorkingSet(max_iter=0)
    with pytest.raises(TypeError):
        cr.WorkingSet(magic=1)
    with pytest.raises(ValueError, match="U must have shape"):
        cr.solve(make_problem("gated"), "WorkingSet", start=np.zeros((2, 2)))
