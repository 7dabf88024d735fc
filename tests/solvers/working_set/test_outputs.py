"""WorkingSet on several outputs: those that fall apart are solved one by one, to the tolerance of the whole."""

import itertools
import warnings

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.row_descent import descend_on_rows
from cvxrelu.solvers.interface import Limits
from cvxrelu.solvers.working_set import outputs
from cvxrelu.solvers.working_set import solver as working_set
from cvxrelu.solvers.working_set.compiled_rounds import CompiledRounds
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems
from cvxrelu.solvers.working_set.row_descent import RowDescent
from tests.helpers.cases import assert_honest, make_data, make_problem, make_targets
from tests.helpers.clock import Clock
from tests.helpers.working_sets import many_patterns, solve

SEPARABLE_LOSSES = ("squared", "huber", "logistic", "weighted huber", "weighted logistic")
KINDS = [("gated", "group_l1"), ("gated", "l1"), ("relu", "group_l1")]


def build(kind, loss="squared", penalty="group_l1", c=3, ratio=0.1, shape="tall", scales=(1.0,), seed=0):
    """Return a problem whose targets are multiplied by ``scales``, cyclically over the outputs."""
    X = make_data(shape, seed)
    name = loss.split()[-1]
    Y = make_targets(name, X, c, seed) * np.resize(scales, c)
    weights = np.random.default_rng(seed).uniform(0.2, 3.0, len(X))
    chosen = cr.Weighted(name, weights) if loss.startswith("weighted") else name
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls(X, Y, cr.sample_patterns(X, 6, seed=seed), lam=1.0, loss=chosen, penalty=penalty)
    return problem.with_lam(ratio * problem.lam_max())


def parts(problem):
    """Return the problems of the single outputs."""
    return [
        type(problem)(problem.X, y, problem.patterns, problem.lam, problem.loss, problem.penalty) for y in problem.Y.T
    ]


def quiet(problem, solver, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        return cr.solve(problem, solver, **options)


@pytest.mark.parametrize("ratio", [0.5, 0.01])
@pytest.mark.parametrize(("kind", "penalty"), KINDS)
@pytest.mark.parametrize("loss", SEPARABLE_LOSSES)
def test_agrees_with_the_joint_program_of_another_solver(loss, kind, penalty, ratio):
    problem = build(kind, loss, penalty, ratio=ratio)
    solution = solve(problem, tol=1e-7)
    other = quiet(problem, "CLARABEL" if kind == "relu" or "weighted" in loss else "RFISTA", tol=1e-5)
    assert solution.status == "optimal"
    assert_honest(problem, solution, 1e-7)
    assert solution.lower <= other.objective * (1 + 1e-12)
    assert other.lower <= solution.objective * (1 + 1e-12)


@pytest.mark.parametrize(("kind", "penalty"), KINDS)
@pytest.mark.parametrize(("c", "shape"), [(2, "wide"), (3, "collinear"), (10, "tall")])
def test_is_the_sum_of_the_programs_of_its_outputs(kind, penalty, c, shape):
    problem = build(kind, "squared", penalty, c=c, shape=shape, ratio=0.05)
    solution = solve(problem, tol=1e-8)
    single = [solve(part, tol=1e-10) for part in parts(problem)]
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(sum(each.objective for each in single), rel=1e-8)


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.03])
@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
def test_small_outputs_take_compiled_rounds(monkeypatch, loss, ratio):
    """They agree with block descent on shared products of pairs, which larger outputs take."""
    problem = build("gated", loss, ratio=ratio)
    runs = []
    run = CompiledRounds.run
    monkeypatch.setattr(CompiledRounds, "run", lambda self, limits: runs.append(True) or run(self, limits))
    compiled = solve(problem, tol=1e-7)
    assert runs
    runs.clear()
    monkeypatch.setattr(working_set, "_compiles_outputs", lambda problem: False)
    shared = solve(problem, tol=1e-7)
    assert not runs
    for solution in (compiled, shared):
        assert solution.status == "optimal"
        assert_honest(problem, solution, 1e-7)
    assert compiled.objective == pytest.approx(shared.objective, rel=2e-7)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("ratio", [0.1, 1e-5])
