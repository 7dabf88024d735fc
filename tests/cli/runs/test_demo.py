"""The checks of the demo."""

import dataclasses
import math
import shutil
from fractions import Fraction

import cvxpy as cp
import pytest

import cvxrelu as cr
from cvxrelu.cli.runs.demo import Outcome, check_elsewhere, conclusions, failed_checks
from cvxrelu.cli.runs.solve import Duality, solve_dual
from tests.helpers.command import invoke


@pytest.mark.usefixtures("small_demo")
def test_demo_fails_when_the_checker_refuses(demo_run, monkeypatch, tmp_path):
    refusing = tmp_path / "checker.py"
    refusing.write_text("raise SystemExit(1)")
    monkeypatch.setattr("cvxrelu.cli.runs.demo.checker.__file__", str(refusing))
    assert check_elsewhere([demo_run]) == [None]
    result = invoke("demo", "--gated-patterns", 6, "--relu-patterns", 2, "--lam", 0.01)
    assert result.exit_code == 3
    assert "the stand-alone checker did not verify" in result.stderr


def test_the_checker_s_verdict_is_of_the_run(demo_run):
    (found,) = check_elsewhere([demo_run])
    certificate = demo_run.certificate
    assert found.kind == demo_run.settings.kind
    assert 0 <= found.rel_gap <= certificate.rel_gap + 1e-8
    assert "ReLU: certificate saved" in str(found)
    words = conclusions([found, dataclasses.replace(found, rel_gap=Fraction(1, 8))])
    assert words[0].startswith("Proved, verified in exact arithmetic: to a relative gap of 1.2e-01, each network")


@pytest.mark.parametrize(
    "change", [{"X": 1.0 + 2.0**-40}, {"y": 1.0 + 2.0**-40}, {"lam": 2.0}, {"patterns": 1}], ids=lambda each: min(each)
)
def test_the_checker_is_asked_about_the_run_and_not_the_file(demo_run, change, monkeypatch, tmp_path):
    """A file about another problem is rejected, however true its own statement is."""
    problem = demo_run.certificate.problem
    patterns = cr.ActivationPatterns(problem.patterns.D[:, change.get("patterns", 0) :])
    X, y, lam = (change.get(name, 1.0) * getattr(problem, name) for name in ("X", "y", "lam"))
    other = cr.solve(cr.ConvexReLU(X, y, patterns, lam)).certificate
    other.save(tmp_path / "other.cert")
    monkeypatch.setattr(cr.Certificate, "save", lambda self, path: shutil.copy(tmp_path / "other.cert", path))
    assert check_elsewhere([demo_run]) == [None]


def test_demo_checks_hold_of_a_real_run(demo_run):
    dual = solve_dual(demo_run)
    assert failed_checks(Outcome(demo_run, dual, demo_run.solution)) == []
    assert dual.value <= demo_run.solution.objective * (1 + 1e-12)
    split = demo_run.split
    assert split.X_train.shape == (455, 30)
    assert set(split.y_train) == {-1.0, 1.0}


@pytest.mark.parametrize("error", [2e-6, -2e-6, math.nan])
def test_demo_check_of_duality_is_reached(demo_run, error):
    value = demo_run.solution.objective * (1 + error)
    (sentence,) = failed_checks(Outcome(demo_run, Duality(value, 0.0), demo_run.solution))
    assert "ReLU: strong duality was not shown" in sentence


def test_demo_survives_a_dual_program_that_breaks_down(demo_run, monkeypatch):
    def break_down(*arguments, **options):
        raise cp.error.SolverError("no progress")

    monkeypatch.setattr(cp.Problem, "solve", break_down)
    dual = solve_dual(demo_run)
    assert dual.value == -math.inf
    (sentence,) = failed_checks(Outcome(demo_run, dual, demo_run.solution))
    assert "strong duality was not shown" in sentence
    assert "(no value)" in sentence


@pytest.mark.parametrize("error", [2e-8, -2e-8, math.nan])
def test_demo_check_of_the_network_is_reached(demo_run, error):
    forged = dataclasses.replace(demo_run, network_objective=demo_run.network_objective + error)
    (sentence,) = failed_checks(Outcome(forged, Duality(demo_run.solution.lower, 0.0), demo_run.solution))
    assert "objectives of network and convex program differ" in sentence


def test_demo_check_of_the_certificate_is_reached(demo_run):
    forged = dataclasses.replace(demo_run, certificate=dataclasses.replace(demo_run.certificate, lower=0.0))
    (sentence,) = failed_checks(Outcome(forged, Duality(demo_run.solution.lower, 0.0), demo_run.solution))
    assert "certified relative gap, 1.0e+00, is above" in sentence


def test_demo_check_of_the_native_solver_is_reached(demo_run):
    solution = demo_run.solution
    too_good = dataclasses.replace(solution.certificate, lower=0.0, upper=0.99 * solution.lower)
    native = dataclasses.replace(solution, solver="RFISTA", certificate=too_good)
    (sentence,) = failed_checks(Outcome(demo_run, Duality(solution.lower, 0.0), native))
    assert f"certified intervals of RFISTA and {solution.solver} are disjoint" in sentence
