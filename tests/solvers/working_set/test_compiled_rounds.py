"""Rounds of block descent in one kernel: bounds, agreement with Newton steps, the change to them, and compilation."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics import gated_rounds as kernels
from cvxrelu.numerics.gated_rounds import GAP, OBJECTIVE, OUTCOME, REACHED, WORK, gated_rounds
from cvxrelu.solvers.interface import Limits
from cvxrelu.solvers.working_set import compiled_rounds
from cvxrelu.solvers.working_set.block_descent import BlockDescent
from cvxrelu.solvers.working_set.compiled_rounds import SAVINGS, CompiledRounds
from tests.helpers.cases import assert_agrees, make_problem
from tests.helpers.working_sets import TOL, assert_compiled_once_it_pays, many_patterns, solve

LOSSES = ["squared", "logistic", "huber", "weighted logistic", "weighted huber"]
SHAPES = ["tall", "wide", "collinear", "doubled", "long"]


def case(loss, shape, ratio):
    """Return a problem with its patterns, at a fraction of lam_max."""
    name = loss.rpartition(" ")[2]
    problem = many_patterns(name) if shape == "long" else make_problem("gated", name, shape=shape, n_gates=12)
    if loss.startswith("weighted"):
        problem = problem.replace(loss=cr.Weighted(problem.loss, np.random.default_rng(0).uniform(0.1, 3.0, problem.n)))
    return problem.with_lam(ratio * problem.lam_max())


def limits(tol=TOL, max_iter=10_000):
    return Limits(tol=tol, max_iter=max_iter)


def start(problem):
    return CompiledRounds(problem, np.zeros((len(problem.patterns), problem.d)), np.zeros((problem.n, 1)))


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.03, 1e-3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_its_bounds_are_those_of_the_weights(loss, shape, ratio):
    """Objective and gap are those computed from the weights by NumPy, whether or not the target is reached."""
    problem = case(loss, shape, ratio)
    rounds = start(problem)
    while rounds.run(limits()):
        pass
    weights, state = rounds.u[None], rounds._state
    upper = problem.objective(weights)
    bound = problem.dual_point(problem.gradient_point(weights)).value
    assert state[OBJECTIVE] == pytest.approx(upper, rel=1e-10)
    assert state[GAP] == pytest.approx(upper - bound, rel=1e-4, abs=1e-10 * upper)
    assert upper <= problem.value_at_zero
    if state[OUTCOME] == REACHED:
        assert 0.0 <= upper - bound <= TOL * upper
    if ratio >= 0.3 and "huber" not in loss:  # whose models hold only near their point
        assert state[OUTCOME] == REACHED
    assert_agrees(problem, solve(problem, tol=TOL, start=weights), TOL)


@pytest.mark.parametrize("ratio", [0.5, 0.1, 1e-3])
@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
def test_solutions_agree_with_newton_steps(loss, ratio, monkeypatch):
    problem = many_patterns(loss, ratio=ratio)
    solution = solve(problem, tol=TOL)
    monkeypatch.setattr(BlockDescent, "supports", lambda problem: False)
    other = solve(problem, tol=TOL)
    assert_agrees(problem, solution, TOL)
    assert solution.objective == pytest.approx(other.objective, rel=2 * TOL)


@pytest.mark.parametrize("columns", [(1e-8, 1.0), (1e8, 1.0, 1e-3)])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_badly_scaled_data(loss, columns):
    problem = make_problem("gated", loss, ratio=0.1, columns=columns)
    assert_agrees(problem, solve(problem, tol=TOL), TOL)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_an_optimal_start_is_kept(loss):
    problem = many_patterns(loss, ratio=0.3)
    first = solve(problem, tol=TOL)
    again = solve(problem, tol=TOL, start=first.weights)
    assert again.n_iter == 0
    np.testing.assert_array_equal(again.weights, first.weights)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_parts_of_a_solve_continue(loss, monkeypatch):
    """Calls that stop after each round take the same rounds as one."""
    problem = many_patterns(loss, ratio=0.3)
    whole, parts = start(problem), start(problem)
    while whole.run(limits()):
        pass
    assert whole._state[OUTCOME] == REACHED
    monkeypatch.setattr(compiled_rounds, "_CALL", 1.0)
    n_calls = 0
    while parts._state[OUTCOME] != REACHED and n_calls < 100:
        parts.run(limits())
        n_calls += 1
    assert parts._state[OUTCOME] == REACHED
    assert n_calls > 3
    assert parts._state[WORK] > 0.0
    assert problem.objective(parts.u[None]) == pytest.approx(problem.objective(whole.u[None]), rel=TOL)


def test_limits_are_kept(monkeypatch):
    problem = many_patterns(ratio=0.1)
    solution = solve(problem, solver=cr.WorkingSet(max_iter=3), tol=1e-12)
    assert solution.status == "max_iter"
    assert solution.n_iter == 3
    assert solve(problem, tol=1e-12, time_limit=1e-9).status == "time_limit"
    seen = []
    monkeypatch.setattr(compiled_rounds, "_CALL", 1.0)
    stopped = solve(problem, tol=1e-12, callback=lambda record: seen.append(record.n_iter) or len(seen) == 2)
    assert stopped.status == "stopped"
    assert stopped.n_iter == seen[-1]


def test_slow_rounds_are_left_to_newton_steps():
    """Rounds end where the gap decreases too slowly, long before the limit of iterations."""
    problem = make_problem("gated", shape="wide", ratio=1e-5, n_gates=12)
    rounds = start(problem)
    while rounds.run(limits(1e-12)):
        pass
    assert rounds.n_cycles <= 400
    assert_agrees(problem, solve(problem, tol=1e-9), 1e-9)


def test_starts_with_more_active_patterns_than_rounds_hold_are_left_to_newton_steps():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 20))
    problem = cr.ConvexGatedReLU(X, np.abs(X[:, 0]), cr.sample_patterns(X, 300, seed=0), lam=1.0)
    problem = problem.with_lam(0.3 * problem.lam_max())
    assert CompiledRounds.supports(problem)
    assert CompiledRounds.pays(problem, 0)
    assert not CompiledRounds.pays(problem, 201)
    solution = solve(problem, tol=TOL)
    dense = solution.weights + 1e-6 * rng.standard_normal(solution.weights.shape)
    again = solve(problem, tol=TOL, start=dense)
    assert_agrees(problem, again, TOL)
    assert again.n_iter <= 20


@pytest.mark.parametrize("loss", ["logistic", "huber"])
def test_the_gap_is_at_most_the_objective(loss):
    """The bound of zero holds wherever the dual point of the gradient is worse."""
    problem = case(loss, "wide", 1e-3)
    weights = 10.0 * np.ones((1, len(problem.patterns), problem.d))
    rounds = CompiledRounds(problem, weights[0], problem.predict(weights).reshape(-1, 1))
    rounds.run(Limits(tol=TOL, max_iter=1))
    assert rounds._state[GAP] <= rounds._state[OBJECTIVE]


def test_large_data_others_and_float32_take_other_methods():
    assert CompiledRounds.supports(many_patterns())
    assert not CompiledRounds.supports(many_patterns(penalty="l1"))
    assert not CompiledRounds.supports(many_patterns(c=2))
    assert not CompiledRounds.supports(many_patterns(dtype=np.float32))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4_000, 6))
    assert not CompiledRounds.supports(cr.ConvexGatedReLU(X, X[:, 0], cr.sample_patterns(X, 100), lam=0.1))


def test_other_rounds_stand_in_for_an_uncompiled_kernel(monkeypatch):
    """Their time is counted, and the kernel is compiled once they have taken as long as that takes."""
    assert_compiled_once_it_pays(monkeypatch, gated_rounds, SAVINGS, 5.0)


def test_products_take_one_thread_or_are_large():
    """A product of n rows of d columns has at most 250,000 multiplications, unless eight patterns take more."""
    size = kernels._product_size.function
    assert size(7_000, 50) == 35
    assert size(7_000, 30) == 30
    assert size(46_000, 200) == 200


@pytest.mark.parametrize(
    ("loss", "shape", "ratio", "share"),
    [
        ("squared", (200, 4, 30), 1e-5, 1e-4),
        ("huber", (200, 4, 30), 1e-4, 1e-3),
        ("squared", (60, 20, 8), 1e-2, 0.1),  # more columns than rows
        ("huber", (60, 20, 8), 1e-2, 0.1),
    ],
)
def test_rounding_of_the_float32_gram_matrix_does_not_limit_the_gap(loss, shape, ratio, share):
    """The gap is relative to an objective far below that of zero weights, and to 1e-10."""
    n, d, P = shape
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    patterns = cr.sample_patterns(X, P, seed=0)
    weights = np.zeros((1, P, d))
    weights[0, :2] = rng.standard_normal((2, d))
    y = cr.ConvexGatedReLU(X, np.zeros(n), patterns, lam=1.0).predict(weights).ravel()
    problem = cr.ConvexGatedReLU(X, y + 1e-3 * y.std() * rng.standard_normal(n), patterns, lam=1.0, loss=loss)
    problem = problem.with_lam(ratio * problem.lam_max())
    rounds = start(problem)
    for _ in range(30):
        rounds.run(limits(1e-10))
    assert rounds._state[OUTCOME] == REACHED
    weights = rounds.u[None]
    upper = problem.objective(weights)
    assert upper <= share * problem.value_at_zero
    assert upper - problem.dual_point(problem.gradient_point(weights)).value <= 1e-10 * upper


@pytest.mark.parametrize("case", [(1, 2, 1, 1e-5, 0.03), (1, 3, 5, 1e-4, 1e-3), (30, 3, 5, 1e-6, 0.01)])
@pytest.mark.parametrize("c", [1, 3])
def test_rounds_without_a_step_end(case, c):
    """With a small delta the model's objective is a small part of the gap, to which descent is asked to go."""
    n, d, P, delta, ratio = case
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, d)), 1.0 + rng.standard_normal((n, c))
    patterns = cr.ActivationPatterns(np.ones((n, P), dtype=bool)) if n == 1 else cr.sample_patterns(X, P, seed=0)
    problem = cr.ConvexGatedReLU(X, Y if c > 1 else Y[:, 0], patterns, loss=cr.Huber(delta))
    problem = problem.with_lam(ratio * problem.lam_max())
    calls, run = [], CompiledRounds.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompiledRounds, "run", lambda self, limits: calls.append(1) or run(self, limits))
        for time_limit in (None, 0.1):
            solve(problem, tol=TOL, time_limit=time_limit)
    assert len(calls) <= 100
