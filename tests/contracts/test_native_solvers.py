"""Working sets, limits and control of the native solvers; test_cross_checks.py has the grid of problems."""

import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.cases import assert_agrees, make_problem


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax", "huber"])
def test_float32_ends_at_its_attainable_accuracy_and_says_so(loss):
    problem = make_problem("gated", loss, c=3, shape="collinear")
    single = cr.ConvexGatedReLU(
        problem.X.astype(np.float32),
        problem.Y.astype(np.float32),
        cr.ActivationPatterns(problem.patterns.D),
        problem.lam,
        loss,
    )
    assert cr.solve(single, "RFISTA", tol=1e-4).status == "optimal"
    with pytest.warns(cr.ConvergenceWarning, match="X is float32, which limits the gap: pass X in float64"):
        stalled = cr.solve(single, cr.RFISTA(max_iter=10**6), tol=1e-13)
    assert stalled.status == "stalled"
    assert stalled.n_iter < 10**5
    assert stalled.certificate.rel_gap <= 1e-5


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_float32_ends_on_working_sets_too(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4)).astype(np.float32)
    y = np.abs(X[:, 0]) - X[:, 1]
    cls, solver = {
        "gated": (cr.ConvexGatedReLU, cr.RFISTA(max_iter=10**6)),
        "relu": (cr.ConvexReLU, cr.AugmentedLagrangian(max_iter=10**6)),
    }[kind]
    problem = cls(X, y, cr.sample_patterns(X, 60))
    problem = problem.with_lam(0.1 * problem.lam_max())
    with pytest.warns(cr.ConvergenceWarning, match="X is float32, which limits the gap: pass X in float64"):
        solution = cr.solve(problem, solver, tol=1e-14)
    assert solution.status == "stalled"
    assert solution.n_iter < 10**5
    assert solution.certificate.rel_gap <= 1e-4


@pytest.mark.parametrize("delta", ["window", 0.1, 1.0, 10.0])
def test_augmented_lagrangian_with_fixed_delta(delta):
    problem = make_problem("relu")
    assert_agrees(problem, cr.solve(problem, cr.AugmentedLagrangian(delta=delta), tol=1e-4), 1e-4)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("shape", ["tall", "wide", "collinear"])
@pytest.mark.parametrize("dense_rows", [0, 1000])
def test_least_squares(shape, c, dense_rows):
    solver = cr.LeastSquares(dense_rows=dense_rows)
    ridge = make_problem("gated", penalty="squared_l2", shape=shape, c=c)
    assert_agrees(ridge, cr.solve(ridge, solver, tol=1e-6), 1e-6)
    free = make_problem("gated", penalty="none", shape="tripled", c=c)
    solution = cr.solve(free, solver, tol=1e-6)
    assert_agrees(free, solution, 1e-6)
    A = np.hstack([free.patterns.D[:, [i]] * free.X for i in range(len(free.patterns))])
    least_norm = np.linalg.lstsq(A, free.Y, rcond=1e-10)[0].T.reshape(solution.weights.shape)
    np.testing.assert_allclose(solution.weights, least_norm, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "penalty", "c"),
    [("gated", "group_l1", 1), ("gated", "l1", 3), ("gated", "nuclear", 3), ("relu", "group_l1", 1), ("relu", "l1", 1)],
)
def test_working_sets_of_patterns_change_nothing(kind, penalty, c):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4))
    Y = np.abs(X[:, :1]) @ np.ones((1, c)) - X[:, 1:2] * rng.standard_normal((1, c))
    cls, solver = {
        "gated": (cr.ConvexGatedReLU, cr.RFISTA),
        "relu": (cr.ConvexReLU, cr.AugmentedLagrangian),
    }[kind]
    problem = cls(X, Y, cr.sample_patterns(X, 80), penalty=penalty)
    assert len(problem.patterns) > 40  # more than the first working set holds
    problem = problem.with_lam(0.02 * problem.lam_max())
    whole = cr.solve(problem, solver(screen=False), tol=1e-3)
    parts = cr.solve(problem, solver(screen=True), tol=1e-3)
    for solution in (whole, parts):
        assert_agrees(problem, solution, 1e-3)


def test_a_restricted_problem_is_the_problem_on_its_patterns():
    problem = make_problem("relu")
    index = np.array([0, 2])
    part = problem.restrict(index)
    V, W = np.random.default_rng(0).standard_normal((2, 1, len(problem.patterns), problem.d))
    V[:, [1, 3]], W[:, [1, 3]] = 0.0, 0.0
    np.testing.assert_array_equal(part.patterns.D, problem.patterns.D[:, index])
    weights = (V[:, index], W[:, index])
    whole = np.zeros_like(V), np.zeros_like(W)
    whole[0][:, index], whole[1][:, index] = weights
    assert part.objective(weights) == pytest.approx(problem.objective(whole), rel=1e-14)
    assert part.violation(weights) == problem.violation(whole)


