"""Regularization paths: agreement with Clarabel at each point, monotonicity, warm starts and limits."""

import time
from dataclasses import replace

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.optimize import path as paths
from cvxrelu.optimize.path import regularization_path
from tests.helpers.cases import make_problem
from tests.helpers.clock import Clock
from tests.helpers.needs import needs
from tests.helpers.paths import LAMS, PROBLEM, SOLVER


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_points_agree_with_clarabel_solved_alone(kind, loss):
    problem = make_problem(kind, loss)
    path = regularization_path(problem, n_lams=6, eps=0.02, solver=SOLVER[kind])
    assert path.status == ("optimal",) * 6
    assert path.gaps.max() <= 1e-4
    for i in (1, 3, 5):
        alone = cr.solve(problem.with_lam(path.lams[i]), "CLARABEL", tol=1e-6)
        gap = path.objectives[i] - path.lowers[i]
        assert abs(path.objectives[i] - alone.objective) <= gap + alone.gap
        assert max(path.lowers[i], alone.lower) <= min(path.objectives[i], alone.objective) + 1e-12
        feasible = problem.with_lam(path.lams[i]).objective(problem.repair(path.weights[i]))
        assert feasible == pytest.approx(path.objectives[i], rel=1e-12)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_first_point_is_exactly_zero_and_the_next_is_not(kind):
    problem = make_problem(kind, ratio=0.123)
    path = regularization_path(problem, n_lams=3, eps=0.25, solver=SOLVER[kind])
    np.testing.assert_allclose(path.lams, problem.lam_max() * np.array([1.0, 0.5, 0.25]), rtol=1e-14)
    assert path.lams[0] == problem.lam_max()
    assert not problem.blocks(path.weights[0]).any()
    assert problem.blocks(path.weights[1]).any()
    assert path.n_active[0] == path.network(0).n_neurons == 0
    assert path.n_active[2] == path.network(2).n_neurons > 0
    assert [certificate.problem.lam for certificate in path.certificates] == list(path.lams)


@pytest.mark.parametrize("penalty", ["group_l1", "feature_group_l1", "nuclear"])
def test_value_and_penalty_are_monotone_in_lam(penalty):
    problem = make_problem("gated", penalty=penalty, c=3)
    path = regularization_path(problem, n_lams=12, eps=1e-2, tol=1e-5)
    assert path.complete
    assert (path.lowers[1:] <= path.objectives[:-1]).all()
    sizes = np.array([problem.penalty.value(problem.blocks(weights)) for weights in path.weights])
    gaps = path.objectives - path.lowers
    # Both points are optimal to within their gaps: (lam_1 - lam_2) (Omega_1 - Omega_2) <= gap_1 + gap_2.
    assert ((path.lams[:-1] - path.lams[1:]) * (sizes[:-1] - sizes[1:]) <= gaps[:-1] + gaps[1:]).all()
    assert sizes[-1] > sizes[3] > sizes[0] == 0.0
    assert path.objectives[-1] < path.lowers[0]


def test_warm_starts_save_iterations():
    path = regularization_path(PROBLEM, n_lams=15, eps=1e-2, solver="RFISTA")
    cold = [cr.solve(PROBLEM.with_lam(lam), "RFISTA", tol=1e-4).n_iter for lam in path.lams]
    assert sum(solution.n_iter for solution in path.solutions) < 0.9 * sum(cold)


def test_each_point_starts_from_the_one_before(solved):
    path = regularization_path(PROBLEM, LAMS[:3], solver="RFISTA")
    assert solved[0][1] is None
    assert solved[1][1] is path.weights[0]
    assert solved[2][1] is path.weights[1]


def test_cvxpy_solvers_are_not_given_a_start():
    path = regularization_path(PROBLEM, LAMS[:2], solver="CLARABEL", tol=1e-6)  # a warning would be an error
    assert path.status == ("optimal", "optimal")


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_previous_dual_point_is_used_when_a_solver_does_badly(kind, monkeypatch):
    problem = make_problem(kind)
    lams = 0.1 * problem.lam_max() * np.array([1.0, 0.999])

    def solve(problem, *args, **keywords):
        if problem.lam == lams[0]:
            return cr.solve(problem, "CLARABEL", tol=1e-6)
        return cr.solve(problem, SOLVER[kind], tol=1e-4, max_iter=1)

    monkeypatch.setattr(paths, "solve_next", solve)
    with pytest.warns(cr.ConvergenceWarning, match="1 of 2 points"):
        path = regularization_path(problem, lams)
    with pytest.warns(cr.ConvergenceWarning, match="above tol"):
        alone = solve(problem.with_lam(lams[1]))
    optimum = cr.solve(problem.with_lam(lams[1]), "CLARABEL", tol=1e-8)
    assert alone.lower < 0.99 * optimum.lower
    assert 0.99 * optimum.lower < path.lowers[1] <= optimum.objective
    dual = path.certificates[1].dual
    proof = problem.with_lam(lams[1]).dual_objective(dual.t, dual.multipliers)
    assert proof == pytest.approx(path.lowers[1], rel=1e-9)


