"""Tolerances of the solvers for the requested accuracies."""

import os
import subprocess
from dataclasses import replace

import pytest

from reference.compare import run
from reference.compare.ladder import Effort
from reference.compare.run import Plan, compare
from reference.compare.solvers import SOLVERS
from reference.compare.tolerances import decades
from reference.instances.instance import Instance

ASKED = (1e-1, 1e-2, 1e-6)


def answered(accuracy):
    return {"status": "answered", "accuracy": accuracy}


def pairs(*judged):
    return list(run._first_that_reach(ASKED, judged))


def test_an_accuracy_belongs_to_the_first_answer_that_has_it():
    rows = [answered(0.5), answered(0.005), answered(1e-4), answered(1e-7), answered(1e-9)]
    assert pairs(*rows) == [(1e-1, rows[1]), (1e-2, rows[1]), (1e-6, rows[3])]


def test_nothing_is_run_when_all_is_reached():
    def judged():
        yield answered(1e-8)
        raise AssertionError

    assert [asked for asked, _ in run._first_that_reach(ASKED, judged())] == list(ASKED)


@pytest.mark.parametrize("status", ["timeout", "failed"])
def test_what_no_answer_has_belongs_to_the_last_run(status):
    last = {"status": status}
    assert pairs(answered(0.05), last) == [(1e-1, answered(0.05)), (1e-2, last)]
    assert pairs(last) == [(1e-1, last)]
    assert pairs(answered(0.5), answered(0.3)) == [(1e-1, answered(0.3))]


@pytest.mark.parametrize("name", ["adelie", "pyscnn"])
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_decades_fall(name, kind):
    tols = decades(name, kind, ASKED)
    assert tols == sorted(set(tols), reverse=True)


def test_a_solver_is_searched_until_what_is_asked_is_reached(tmp_path):
    """By our solver, whose accuracy is within its tolerance: the loosest reaches no accuracy, the last is not tried."""
    tols = [0.5, 1e-3, 1e-7, 1e-8]
    solver = replace(SOLVERS["cvxrelu-RFISTA"], tols=lambda kind, asked: tols, searched=True)
    plan = Plan(ASKED, Effort(1, 200.0), 1, tmp_path / "results.csv")
    table = compare([Instance("wide", "gated", 6, 0.3, "small")], [solver], plan)
    assert table["status"].tolist() == ["answered"] * 3
    assert (table["accuracy"] <= table["asked"]).all()
    listed = subprocess.run(
        ["ps", "-o", "args", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    assert "run_function" not in listed.stdout  # it was stopped before its last tolerance
