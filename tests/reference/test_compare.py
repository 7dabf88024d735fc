"""The comparison of solvers end to end, with users' solvers: honest, broken, slow and lying ones."""

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import cvxrelu as cr
from reference.compare import judge, run, run_function
from reference.compare.ladder import Effort, run_ladder
from reference.compare.results import COLUMNS, append, read
from reference.compare.run import Plan, compare
from reference.compare.solvers import SOLVERS, find, listing
from reference.instances import select
from reference.instances.instance import Instance
from reference.peers.job import Clock, load
from tests.helpers.needs import needs

ROOT = Path(__file__).parents[2]
TINY = Instance("wide", "gated", 6, 0.3, "small")
SOLVERS_OF_A_USER = '''
import time
import numpy as np

def honest(problem, tol, time_limit):
    """Proximal gradient steps; the program is C-GReLU, the penalty group-l1."""
    D, X, y = np.asarray(problem.patterns.D, dtype=float), problem.X, problem.y
    A = np.hstack([D[:, [i]] * X for i in range(D.shape[1])])
    step = len(y) / np.linalg.norm(A, 2) ** 2
    u = np.zeros(A.shape[1])
    for _ in range(20_000):
        v = (u - step * A.T @ (A @ u - y) / len(y)).reshape(D.shape[1], -1)
        size = np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)
        u = (np.maximum(1 - step * problem.lam / size, 0) * v).ravel()
    return u.reshape(1, D.shape[1], -1)

def broken(problem, tol, time_limit):
    raise RuntimeError("it is not my day")

def nothing(problem, tol, time_limit):
    return np.full((1, len(problem.patterns), problem.d), np.nan)

def misshapen(problem, tol, time_limit):
    return np.zeros((3, 2, 1))

def sleepy(problem, tol, time_limit):
    if problem.n > 10:  # not in the warm-up
        time.sleep(3600)

def lying(problem, tol, time_limit):
    """Claim zero weights to be optimal."""
    return np.zeros((1, len(problem.patterns), problem.d))
'''


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(SOLVERS_OF_A_USER)
    return lambda name: find(f"{path}:{name}")


def plan(tmp_path, **changes):
    return replace(Plan((0.1, 1e-6), Effort(threads=1, timeout=200.0), 1, tmp_path / "results.csv"), **changes)


def rows_of(table, name):
    return table[table["solver"].str.endswith(name)].to_dict("records")


def test_end_to_end_and_resumed(tmp_path, own, monkeypatch):
    solvers = [find("cvxrelu"), *(own(name) for name in ("honest", "broken", "lying"))]
    table = compare([TINY], solvers, plan(tmp_path))
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 2 * len(solvers)
    assert table["lower"].nunique() == 1
    assert cr.solve(TINY.problem(), tol=1e-8).objective == pytest.approx(table["lower"].iloc[0], rel=1e-7)

    for good in ("cvxrelu", "honest"):
        loose, tight = rows_of(table, good)
        assert (loose["status"], tight["status"]) == ("answered", "answered")
        assert loose["accuracy"] <= 0.1
        assert -1e-9 <= tight["accuracy"] <= 1e-6
        assert tight["certified_gap"] >= 0.0
        assert 0.0 < tight["seconds"] < 200.0
    for row in rows_of(table, "lying"):
        assert row["status"] == "answered"
        assert row["claimed"] == ""  # a function reports no status
        assert row["accuracy"] > 0.1  # judged, not believed
    first, second = rows_of(table, "broken")
    assert first["status"] == "failed"
    assert first["note"] == "RuntimeError: it is not my day"
    assert (second["status"], second["note"]) == ("not_run", "failed at 0.1")

    monkeypatch.setattr(run, "_task", None)  # nothing is left to run
    again = compare([TINY], solvers, plan(tmp_path))
    assert again.equals(table)


@pytest.mark.parametrize(("name", "words"), [("nothing", "must be finite"), ("misshapen", "must have shape")])
def test_answers_that_are_no_weights_are_refused(tmp_path, own, name, words):
    run._write(tmp_path / "problem.npz", TINY.problem(), 0.0)
    own(name)
    options = argparse.Namespace(solver=f"{tmp_path}/own.py:{name}", tol=1e-3, time_limit=10.0)
    with pytest.raises(ValueError, match=words):
        run_function.solve(load(tmp_path / "problem.npz"), options, Clock(tmp_path / "running"))


def test_what_takes_too_long_is_stopped(tmp_path, own):
    table = compare([TINY], [own("sleepy")], plan(tmp_path, effort=Effort(1, 4.0)))
    assert table["status"].tolist() == ["timeout", "not_run"]
    assert table["note"].tolist() == ["stopped, 4 s allowed", "out of time at 0.1"]
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{tmp_path}/own.py:sleepy" not in processes


