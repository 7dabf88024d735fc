"""The fuzzer's judge accepts honest answers and rejects forged ones; its cases are reproducible."""

import argparse
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

import cvxrelu as cr
from reference.fuzz import judge, report
from reference.fuzz import run as fuzz
from reference.fuzz.cases import Case, random_case
from reference.fuzz.known import KNOWN, known_case
from reference.fuzz.run import Run
from tests.helpers.cases import Case as Corner
from tests.helpers.cases import all_cases

TOL = 1e-6


def solved(problem, weights=None):
    case = Case("", problem, weights)
    return case, cr.solve(problem, tol=TOL)


CORNERS = [each for each in all_cases() if each.penalty != "none"]


@pytest.mark.parametrize("corner", CORNERS[::3], ids=str)
def test_honest_answers_pass_and_the_other_model_agrees(corner: Corner):
    case, answer = solved(corner.build())
    other = judge.optimum(case)
    assert judge.faults(case, answer) == []
    assert judge.contradictions(case, answer, other, TOL) == []
    assert other == pytest.approx(answer.objective, rel=1e-5)


def test_weights_of_rows_are_in_the_formulas():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), np.where(np.arange(20) % 3, 1.0, -1.0)
    weights = rng.uniform(0.1, 10.0, 20)
    patterns = cr.sample_patterns(X, 5, seed=0)
    problem = cr.ConvexGatedReLU(X, y, patterns, 0.01, cr.Weighted("logistic", weights))
    case, answer = solved(problem, weights / weights.mean())
    assert judge.faults(case, answer) == []
    assert judge.optimum(case) == pytest.approx(answer.objective, rel=1e-5)
    assert judge.faults(replace(case, row_weights=None), answer) != []


CASE, ANSWER = solved(Corner("relu", "squared", "group_l1", "tall", 1).build())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"lower": ANSWER.lower * (1 + 1e-7)}, "lower bound"),
        ({"upper": ANSWER.objective * (1 - 1e-8)}, "objective is"),
        ({"weights": (ANSWER.weights[0], -ANSWER.weights[1] - ANSWER.weights[0])}, "violate their cones"),
        ({"dual": replace(ANSWER.dual, t=ANSWER.dual.t * 1.001)}, "infeasible"),
        ({"dual": replace(ANSWER.dual, multipliers=-ANSWER.dual.multipliers)}, "infeasible"),
    ],
    ids=["lower", "upper", "cones", "t", "multipliers"],
)
def test_forged_answers_are_refused(changes, word):
    certificate = replace(ANSWER.certificate, **changes)
    forged = replace(ANSWER, certificate=certificate, weights=certificate.weights)
    assert any(word in fault for fault in judge.faults(CASE, forged))


def test_a_false_optimum_is_refused():
    poor = cr.certify(CASE.problem, CASE.problem.zero_weights())
    false = replace(ANSWER, certificate=poor, weights=poor.weights)
    assert judge.faults(CASE, false) == []  # its bounds are right: only the status is wrong
    assert any("reported as optimal" in each for each in judge.contradictions(CASE, false, judge.optimum(CASE), TOL))


def test_cases_are_reproducible_and_cover_all_losses_and_penalties():
    cases = [random_case(seed) for seed in range(40)]
    assert {case.problem.penalty.name for case in cases} == {
        "group_l1",
        "l1",
        "feature_group_l1",
        "squared_l2",
        "nuclear",
        "none",
    }
    assert {getattr(case.problem.loss, "loss", case.problem.loss).name for case in cases} == {
        "squared",
        "huber",
        "logistic",
        "softmax",
    }
    again = random_case(7)
    assert again.name == cases[7].name
    assert np.array_equal(again.problem.X, cases[7].problem.X)
    assert again.problem.lam == cases[7].problem.lam


def test_known_cases_are_twenty_and_more():
    assert len(KNOWN) >= 20
    assert known_case("exact fit, lam 0").problem.lam == 0.0


def test_the_report_tells_a_larger_gap_and_a_slow_case():
    runs = [
        Run("a", "auto", 9.9, "optimal", 1.0, 1.0, 1e-7, "RFISTA"),
        Run("a", "CLARABEL", 0.1, "optimal", 1.0, 1.0, 1e-8, "CLARABEL"),
        Run("b", "auto", 1.0, "max_iter", 1.0, 0.5, 0.5, "RFISTA"),
        Run("b", "RFISTA", 1.0, "max_iter", 1.0, 0.9, 0.1, "RFISTA"),
        Run("c", "auto", 1.0, "time_limit", 1.0, 0.5, 0.5, "RFISTA"),
        Run("c", "RFISTA", 1.0, "optimal", 1.0, 1.0, 1e-7, "RFISTA"),
        Run("d", "auto", 0.1, "", note="raised", faults=["ValueError: no"]),
    ]
    assert report.failures(runs, TOL) == [
        "d: auto: ValueError: no",
        "b: auto ends at a gap of 5.0e-01, RFISTA at 1.0e-01",
    ]
    text = report.table(runs, TOL)
    assert "above 3: 1 of 2." in text
    assert "| a | 1e-07 | 9.90 | RFISTA | CLARABEL | 1e-08 | 0.10 | 50.0 |" in text
    assert "| all | 3 | 1 | 2 | 0 | 2 | 1 |" in text
    assert "| c | time_limit | 1.0e+00 | 5e-01 |  | RFISTA (optimal) | 1e-07 |" in text


def test_a_case_without_an_optimum_is_done_when_that_is_told():
    runs = [
        Run("7/wide/gated/logistic/none/1e-2.0", "auto", 0.3, "unattained", 1e-7, 0.0, 1.0, "RFISTA"),
        Run("7/wide/gated/logistic/none/1e-2.0", "CLARABEL", 0.1, "inaccurate", 1e-5, 0.0, 1.0, "CLARABEL"),
    ]
    text = report.table(runs, TOL)
    assert report.failures(runs, TOL) == []
    assert "| gated, none | 1 | 1 | 0 | 1 | 0 | 0 |" in text
    assert 'Not solved by "auto": 0' in text


def test_an_interrupted_fuzz_goes_on_where_it_was(tmp_path, capsys):
    """Cases with a missing run are solved again, the others are not."""
    parser = argparse.ArgumentParser()
    fuzz.configure(parser)
    out = tmp_path / "fuzz.jsonl"
    whole = [Run("0/before", solver, 1.0, "optimal", 1.0, 1.0, 0.0, solver) for solver in ("auto", *fuzz.SINGLE)]
    part = [Run("1/before", "RFISTA", 1.0, "optimal", 1.0, 1.0, 0.0, "RFISTA")]
    lines = [json.dumps(asdict(run)) + "\n" for run in whole + part]
    out.write_text("".join(lines) + lines[0][:40])
    assert fuzz.saved(out, ("auto", *fuzz.SINGLE)) == whole
    assert fuzz.saved(tmp_path / "none.jsonl", ("auto",)) == []
    arguments = ["--first", "0", "--cases", "2", "--only-auto", "--time-limit", "60", "--out", str(out), "--resume"]
    assert "2 cases" in fuzz.run(parser.parse_args(arguments))
    before, after = fuzz.saved(out, ("auto",))[: len(whole)], fuzz.saved(out, ("auto",))[len(whole) :]
    assert before == whole
    assert [run.case.split("/")[0] for run in after] == ["1"]
    assert after[0].case != "1/before"
    assert "0/" not in capsys.readouterr().out  # not solved again