def test_outputs_of_very_different_scale(kind, loss, ratio):
    problem = build(kind, loss, c=4, scales=(1e8, 1.0, 1e-8, 1e4), ratio=ratio)
    solution = solve(problem, tol=1e-6)
    assert solution.certificate.rel_gap <= 1e-6
    again = cr.certify(problem, solution.weights, solution.dual)
    assert again.upper - again.lower <= 1e-6 * again.upper
    single = [solve(part, tol=1e-7) for part in parts(problem)]
    assert solution.lower <= sum(each.objective for each in single) * (1 + 1e-12)
    assert sum(each.lower for each in single) <= solution.objective * (1 + 1e-12)


def test_an_output_with_a_small_share_of_the_objective_is_not_left_at_zero():
    problem = build("gated", c=2, scales=(1.0, 1e-4), ratio=1e-6)
    solution = solve(problem, tol=1e-6)
    small = parts(problem)[1]
    own = small.objective(solution.weights[[1]])
    assert own <= 1.15 * solve(small, tol=1e-6).objective < 0.7 * small.objective(small.zero_weights())


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_zero_and_duplicate_outputs(kind, monkeypatch):
    problem = build(kind, c=5, ratio=0.1)
    Y = problem.Y.copy()
    Y[:, 1], Y[:, 3] = 0.0, Y[:, 0]
    problem = type(problem)(problem.X, Y, problem.patterns, problem.lam)
    advanced = []
    monkeypatch.setattr(outputs._Output, "advance", spied(outputs._Output.advance, advanced))
    solution = solve(problem, tol=1e-8)
    assert_honest(problem, solution, 1e-8)
    blocks = problem.blocks(solution.weights)
    assert not blocks[..., 1, :, :].any()
    assert all(output.problem.Y.any() for output in advanced)
    assert solution.objective == pytest.approx(
        sum(solve(part, tol=1e-10).objective for part in parts(problem)), rel=1e-8
    )


def spied(method, seen):
    def call(self, *arguments):
        seen.append(self)
        return method(self, *arguments)

    return call


def test_an_output_that_is_zero_at_the_optimum_takes_no_step(monkeypatch):
    problem = build("gated", c=3, scales=(1.0, 0.01, 1.0), ratio=0.3)
    taking = []
    monkeypatch.setattr(outputs._Output, "_take", spied(outputs._Output._take, taking))
    solution = solve(problem, tol=1e-9)
    assert_honest(problem, solution, 1e-9)
    assert {float(np.abs(output.problem.Y).max()) < 0.5 for output in taking} == {False}


def test_all_outputs_zero_at_every_weights():
    problem = cr.ConvexGatedReLU(make_data("tall"), np.zeros((12, 3)), cr.sample_patterns(make_data("tall"), 6), 0.1)
    assert quiet(problem, "WorkingSet").objective == 0.0


@pytest.mark.parametrize(
    ("loss", "penalty", "c", "separate"),
    [
        ("squared", "group_l1", 3, True),
        ("squared", "group_l1", 1, False),
        ("softmax", "group_l1", 3, False),
        ("huber", "l1", 2, True),
        ("logistic", "nuclear", 2, False),
        ("squared", "feature_group_l1", 2, False),
    ],
)
def test_which_programs_fall_apart(loss, penalty, c, separate):
    assert outputs.separates_outputs(make_problem("gated", loss, penalty, c=c)) is separate


def test_programs_with_cones_are_solved_as_a_whole():
    assert not outputs.separates_outputs(make_problem("relu", c=3))


def test_does_not_overshoot_the_tolerance():
    problem = many_patterns(c=8, n_gates=60)
    gaps = [solve(problem, tol=tol).certificate.rel_gap for tol in (1e-2, 1e-4)]
    assert 1e-4 < gaps[0] <= 1e-2
    assert 1e-7 < gaps[1] <= 1e-4


# Control


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_history_is_monotone_and_matches_the_callback(kind):
    seen = []
    problem = build(kind, c=4, ratio=0.02)
    solution = quiet(problem, "WorkingSet", tol=1e-9, callback=seen.append)
    assert tuple(seen) == solution.history
    for before, after in itertools.pairwise(solution.history):
        assert after.objective <= before.objective
        assert after.lower >= before.lower
        assert after.n_iter >= before.n_iter
        assert after.time >= before.time
    assert solution.solver == "WorkingSet"
    assert solution.history[-1].n_iter == solution.n_iter


def test_the_history_is_deterministic():
    problem = many_patterns("logistic", c=4, n_gates=40)
    histories = [[(r.n_iter, r.objective, r.lower) for r in solve(problem, tol=1e-7).history] for _ in range(2)]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("max_iter", [1, 3])