def test_auto_chooses_a_suitable_solver():
    assert cr.solve(make_problem("gated")).attempts[0].solver == "WorkingSet"
    assert cr.solve(make_problem("gated", penalty="feature_group_l1")).attempts[0].solver == "RFISTA"
    assert cr.solve(make_problem("gated", penalty="squared_l2")).attempts[0].solver == "LeastSquares"
    assert cr.solve(make_problem("gated", shape="tripled").with_lam(0.0)).attempts[0].solver == "LeastSquares"
    assert cr.solve(make_problem("gated", loss="huber", penalty="squared_l2")).attempts[0].solver == "RFISTA"
    assert cr.solve(make_problem("relu")).attempts[0].solver == "WorkingSet"
    assert cr.solve(make_problem("relu", penalty="l1")).attempts[0].solver == "CLARABEL"


# Control


def test_warm_start_saves_iterations():
    problem = make_problem("gated", shape="collinear", ratio=0.01)
    cold = cr.solve(problem, "RFISTA")
    warm = cr.solve(problem, "RFISTA", start=cold.weights)
    assert warm.n_iter < 0.2 * cold.n_iter
    with pytest.warns(cr.UnsupportedOptionWarning, match="CLARABEL does not support warm starts"):
        cr.solve(problem, "CLARABEL", start=cold.weights)


def test_history_is_monotone():
    problem = make_problem("gated", shape="collinear", ratio=0.01)
    solution = cr.solve(problem, "RFISTA")
    objectives = [record.objective for record in solution.history]
    lowers = [record.lower for record in solution.history]
    assert len(objectives) > 3
    assert objectives == sorted(objectives, reverse=True)
    assert lowers == sorted(lowers)
    assert [record.n_iter for record in solution.history] == sorted({record.n_iter for record in solution.history})
    assert all(record.step > 0.0 and record.time > 0.0 for record in solution.history)
    assert solution.objective == objectives[-1]


@pytest.mark.parametrize("solver", ["RFISTA", "AugmentedLagrangian"])
def test_limits_keep_the_best_point(solver):
    problem = make_problem("relu" if solver == "AugmentedLagrangian" else "gated", shape="collinear", ratio=0.01)
    with pytest.warns(cr.ConvergenceWarning, match="raise max_iter"):
        limited = cr.solve(problem, solver, max_iter=15, tol=1e-9)
    assert limited.status == "max_iter"
    assert limited.n_iter == 15
    assert limited.objective <= problem.objective(problem.zero_weights())
    with pytest.warns(cr.ConvergenceWarning, match="raise time_limit"):
        assert cr.solve(problem, solver, time_limit=1e-9).status == "time_limit"


def test_the_callback_gets_records_and_may_stop():
    problem = make_problem("gated", shape="collinear", ratio=0.01)
    seen = []
    with pytest.warns(cr.ConvergenceWarning, match="callback stopped the solve"):
        solution = cr.solve(problem, "RFISTA", callback=lambda record: seen.append(record) or len(seen) == 2)
    assert solution.status == "stopped"
    assert tuple(seen) == solution.history
    assert len(seen) == 2


def test_ctrl_c_keeps_the_best_point():
    problem = make_problem("gated", shape="collinear", ratio=0.01)

    def interrupt(record):
        if record.n_iter >= 30:
            raise KeyboardInterrupt

    with pytest.warns(cr.ConvergenceWarning, match="Ctrl-C"):
        solution = cr.solve(problem, "RFISTA", callback=interrupt)
    assert solution.status == "interrupted"
    assert solution.objective < problem.objective(problem.zero_weights())
    assert solution.objective == solution.history[-1].objective


def test_verbose_prints_each_check(capsys):
    solution = cr.solve(make_problem("gated"), "RFISTA", verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(solution.history)
    assert "relative gap" in lines[0]


def test_solvers_reject_unsupported_problems():
    with pytest.raises(cr.SolverError, match="RFISTA solves ConvexGatedReLU"):
        cr.solve(make_problem("relu"), "RFISTA")
    with pytest.raises(cr.SolverError, match="AugmentedLagrangian solves ConvexReLU"):
        cr.solve(make_problem("gated"), "AugmentedLagrangian")
    with pytest.raises(cr.SolverError, match="LeastSquares solves ConvexGatedReLU with squared loss"):
        cr.solve(make_problem("gated"), "LeastSquares")


def test_bad_options():
    with pytest.raises(ValueError, match="restart must be one of 'gradient', 'none', 'value'"):
        cr.RFISTA(restart="often")
    with pytest.raises(ValueError, match="step_rule must be one of"):
        cr.RFISTA(step_rule="leap")
    with pytest.raises(ValueError, match="step must be a finite number > 0"):
        cr.RFISTA(step=0.0)
    with pytest.raises(ValueError, match="delta must be a finite number > 0"):
        cr.AugmentedLagrangian(delta=-1.0)
    with pytest.raises(TypeError, match="takes its options in the constructor"):
        cr.solve(make_problem("gated"), "RFISTA", magic=1)
    with pytest.raises(ValueError, match="U must have shape"):
        cr.solve(make_problem("gated"), "RFISTA", start=np.zeros((2, 2)))
