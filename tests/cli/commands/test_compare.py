import dataclasses

import numpy as np
import pandas as pd
import pytest

import cvxrelu as cr
from cvxrelu.cli.runs.compare import compare_solvers
from cvxrelu.cli.settings import Kind, Settings
from tests.helpers.command import invoke, invoke_json, refused
from tests.helpers.needs import needs


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 2))
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1]))
    frame.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


@needs("ecos")
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_solvers_are_judged_by_one_certificate(table, kind):
    arguments = ("compare", table, "--target", "y", "--gates", 6, "--kind", kind)
    found = invoke_json(*arguments, "--solvers", "WorkingSet", "clarabel", "ECOS", "SCS")
    assert [one["solver"] for one in found["solvers"]] == ["WorkingSet", "CLARABEL", "ECOS", "SCS"]
    assert found["lower"] <= found["upper"] * (1 + 1e-12)
    for one in found["solvers"]:
        assert (one["status"], one["reason"]) == ("optimal", "")
        assert one["rel_gap"] <= found["tol"]
        assert one["lower"] <= found["upper"] * (1 + 1e-12)
        assert found["lower"] <= one["objective"] * (1 + 1e-12)
        assert 0.0 < one["solve_seconds"] <= one["seconds"]
        assert (one["compile_seconds"] > 0.0) == (one["solver"] != "WorkingSet")
    fastest = min(found["solvers"], key=lambda one: one["seconds"])
    assert found["fastest"] == fastest["solver"]
    assert not found["contradiction"]


def test_the_table_and_the_default_solvers(table):
    result = invoke("compare", table, "--target", "y", "--gates", 6, columns=80)
    assert (result.exit_code, result.stderr) == (0, "")
    for name in (
        "WorkingSet",
        "CLARABEL",
        "ECOS",
        "SCS",
        "The certified intervals intersect",
        "Fastest to a certified",
    ):
        assert name in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_default_solvers_without_ecos(table, monkeypatch):
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: ["CLARABEL", "SCS"])
    found = invoke_json("compare", table, "--target", "y", "--gates", 6)
    assert {one["solver"]: one["status"] for one in found["solvers"]} == {
        "WorkingSet": "optimal",
        "CLARABEL": "optimal",
        "ECOS": "unavailable",
        "SCS": "optimal",
    }


def test_solvers_that_cannot_are_told_with_the_reason(table, monkeypatch):
    installed = ["CLARABEL", "ECOS", "OSQP"]
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: installed)
    arguments = ("compare", table, "--target", "y", "--gates", 4, "--solvers", "MOSEK", "OSQP", "WorkingSet")
    found = invoke_json(*arguments)
    assert [one["status"] for one in found["solvers"]] == ["unavailable", "unable", "optimal"]
    assert "pip install mosek" in found["solvers"][0]["reason"]
    result = invoke(*arguments)
    assert "MOSEK: solver MOSEK is not installed" in result.stdout
    assert "OSQP: solver OSQP does not support" in result.stdout
    only = invoke_json("compare", table, "--target", "y", "--gates", 4, "--solvers", "MOSEK", code=3)
    assert (only["lower"], only["upper"], only["fastest"]) == (None, None, None)


def test_nothing_proved_exits_3(table):
    arguments = ("compare", table, "--target", "y", "--gates", 6, "--solvers", "RFISTA", "--max-iter", 1)
    result = invoke(*arguments)
    assert result.exit_code == 3
    assert "No solver reached a certified relative gap" in result.stdout
    found = invoke_json(*arguments, code=3)
    assert (found["solvers"][0]["status"], found["fastest"]) == ("max_iter", None)


def problem():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 3))
    return cr.ConvexReLU(X, rng.standard_normal(20), cr.sample_patterns(X, 5), 0.05)


def test_intervals_that_do_not_meet_are_a_contradiction(table, monkeypatch):
    settings = Settings(Kind.RELU, 5, 0.05)
    comparison = compare_solvers(problem(), ["WorkingSet", "CLARABEL"], settings, print)
    assert not comparison.contradiction
    first, second = comparison.trials
    certificate = second.solution.certificate
    forged = dataclasses.replace(certificate, lower=0.9 * certificate.lower, upper=0.99 * certificate.lower)
    wrong = dataclasses.replace(second, solution=dataclasses.replace(second.solution, certificate=forged))
    broken = dataclasses.replace(comparison, trials=(first, wrong))
    assert broken.contradiction
    monkeypatch.setattr("cvxrelu.cli.runs.compare.compare_solvers", lambda *arguments: broken)
    result = invoke("compare", table, "--target", "y")
    assert result.exit_code == 3
    assert "check failed: the certified intervals do not intersect" in result.stderr
    assert "The certified intervals intersect" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "y", "--solvers", "WorkingSet", "simplex"], ["solver must be one of", "'simplex'"]),
        (["more.csv", "--target", "y"], ["DATA must be a single file", "more.csv"]),
        (["--target", "price"], ["no column 'price'"]),
        (["--target", "y", "--lam", 1, "--lam-ratio", 1], ["not both"]),
        (["--target", "y", "--tol", 0], ["tol must be"]),
    ],
)
def test_mistakes(table, arguments, words):
    refused("compare", table, *arguments, words=words)
