"""The costs of checks: what is measured, and that a check above its limit, or a file not verified, is told."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

import cvxrelu as cr
from reference.benchmarks import checks, rigor
from reference.benchmarks.checks import Limit, Report, Row
from tests.helpers.cases import make_problem

ROW = Row("a case", "patterns", "relu", (6, 2, 1), "exact", 8.0, 2.0, 3.0, 0.25, 1e-7, Limit(3.0))


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def rejected():
    raise cr.RejectedCertificate("it proves nothing")


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (Limit(3.0), ["3 s", "within"]),
        (Limit(2.9), ["2.9 s", "MISSED"]),
        (Limit(0.5, of_solve=True), ["0.5 solve", "within"]),
        (Limit(0.3, of_solve=True), ["0.3 solve", "MISSED"]),
    ],
)
def test_a_check_above_its_limit_is_missed(limit, told):
    row = replace(ROW, limit=limit)
    assert cells(str(row))[-2:] == told
    assert row.within == (told[1] == "within")
    assert checks.report([ROW, row]).passed == row.within


@pytest.mark.parametrize("interval", [False, True])
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_a_certificate_of_patterns_is_measured(kind, interval):
    problem = make_problem(kind)
    certificate = cr.solve(problem).certificate
    row = checks.checked("it", lambda: certificate, Limit(60.0), interval=interval)
    assert (row.scope, row.kind, row.arithmetic) == ("patterns", kind, "interval" if interval else "exact")
    assert row.shape == (problem.n, problem.d, problem.n_outputs)
    assert 0.0 <= row.rel_gap <= certificate.rel_gap + 1e-9
    assert row.solve >= 0.0
    assert row.check > 0.0
    assert row.size > 8e-6 * problem.n  # the dual point


def test_a_certificate_of_all_networks_names_its_proof():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 2)), rng.standard_normal(6)
    row = checks.checked("it", lambda: cr.solve_global(X, y, 0.1).certificate, Limit(60.0))
    assert (row.scope, row.kind, row.shape) == ("global, maximum", "relu", (6, 2, 1))
    assert row.rel_gap <= 1e-6


def test_files_together_cost_their_sum():
    both = checks.together("both", [replace(ROW, kind="gated"), replace(ROW, rel_gap=1e-5, check=1.0)])
    assert (both.kind, both.solve, both.write, both.check, both.size) == ("gated + relu", 16.0, 4.0, 4.0, 0.5)
    assert both.rel_gap == 1e-5
    assert not both.within


def test_of_many_the_slowest_the_missed_and_the_failed_are_told(monkeypatch):
    monkeypatch.setattr(
        checks, "checked", lambda name, solve, limit: replace(ROW, case=name, check=solve(), limit=limit)
    )
    given = [(f"case {seconds}", lambda seconds=seconds: float(seconds)) for seconds in range(30)]
    found = checks.slowest("many", given, Limit(29.0))
    assert [cells(line)[0] for line in found.lines[:-1]] == [f"case {k}" for k in range(29, 19, -1)]
    assert cells(found.lines[-1]) == ["many: 30 of 30 verified, the longest in 29.00 s, 0 above 29 s"]
    assert found.passed
    slower = checks.slowest("many", given, Limit(14.0))
    assert len(slower.lines) == 15 + 1
    assert "15 above 14 s" in slower.lines[-1]
    assert not slower.passed
    failed = checks.slowest("few", [*given[:2], ("bad", rejected)], Limit(60.0))
    assert failed.lines[2] == "| bad | FAILED: it proves nothing |"
    assert "2 of 3 verified" in failed.lines[-1]
    assert not failed.passed


def test_the_command_fails_if_a_limit_is_missed(monkeypatch):
    monkeypatch.setitem(checks.CASES, "good", lambda time_limit: Report([f"within {time_limit:g}"], True))
    monkeypatch.setitem(checks.CASES, "bad", lambda _: checks.report([replace(ROW, check=4.0)]))
    arguments = argparse.Namespace(cases=["good"], images=None, time_limit=7.0)
    assert checks.run(arguments).endswith("within 7")
    arguments.cases = ["good", "bad"]
    with pytest.raises(SystemExit, match=r"within 7\n.*MISSED \|$"):
        checks.run(arguments)


def test_unknown_cases_are_named():
    with pytest.raises(SystemExit, match=r"there is no case 'cats'; choose from demo, .*images-gated.*rigor"):
        checks.measure(["cats"], None, 1.0)
    with pytest.raises(SystemExit, match=r"images-relu.*--images"):
        checks.measure(["images-relu"], None, 1.0)


def test_images_are_checked_with_intervals(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_IMAGE_GATES", 4)
    data = load_digits()
    np.savez(tmp_path / "digits.npz", X=(15.9 * data.data[:60]).astype(np.uint8), y=data.target[:60])
    text, passed = checks.measure(["images-gated"], tmp_path / "digits.npz", 60.0)
    row = cells(text.splitlines()[-1])
    assert row[:7] == ["images-gated", "patterns", "gated", "60", "65", "10", "interval"]
    assert float(row[11]) <= 1.1e-4
    assert row[12:] == ["0.5 solve", "within" if passed else "MISSED"]


def test_rigors_are_called_in_turn(monkeypatch):
    clock, called = [0.0], []
    costs = iter([9.0, 9.0, 1.0, 1.0, 3.0, 2.0, 2.0, 4.0])  # the first two compile

    def work(rigor):
        called.append(rigor)
        clock[0] += next(costs)

    monkeypatch.setattr(rigor.time, "process_time", lambda: clock[0])
    assert rigor.seconds(work, 3) == [2.0, 2.0]
    assert called == ["rounded", "floating_point"] * 4


def test_the_cost_of_rigor_is_judged(monkeypatch):
    monkeypatch.setattr(rigor, "_cases", lambda: [("call", "data", np.ones((6, 2)), None)])
    for rounded, told in ((1.29, "within"), (1.31, "MISSED")):
        monkeypatch.setattr(rigor, "seconds", lambda work, repeats, rounded=rounded: [rounded, 1.0])
        lines, passed = rigor.rigor_table()
        assert cells(lines[-1]) == ["call", "data", "6", "2", f"{rounded:.3f}", "1.000", f"{rounded:.2f}", "1.3", told]
        assert passed == (told == "within")