def test_max_iter_limits_the_steps_of_each_output(kind, max_iter):
    problem = build(kind, c=4, ratio=0.001, shape="collinear")
    solution = quiet(problem, "WorkingSet", tol=1e-12, max_iter=max_iter)
    assert (solution.status, solution.n_iter) == ("max_iter", max_iter)
    assert_honest(problem, solution, 1e-12)
    assert problem.blocks(solution.weights).any(axis=(-1, -2)).reshape(-1, 4).any(axis=0).all()  # none is left out


def test_time_limit_keeps_the_best_point():
    problem, clock, seen = build("gated", c=3, ratio=0.001), Clock(), []

    def expire(record):
        seen.append(record)
        clock.now += 2.0 * (len(seen) == 2)

    limits = Limits(tol=1e-12, max_iter=10_000, time_limit=1.0, callback=expire, now=clock)
    result = cr.WorkingSet().run(problem, None, limits)
    assert (result.status, len(seen)) == ("time_limit", 2)
    assert problem.objective(result.weights) == pytest.approx(seen[1].objective, rel=1e-14)


def test_callback_may_stop_the_solve():
    problem, seen = build("gated", c=3, ratio=0.001), []
    solution = quiet(problem, "WorkingSet", tol=1e-12, callback=lambda record: seen.append(record) or len(seen) == 2)
    assert (solution.status, len(seen)) == ("stopped", 2)
    assert_honest(problem, solution, 1e-12)


def test_ctrl_c_keeps_the_outputs_solved_so_far(monkeypatch):
    direction, calls = NewtonSystems.direction, []

    def interrupted(self, step):
        calls.append(step)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return direction(self, step)

    monkeypatch.setattr(NewtonSystems, "direction", interrupted)
    problem = many_patterns("logistic", c=4, ratio=0.01)
    solution = quiet(problem, "WorkingSet", tol=1e-12)
    assert solution.status == "interrupted"
    assert_honest(problem, solution, 1e-12)
    assert solution.objective < problem.objective(problem.zero_weights())


def test_warm_start_at_the_solution_keeps_it():
    for kind in ("gated", "relu"):
        problem = build(kind, c=4, ratio=0.02)
        cold = solve(problem, tol=1e-7)
        warm = solve(problem, tol=1e-7, start=cold.weights)
        assert_honest(problem, warm, 1e-7)
        assert warm.n_iter <= max(2, 0.5 * cold.n_iter)


def test_float32_data():
    problem = many_patterns(c=4, n_gates=60, dtype=np.float32)
    solution = solve(problem, tol=1e-4)
    assert solution.status == "optimal"
    assert_honest(problem, solution, 1e-4)


def test_outputs_that_no_time_is_left_for_keep_their_start(monkeypatch):
    """Compiled rounds solve an output at once, so time is looked at between them."""
    begun, begin = [], outputs._Output.begin
    monkeypatch.setattr(outputs._Output, "begin", lambda self: begun.append(1) or begin(self))
    problem = build("gated", c=4)
    start = 0.9 * solve(problem, tol=1e-6).weights
    assert len(begun) == 4
    result = cr.WorkingSet().run(problem, start, Limits(tol=1e-6, max_iter=1000, time_limit=0.0))
    assert len(begun) == 4
    assert problem.objective(result.weights) <= problem.objective(start) < problem.value_at_zero
    far = cr.WorkingSet().run(problem, 1e6 * start, Limits(tol=1e-6, max_iter=1000, time_limit=0.0))
    assert problem.objective(far.weights) <= problem.value_at_zero


def test_descent_on_rows_where_it_takes_far_less_work_but_not_on_paths(monkeypatch):
    """Outputs share the Gram blocks that the other descent needs, and so do the lams of a path."""
    descend_on_rows.compile()
    monkeypatch.setattr(CompiledRounds, "supports", lambda problem: False)
    taken, init = [], RowDescent.__init__
    monkeypatch.setattr(RowDescent, "__init__", lambda self, *args: taken.append(1) or init(self, *args))
    problem = many_patterns(c=2)
    for work, times in ((0.25, 2), (0.35, 0)):
        monkeypatch.setattr(RowDescent, "relative_work", classmethod(lambda cls, problem, tol, work=work: work))
        solution = solve(problem, tol=1e-6)
        assert_honest(problem, solution, 1e-6)
        assert len(taken) == times
        taken.clear()
    monkeypatch.setattr(RowDescent, "relative_work", classmethod(lambda cls, problem, tol: 0.1))
    cr.regularization_path(problem, n_lams=3)
    assert not taken
