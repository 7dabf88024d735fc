import warnings

import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.cases import all_cases, make_data, make_problem
from tests.helpers.needs import SOLVERS, needs

CASES = list(all_cases())
# ECOS 2.0.14 ends with "NUMERICAL PROBLEMS" here, in the line search of its exponential cones.
ECOS_FAILS = {"relu-logistic-l1-tall-c1"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_solvers_agree_within_their_certified_gaps(case):
    """Compare primal, dual and certified intervals of Clarabel, SCS and, if installed, ECOS."""
    problem = case.build()
    without_ecos = case.penalty == "nuclear" or str(case) in ECOS_FAILS
    solvers = [solver for solver in SOLVERS if not (without_ecos and solver == "ECOS")]
    solutions = []
    for solver in solvers:
        tol = 1e-4 if solver == "SCS" else 1e-6
        solution = cr.solve(problem, solver, tol=tol)
        assert solution.status == "optimal", solution
        assert solution.certificate.rel_gap <= tol
        assert problem.violation(solution.weights) <= 1e-12
        assert problem.objective(solution.weights) == solution.objective
        solutions.append(solution)
    lower = max(solution.lower for solution in solutions)
    upper = min(solution.objective for solution in solutions)
    assert lower <= upper * (1 + 1e-12)  # every interval contains the optimum
    if case.penalty != "none":
        dual = problem.to_cvxpy("dual").solve(solver="CLARABEL")
        accuracy = 1e-6 * max(1.0, upper)  # of the solver
        assert lower - accuracy <= dual <= upper + accuracy


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("ratio", [0.9, 0.3, 1e-2, 1e-4])
def test_from_near_lam_max_to_near_zero(kind, ratio):
    solution = cr.solve(make_problem(kind, shape="collinear", ratio=ratio), tol=1e-6)
    assert solution.status == "optimal"
    assert solution.certificate.rel_gap <= 1e-6


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_badly_scaled_columns(kind):
    X = make_data("tall") * np.array([1e-4, 1.0, 1e4])
    y = np.random.default_rng(0).standard_normal(12)
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls(X, y, cr.sample_patterns(X, 5))
    problem = problem.with_lam(0.1 * problem.lam_max())
    solution = cr.solve(problem, tol=1e-5)
    assert solution.status == "optimal"
    assert solution.certificate.rel_gap <= 1e-5


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("factor", [1.0, 1.5, 1e6])
def test_at_and_above_lam_max_the_answer_is_exactly_zero(kind, factor):
    problem = make_problem(kind, ratio=1.0)
    solution = cr.solve(problem.with_lam(problem.lam_max() * factor))
    assert solution.status == "optimal"
    assert not problem.blocks(solution.weights).any()
    assert solution.network().n_neurons == 0
    assert solution.certificate.rel_gap <= 1e-12


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_constant_targets(kind, value):
    X = make_data("tall")
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    solution = cr.solve(cls(X, np.full(12, value), cr.sample_patterns(X, 5), lam=1e-2))
    assert solution.status == "optimal"
    assert solution.certificate.rel_gap <= 1e-6
    if value == 0.0:
        assert solution.objective == solution.gap == 0.0


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_one_pattern_is_the_group_lasso(kind):
    """P = 1 with all rows active and an inactive cone is ||X u - y||^2 / 2n + lam ||u||, as solved by CVXPY."""
    rng = np.random.default_rng(0)
    X = np.abs(rng.standard_normal((15, 3))) + 0.5
    y = X @ [1.0, 2.0, 3.0] + 0.1 * rng.standard_normal(15)
    patterns = cr.ActivationPatterns(np.ones((15, 1), bool), np.ones((3, 1)))
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    u = cp.Variable(3)
    value = cp.Problem(cp.Minimize(cp.sum_squares(X @ u - y) / 30 + 0.01 * cp.norm(u))).solve(solver="CLARABEL")
    assert (X @ u.value > 0).all()
    assert cr.solve(cls(X, y, patterns, lam=0.01)).objective == pytest.approx(value, rel=1e-6)


def test_permuting_rows_features_and_patterns_changes_nothing():
    problem = make_problem("relu")
    rng = np.random.default_rng(0)
    rows, features, order = (rng.permutation(k) for k in (problem.n, problem.d, len(problem.patterns)))
    patterns = cr.ActivationPatterns(problem.patterns.D[rows][:, order], problem.patterns.G[features][:, order])
    other = cr.ConvexReLU(problem.X[rows][:, features], problem.y[rows], patterns, problem.lam)
    assert cr.solve(other).objective == pytest.approx(cr.solve(problem).objective, rel=2e-6)


def test_negligible_blocks_are_dropped():
    problem = make_problem("gated", shape="collinear", ratio=0.5)
    solution = cr.solve(problem, "CLARABEL")
    sizes = np.linalg.norm(solution.weights, axis=-1)
    assert 0 < (sizes == 0.0).sum() < sizes.size
    assert sizes[sizes > 0.0].min() > 1e-6 * sizes.max()


# Limits and failures


def test_iteration_limit_warns_and_keeps_the_best_point():
    problem = make_problem("relu")
    with pytest.warns(cr.ConvergenceWarning, match=r"relative gap of .* above tol = 1.00e-06 .*raise max_iter"):
        solution = cr.solve(problem, max_iter=3)
    assert solution.status == "max_iter"
    assert solution.certificate.rel_gap > 1e-6
    assert problem.violation(solution.weights) <= 1e-12
    exact = cr.solve(problem)
    assert solution.lower <= exact.objective
    assert solution.objective >= exact.lower


@pytest.mark.parametrize(("kind", "solver"), [("gated", "WorkingSet"), ("relu", "WorkingSet"), ("relu", "CLARABEL")])
def test_time_limit_warns(kind, solver):
    with pytest.warns(cr.ConvergenceWarning, match="raise time_limit"):
        solution = cr.solve(make_problem(kind, n_gates=30), solver, time_limit=1e-6)
    assert solution.status == "time_limit"


def test_quadratic_programs_take_quadratic_solvers():
    problem = make_problem("relu", penalty="squared_l2")
    osqp = cr.solve(problem, "OSQP", tol=1e-4)
    assert osqp.status == "optimal"
    assert abs(osqp.objective - cr.solve(problem).objective) <= osqp.gap + 1e-6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"solver": "MAGIC"}, ValueError, "solver must be one of .*'CLARABEL'.*'auto', 'decompose'; got 'MAGIC'"),
        ({"tol": 0.0}, ValueError, "tol must be a finite number > 0; got 0.0"),
        ({"tol": -1.0}, ValueError, "tol must be"),
        ({"tol": "small"}, TypeError, "tol must be"),
        ({"max_iter": 0}, ValueError, "max_iter must be an integer >= 1; got 0"),
        ({"max_iter": 2.5}, TypeError, "max_iter must be an integer"),
        ({"time_limit": 0}, ValueError, "time_limit must be a finite number > 0"),
        ({"solver": "CLARABEL", "magic": 3}, TypeError, "unrecognized solver setting 'magic'"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        cr.solve(make_problem("gated"), **arguments)


def test_problem_type_is_checked():
    with pytest.raises(TypeError, match="problem must be a ConvexGatedReLU or ConvexReLU; got ndarray"):
        cr.solve(np.ones(3))


# Options


def test_runs_again_at_smaller_tolerances_until_the_gap_is_certified(monkeypatch):
    """The first solution, at a hundredth of tol, is made too inaccurate; the second is certified."""
    problem = make_problem("gated", shape="collinear")
    original, seen = cp.Problem.solve, []

    def solve_poorly_once(program, *args, **kwargs):
        seen.append(kwargs["tol_gap_rel"])
        loose = {"tol_gap_rel": 1e-2, "tol_gap_abs": 1e-2, "tol_feas": 1e-2} if len(seen) == 1 else {}
        return original(program, *args, **(kwargs | loose))

    monkeypatch.setattr(cp.Problem, "solve", solve_poorly_once)
    solution = cr.solve(problem, "CLARABEL", tol=1e-5)
    assert seen == pytest.approx([1e-7, 1e-9])
    assert solution.status == "optimal"
    first, second = solution.history
    assert first.gap > 1e-5 * first.objective
    assert (second.objective, second.lower) == (solution.objective, solution.lower)
    assert 0.0 < first.time < second.time <= solution.time


@needs("ecos")
def test_unsupported_limits_are_reported():
    with pytest.warns(cr.UnsupportedOptionWarning, match="ECOS has no option for time_limit"):
        cr.solve(make_problem("gated"), "ECOS", time_limit=60)


def test_a_smaller_tol_gives_a_smaller_gap():
    problem = make_problem("gated", shape="collinear")
    assert cr.solve(problem, tol=1e-9).certificate.rel_gap <= 1e-9


def test_extra_keywords_pass_through():
    with pytest.warns(cr.ConvergenceWarning):
        limited = cr.solve(make_problem("gated"), "CLARABEL", tol_gap_rel=0.5, tol_gap_abs=0.5, tol_feas=0.5)
    assert limited.n_iter < cr.solve(make_problem("gated"), "CLARABEL").n_iter


def test_verbose_shows_the_solvers_log(capfd):
    cr.solve(make_problem("gated"), "CLARABEL")
    assert capfd.readouterr().out == ""
    cr.solve(make_problem("gated"), "CLARABEL", verbose=True)
    assert "Clarabel" in capfd.readouterr().out


def test_no_warning_escapes_from_a_good_solve():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for solver in SOLVERS:
            cr.solve(make_problem("relu"), solver, tol=1e-3)


def test_callback_is_called_for_each_run():
    seen = []
    solution = cr.solve(make_problem("relu"), "CLARABEL", callback=seen.append)
    assert tuple(seen) == solution.history
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("given", "name"),
    [("Decompose", "decompose"), ("rfista", "RFISTA"), ("clarabel", "CLARABEL"), ("WORKINGSET", "WorkingSet")],
)
def test_solver_names_ignore_case(given, name):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    cls = cr.ConvexGatedReLU if name == "RFISTA" else cr.ConvexReLU
    problem = cls(X, y, cr.sample_patterns(X, 5, seed=0), lam=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # of decompose
        found = cr.solve(problem, given, tol=1e-4)
        assert found.solver.lower() == name.lower()
        assert found.solver == cr.solve(problem, name, tol=1e-4).solver
        assert cr.solve(problem, "Auto").attempts[0].solver == cr.solve(problem).attempts[0].solver


def test_unknown_solver_names_are_refused_with_the_valid_names():
    X = np.eye(3)
    problem = cr.ConvexGatedReLU(X, np.ones(3), cr.sample_patterns(X, 3, seed=0))
    with pytest.raises(ValueError, match="'CLARABEL'.*'WorkingSet'.*'decompose'; got 'clarabell'"):
        cr.solve(problem, "clarabell")