@needs("matplotlib")
def test_interrupted_and_resumed(tmp_path):
    """Runs finished before the process was killed are not repeated."""
    out = tmp_path / "results.csv"
    command = [sys.executable, "-m", "reference", "compare", "--instances", "wide/gated*", "collinear/gated*"]
    command += ["--solvers", "cvxrelu", "--asked", "1e-2", "--n-jobs", "1", "--out", str(out)]
    first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    while first.poll() is None and not (out.exists() and "cvxrelu" in out.read_text()):
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = out.read_text()
    assert len(before.splitlines()) <= 3  # the header, and finished runs
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.read_text().startswith(before)
    assert set(read(out)["instance"]) == {each.name for each in select(["wide/gated*", "collinear/gated*"])}
    assert f"{len(read(out))} rows in {out}" in done.stdout


def test_other_settings_are_refused(tmp_path):
    assert compare([], [], plan(tmp_path)).empty
    with pytest.raises(ValueError, match="timeout: 200.0 in the file, 5.0 now"):
        compare([], [], plan(tmp_path, effort=Effort(1, 5.0)))


def test_solvers_are_found():
    assert find("CLARABEL") is SOLVERS["CLARABEL"]
    with pytest.raises(ValueError, match="there is no solver 'mine'; choose from cvxrelu, .*FILE.py:NAME"):
        find("mine")
    with pytest.raises(ValueError, match="there is no Python file 'missing.py'"):
        find("missing.py:solve")
    lines = listing().splitlines()
    assert len(lines) == len(SOLVERS)
    assert any(line.split() == ["CLARABEL", "clarabel", version("clarabel")] for line in lines)


def test_what_a_solver_does_not_support_is_not_run(tmp_path, monkeypatch):
    (softmax,) = select(["iris/gated/softmax/*"])
    adelie = replace(SOLVERS["adelie"], missing=lambda: None)
    table = compare([softmax], [adelie], plan(tmp_path))
    assert table["status"].tolist() == ["not_run", "not_run"]
    assert table["note"].tolist() == ["not supported: softmax loss"] * 2


def test_without_a_licence(tmp_path):
    solver = replace(SOLVERS["MOSEK"], missing=lambda: "no licence")
    table = compare([TINY], [solver], plan(tmp_path))
    assert set(table["status"]) == {"not_run"}
    assert set(table["note"]) == {"no licence"}


@needs("ecos")
def test_cones_that_a_solver_does_not_know(tmp_path):
    (nuclear,) = select(["wine/gated/*nuclear"])
    table = compare([nuclear], [SOLVERS["ECOS"]], plan(tmp_path))
    assert set(table["status"]) == {"not_run"}
    assert table["note"].str.startswith("not supported: squared loss with penalty nuclear").all()


def test_the_judge_repairs_and_measures():
    """Weights outside their cones are judged after repair."""
    problem = Instance("wide", "relu", 4, 0.1, "small").problem()
    solution = cr.solve(problem, tol=1e-8)
    blocks = problem.blocks(solution.weights)
    exact = judge.judge(problem, blocks, solution.lower)
    assert 0.0 <= exact.accuracy <= 1e-8
    off = judge.judge(problem, blocks - 0.01 * np.abs(blocks).max(), solution.lower)
    assert off.violation > 1e-4
    assert off.accuracy > exact.accuracy
    assert off.objective >= solution.lower
    with pytest.raises(ValueError, match="finite"):
        judge.judge(problem, np.full_like(blocks, np.nan), 0.0)


def test_a_network_is_judged_by_its_own_objective():
    problem = Instance("wide", "relu", 4, 0.1, "small").problem()
    network = cr.solve(problem, tol=1e-8).network()
    verdict = judge.judge_network(problem, network.W1, network.w2[:, None], 1e-3)
    assert verdict.objective == pytest.approx(network.objective(problem.X, problem.y, problem.lam), rel=1e-12)
    assert np.isnan(verdict.certified_gap)


def test_files_that_are_not_results(tmp_path):
    path = tmp_path / "results.csv"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read(path)
    path.write_text("instance,solver\na,b\n")
    with pytest.raises(ValueError, match="its columns differ"):
        read(path)
    path.write_text("")
    with pytest.raises(ValueError, match="not a results file"):
        read(path)
    path.unlink()
    append(path, [dict.fromkeys(COLUMNS, 1) | {"status": "solved"}])
    with pytest.raises(ValueError, match="unknown status"):
        read(path)


def test_answers_come_in_the_order_asked(tmp_path):
    given = tmp_path / "problem.npz"
    problem = TINY.problem()
    run._write(given, problem, 0.0)
    solver = SOLVERS["cvxrelu"]
    outcomes = list(
        run_ladder(solver, given, solver.options(problem), (1e-1, 1e-3, 1e-6), Effort(1, 200.0), os.getpid())
    )
    lower = judge.lower_bound(TINY, problem)
    accuracies = [judge.judge(problem, outcome.arrays["U"], lower).accuracy for outcome in outcomes]
    assert all(found <= asked for found, asked in zip(accuracies, (1e-1, 1e-3, 1e-6), strict=True))