def test_previous_dual_point_can_close_the_gap(monkeypatch):
    lams = LAMS[4] * np.array([1.0, 1.0 - 1e-9])
    rough = cr.solve(PROBLEM.with_lam(lams[1]), "RFISTA", tol=1e-2)
    optimum = cr.solve(PROBLEM.with_lam(lams[1]), "CLARABEL", tol=1e-9).objective
    tol = 0.5 * (rough.gap + rough.objective - optimum) / rough.objective  # between its gap and its true distance
    assert tol < 0.9 * rough.certificate.rel_gap

    def solve(problem, *args, **keywords):
        return cr.solve(problem, "CLARABEL", tol=1e-9) if problem.lam == lams[0] else replace(rough, status="max_iter")

    monkeypatch.setattr(paths, "solve_next", solve)
    path = regularization_path(PROBLEM, lams, tol=tol)
    assert path.status == ("optimal", "optimal")
    assert path.gaps[1] <= tol


def test_one_warning_for_all_points_that_missed_tol():
    with pytest.warns(cr.ConvergenceWarning) as caught:
        path = regularization_path(PROBLEM, [*LAMS, 2.0 * PROBLEM.lam_max()], solver="RFISTA", max_iter=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    assert path.status == ("optimal", *["max_iter"] * 6)
    assert "6 of 7 points" in text
    assert ", ".join(f"{lam:.4g}" for lam in LAMS) in text
    assert f"{path.gaps.max():.2e}, at lam = {path.lams[path.gaps.argmax()]:.4g}" in text
    assert "raise max_iter" in text
    assert path.complete


def test_lams_in_any_order_are_solved_descending():
    path = regularization_path(PROBLEM, list(LAMS[[2, 0, 1]]))
    np.testing.assert_array_equal(path.lams, LAMS[:3])
    assert path.objectives[0] > path.objectives[1] > path.objectives[2]


def test_callback_sees_each_point_and_stops_the_path():
    seen = []
    path = regularization_path(PROBLEM, LAMS, callback=lambda point: seen.append(point) or len(seen) == 2)
    assert tuple(seen) == path.solutions
    assert (len(path), path.complete, path.halted) == (2, False, "stopped")
    assert "2 of 6 points, stopped" in repr(path)
    np.testing.assert_array_equal(path.lams, LAMS[:2])
    np.testing.assert_array_equal(path.requested, LAMS)
    last = regularization_path(PROBLEM, LAMS[:1], callback=lambda point: True)
    assert (last.complete, last.halted) == (True, None)


def test_verbose_prints_a_line_for_each_point(capsys):
    regularization_path(PROBLEM, LAMS[:3], verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "2/3" in lines[1]
    assert f"{LAMS[1]:.4e}" in lines[1]


def test_repr_is_a_short_table():
    lines = repr(regularization_path(PROBLEM, PROBLEM.lam_max() * np.linspace(0.5, 2.0, 25))).splitlines()
    assert lines[0] == "Path(25 of 25 points, complete)"
    assert len(lines) == 12
    assert lines[2].split()[0] == "0"
    assert lines[-1].split()[0] == "24"
    assert all("optimal" in line for line in lines[2:])


def test_float32_data():
    X = PROBLEM.X.astype(np.float32)
    problem = cr.ConvexGatedReLU(X, PROBLEM.y.astype(np.float32), PROBLEM.patterns)
    assert regularization_path(problem, LAMS[:3], tol=1e-3).status == ("optimal",) * 3


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"lams": [0.1, 0.2, 0.1]}, "lams must be distinct; got 0.1 more than once"),
        (ValueError, {"lams": [0.1, 0.0]}, "lams must be positive; got 0"),
        (ValueError, {"lams": [0.1, -2.0]}, "lams must be positive; got -2"),
        (ValueError, {"lams": [0.1, np.nan]}, "lams must be finite"),
        (ValueError, {"lams": [np.inf, 0.1]}, "lams must be finite"),
        (ValueError, {"lams": []}, "lams must not be empty"),
        (ValueError, {"lams": 0.1}, "lams must be a 1-D array"),
        (TypeError, {"lams": ["a"]}, "lams must hold real numbers"),
        (ValueError, {"n_lams": 0}, "n_lams must be an integer >= 1"),
        (TypeError, {"n_lams": 2.5}, "n_lams must be an integer >= 1"),
        (ValueError, {"eps": 1.0}, r"eps must be a number in \(0, 1\)"),
        (ValueError, {"eps": 0.0}, "eps must be a finite number > 0"),
        (ValueError, {"tol": 0.0}, "tol must be a finite number > 0"),
        (ValueError, {"solver": "NOPE"}, "solver must be one of"),
        (ValueError, {"max_iter": 0}, "max_iter must be an integer >= 1"),
        (TypeError, {"callback": 3}, "callback must be callable; got 3"),
        (ValueError, {"save_to": __file__}, "save_to must be a folder; .* is a file"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(error, arguments, message):
    with pytest.raises(error, match=message):
        regularization_path(PROBLEM, **arguments)


def test_bad_problems_are_refused():
    with pytest.raises(TypeError, match="problem must be a ConvexGatedReLU or ConvexReLU; got ndarray"):
        regularization_path(PROBLEM.X)
    with pytest.raises(ValueError, match="lams must be given .* no lam makes zero weights optimal"):
        regularization_path(make_problem("gated", penalty="squared_l2"))
    silent = cr.ConvexGatedReLU(PROBLEM.X, np.zeros(PROBLEM.n), PROBLEM.patterns)
    with pytest.raises(ValueError, match="lams must be given .* zero weights are optimal at every lam"):
        regularization_path(silent)


def test_penalties_that_are_not_norms_and_zero_targets_take_given_lams():
    path = regularization_path(make_problem("gated", penalty="squared_l2"), [0.1, 1.0])
    assert [(solution.solver, solution.status) for solution in path.solutions] == [("LeastSquares", "optimal")] * 2
    silent = cr.ConvexGatedReLU(PROBLEM.X, np.zeros(PROBLEM.n), PROBLEM.patterns)
    path = regularization_path(silent, [0.1, 1.0])
    assert list(path.objectives) == list(path.gaps) == list(path.n_active) == [0, 0]


@needs("ecos")
def test_unsupported_limits_are_reported_once():
    lams = [PROBLEM.lam_max(), *LAMS[:3]]
    with pytest.warns(cr.UnsupportedOptionWarning, match="time_limit") as caught:
        regularization_path(PROBLEM, lams, solver="ECOS", time_limit=100.0)
    assert len(caught) == 1


def test_time_limit_applies_to_the_whole_path(monkeypatch):
    """Lams without time left are omitted; the point cut short is kept, and its bounds hold."""
    full = regularization_path(PROBLEM, LAMS, solver="RFISTA", tol=1e-8)
    clock = Clock(tick=1.0)
    monkeypatch.setattr(time, "perf_counter", clock)
    regularization_path(PROBLEM, LAMS, solver="RFISTA", tol=1e-8)
    readings, clock.now = clock.now - 1000.0, 1000.0
    limit = 0.5 * readings
    with pytest.warns(cr.ConvergenceWarning, match="time_limit omitted the last . of 6 lams"):
        path = regularization_path(PROBLEM, LAMS, solver="RFISTA", tol=1e-8, time_limit=limit)
    assert clock.now - 1000.0 <= 1.2 * limit
    assert (path.halted, path.complete) == ("time_limit", False)
    assert 1 <= len(path) < len(LAMS)
    assert np.all(path.lowers <= full.objectives[: len(path)])
    assert np.all(path.objectives >= full.lowers[: len(path)])


def test_path_without_time_has_its_first_point():
    with pytest.warns(cr.ConvergenceWarning, match="time_limit omitted the last 5 of 6 lams"):
        path = regularization_path(PROBLEM, LAMS, solver="RFISTA", time_limit=1e-9)
    assert len(path) == 1
    assert path.lowers[0] <= path.objectives[0]


@pytest.mark.parametrize("time_limit", [0.0, -1.0, np.nan])
def test_path_refuses_time_limits_that_are_not_positive(time_limit):
    with pytest.raises(ValueError, match="time_limit must be a finite number > 0"):
        regularization_path(PROBLEM, LAMS, time_limit=time_limit)
