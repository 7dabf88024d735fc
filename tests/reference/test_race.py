"""Logic of the race, without peers and their data: choice of settings, ratios, table, file, data."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cvxrelu as cr
from reference.datasets import prepare as data
from reference.peers import PEERS_SCRIPTS, job, run_cvxpy
from reference.race import cases as race_cases
from reference.race import command as race
from reference.race import path as race_path
from reference.race import peers as race_peers
from reference.race.cases import CASES, KINDS, Case, Entrant, Peer, select
from reference.race.peers import Answer, Effort, NoAnswerError, enter
from reference.race.results import (
    Entry,
    Ours,
    Ratio,
    Result,
    Trial,
    best_entry,
    choose,
    geometric_mean,
    ratio,
    resume,
    save,
    summary,
    table,
)
from tests.helpers.needs import needs

EFFORT = Effort(repeats=5, threads=1, timeout=10.0)


def entry(peer="adelie", seconds=2.0, *, reached=True, asked=1e-6, accuracy=5e-7, **more):
    trial = Trial("path 5, tol 1e-9", seconds, accuracy, 3e-5, **more)
    return Entry(peer, asked, reached, trial, [seconds], [trial], {"adelie": "1.0"})


def ours(seconds=0.5, *, reached=True):
    return Ours("RFISTA", [seconds, 9.0, 0.1], reached, 4e-7, 0.0, 65, 0.5 - 1e-9, 0.5)


def result(name="sonar/P=500/0.3lam_max", entries=(), **options):
    return Result(name, 208, 61, 500, 1e-3, 0.7, ours(**options), list(entries))


# --- the choice ---------------------------------------------------------------------------------------------


def test_the_fastest_trial_within_the_accuracy_is_chosen():
    trials = [
        Trial("loose", 0.1, 1e-3),
        Trial("tight", 3.0, 1e-9),
        Trial("right", 1.0, 1e-6),
        Trial("late", 0.5, note="stopped"),
    ]
    assert choose(trials, 1e-6) == (trials[2], True)
    assert choose(trials, 1e-12) == (trials[1], False)  # the most accurate: its time is a lower bound
    assert choose([trials[3], Trial("later", 9.0, note="stopped")], 1.0)[0].setting == "later"


def test_a_race_looks_for_the_loosest_accurate_tolerance_of_each_variant(monkeypatch):
    """The first variant is accurate from 1e-4 on, the second from 1e-2, the third from 1e-5, the fourth never."""
    loosest = {"a": 4, "b": 2, "c": 5, "d": 9}
    tried = []

    def run(peer, tol, options, given, repeats, threads, limit):
        tried.append(f"{options[0]} {tol}")
        accurate = int(tol[3:]) >= loosest[options[0]]
        metadata = {"versions": {}, "violation": None, "converged": True}
        return Answer(np.full(1, 0.0 if accurate else 1.0), None, [1.0] * repeats, metadata)

    monkeypatch.setattr(race_peers, "run_peer", run)
    tols = tuple(f"1e-{k}" for k in range(1, 7))
    peer = Peer("it", "it.py", Path(), "gated", tols, {name: (name,) for name in "abcd"})
    enter(Entrant(peer, 0.5), Path(), lambda answer: float(answer.blocks[0]), 0.0, replace(EFFORT, repeats=1))
    assert tried == [
        *(f"a 1e-{k}" for k in (1, 2, 3, 4)),
        *(f"b 1e-{k}" for k in (3, 2, 1)),
        *(f"c 1e-{k}" for k in (1, 2, 3, 4, 5)),
        *(f"d 1e-{k}" for k in (4, 5, 6)),
    ]


def test_a_race_leaves_a_variant_when_it_is_accurate_or_too_slow(monkeypatch):
    """Seconds and accuracy of a peer are given here: a is accurate at 1e-2, b is slower, c hangs, d is faster."""
    told = {
        ("a", "1e-1"): (1.0, 1e-1),
        ("a", "1e-2"): (2.0, 1e-3),
        ("b", "1e-1"): (4.5, 1e-1),
        ("b", "1e-2"): (5.0, 1e-2),
        ("c", "1e-1"): None,
        ("d", "1e-1"): (0.5, 1e-1),
        ("d", "1e-2"): (1.5, 9.5e-3),
    }
    limits = {}

    def run(peer, tol, options, given, repeats, threads, limit):
        limits[options[0], tol, repeats] = limit
        answer = told[options[0], tol]
        if answer is None:
            raise NoAnswerError("stopped", limit)
        seconds, accuracy = answer
        metadata = {"versions": {"it": "1"}, "violation": None, "converged": True}
        return Answer(np.full(1, accuracy), None, [seconds + k for k in range(repeats)], metadata)

    monkeypatch.setattr(race_peers, "run_peer", run)
    peer = Peer("it", "it.py", Path(), "gated", ("1e-1", "1e-2"), {name: (name,) for name in "abcd"})
    found = enter(Entrant(peer, 9e-3), Path(), lambda answer: float(answer.blocks[0]), 1e-3, EFFORT)
    tried = [(trial.setting[0], trial.setting[-4:]) for trial in found.trials]
    assert tried == [("a", "1e-1"), ("a", "1e-2"), ("b", "1e-1"), ("c", "1e-1"), ("d", "1e-1"), ("d", "1e-2")]
    assert found.reached
    assert found.chosen.setting == "d, tol 1e-2"  # 9.5e-3 is within 9e-3 and the allowance of 1e-3
    assert found.seconds == [1.5, 1.5, 2.5, 3.5, 4.5]  # the first run and four more
    assert limits["a", "1e-1", 1] == 10.0
    assert limits["c", "1e-1", 1] == 4.0  # twice the fastest
    assert found.trials[3] == Trial("c, tol 1e-1", 4.0, note="stopped")
    assert found.versions == {"it": "1"}

    far = enter(Entrant(peer, 1e-9), Path(), lambda answer: float(answer.blocks[0]), 0.0, EFFORT)
    assert not far.reached
    assert far.chosen.setting == "a, tol 1e-2"
    assert far.seconds == [2.0]

    told["a", "3e-2"] = told["d", "3e-2"] = (0.2, 5e-3)
    fine = enter(
        Entrant(replace(peer, refined=True), 1e-2), Path(), lambda answer: float(answer.blocks[0]), 0.0, EFFORT
    )
    assert [trial.setting for trial in fine.trials[:3]] == ["a, tol 1e-1", "a, tol 1e-2", "a, tol 3e-2"]
    assert fine.chosen.setting == "a, tol 3e-2"


def script(tmp_path, text):
    path = tmp_path / "peer.py"
    path.write_text(text)
    return Peer("it", str(path), Path(sys.executable), "gated", ("1e-1",), {"": ()}, startup=0.0)


def test_a_peer_that_fails_or_hangs_gives_no_answer(tmp_path):
    failing = script(tmp_path, "raise SystemExit('out of luck')")
    found = enter(Entrant(failing, 1.0), tmp_path, lambda _: 0.0, 0.0, replace(EFFORT, timeout=300.0))
    assert not found.reached
    assert found.chosen.note == "failed with status 1: out of luck"
    failing = script(tmp_path, "raise ValueError('two\\nlines')")
    found = enter(Entrant(failing, 1.0), tmp_path, lambda _: 0.0, 0.0, replace(EFFORT, timeout=300.0))
    assert found.chosen.note == "failed with status 1: ValueError: two lines"
    hanging = script(tmp_path, "import time; time.sleep(3600)")
    found = enter(Entrant(hanging, 1.0), tmp_path, lambda _: 0.0, 0.0, replace(EFFORT, timeout=0.2))
    assert (found.reached, found.median, found.chosen.accuracy) == (False, 0.2, None)


@pytest.mark.parametrize("backend", ["CLARABEL", pytest.param("ECOS", marks=needs("ecos")), "SCS"])
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_cvxpy_runs_as_a_peer_does(tmp_path, kind, backend):
    """One run at the solver's tolerance, in the file format of the peers."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    cls = cr.ConvexGatedReLU if kind == "gated" else cr.ConvexReLU
    problem = cls(X, y, cr.sample_patterns(X, 4, seed=0), lam=0.02)
    given, out = tmp_path / "problem.npz", tmp_path / "out.npz"
    race_peers.write_problem(given, problem)
    case = next(case for case in CASES if case.kind == kind)
    peer = next(entrant.peer for entrant in case.entrants if entrant.peer.name == backend)
    options = ["--solver", peer.solver, "--tol", "1e-7", *next(iter(peer.variants.values()))]
    arguments = run_cvxpy.command_line().parse_args([str(given), str(out), *options])
    job.run(arguments, job.load(given), run_cvxpy.solve, ())
    answer = race_peers.read_answer(out)
    best = cr.solve(problem, "CLARABEL", tol=1e-7)
    assert problem.objective(problem.weights(answer.blocks)) == pytest.approx(best.objective, rel=1e-5)
    assert answer.metadata["converged"]
    assert answer.metadata["compile_seconds"] > 0.0
    assert answer.metadata["violation"]["max"] >= 0.0
    assert answer.seconds[0] > 0.0


# --- ratios, table, file ------------------------------------------------------------------------------------


def test_ratios_say_what_they_bound():
    assert str(ratio(ours(), entry(seconds=2.0))) == "4"
    assert str(ratio(ours(), entry(reached=False))) == ">=4"
    assert str(ratio(ours(reached=False), entry())) == "<=4"
    assert str(ratio(ours(reached=False), entry(reached=False))) == "?4"


def test_geometric_mean():
    assert geometric_mean([Ratio(2.0), Ratio(8.0)]).value == pytest.approx(4.0)
    assert geometric_mean([Ratio(2.0), Ratio(8.0)]).mark == ""
    assert geometric_mean([Ratio(2.0), Ratio(8.0, ">=")]).mark == ">="
    assert geometric_mean([Ratio(2.0, "<="), Ratio(8.0, ">=")]).mark == "?"


def test_the_best_peer_reached_what_was_asked():
    fast, slow = entry("ECOS", 1.0, reached=False), entry("CLARABEL", 30.0)
    loose = entry("pyscnn", 0.1, asked=1e-4)
    assert best_entry([fast, slow, loose]) is slow
    assert best_entry([replace(slow, reached=False), fast]) is fast
    assert best_entry([]) is None


def test_table_and_summary():
    results = [
        result("one", [entry(), entry("ECOS", 50.0, reached=False, asked=1e-6, compile_seconds=1.5)]),
        result("two", [entry(seconds=0.5)]),
        result("three", reached=False),
    ]
    lines = table(results)
    assert len(lines) == 5
    assert lines[1].split()[:10] == ["one", "208", "61", "500", "1.000e-03", "65", "0.5", "4.0e-07", "0", "2.0e-09"]
    assert lines[1].split()[10:15] == ["adelie", "2", "5.0e-07", "3.0e-05", "4"]
    assert lines[1].endswith("  path 5, tol 1e-9")
    assert lines[2].split()[:5] == ["ECOS", ">=50", "5.0e-07", "3.0e-05", ">=100"]
    assert lines[2].endswith("path 5, tol 1e-9; 1e-06 not reached; compiled in 1.5 s")
    assert lines[1].index("adelie") == lines[2].index("ECOS") == lines[0].index("peer")
    assert "4.0e-07!" in lines[4]
    means = [" ".join(line.split()) for line in summary(results)]
    assert means == [
        "adelie / ours geometric mean 2 of 2; smallest 1 (two)",
        "ECOS / ours geometric mean >=100 of 1; smallest >=100 (one)",
        "best interior point / ours geometric mean >=100 of 1; smallest >=100 (one)",
        "best peer / ours geometric mean 2 of 2; smallest 1 (two)",
    ]


def test_a_race_goes_on_from_its_file_and_no_other(tmp_path):
    path = tmp_path / "new" / "race.json"
    assert resume(path, {"threads": 1}) == []
    results = [result("one", [entry(), entry("SCS", accuracy=None, note="stopped")]), result("two")]
    save(path, {"threads": 1}, results)
    assert resume(path, {"threads": 1}) == results
    assert json.loads(path.read_text())["header"] == {"threads": 1}
    with pytest.raises(ValueError, match="threads: 1 in the file, 2 now"):
        resume(path, {"threads": 2})


# --- cases --------------------------------------------------------------------------------------------------


def test_cases_have_names_of_their_own():
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)
    assert [len(select(kind, [], [])) for kind in KINDS] == [14, 6, 2]
    assert len(select("gated", ["phoneme", "spambase/P=500/lam=0.0005"], [])) == 4
    (case,) = select("relu", ["breast_cancer/P=50/lam=0.001"], ["ECOS", "adelie"])
    assert [entrant.peer.name for entrant in case.entrants] == ["adelie", "ECOS"]
    with pytest.raises(ValueError, match="no gated case 'mnist'"):
        select("gated", ["mnist"], [])
    with pytest.raises(ValueError, match="no peer 'mosek'"):
        select("gated", [], ["mosek"])


def test_every_script_of_a_peer_exists():
    scripts = {entrant.peer.script for case in CASES for entrant in case.entrants}
    assert scripts == {"run_adelie.py", "run_cvxpy.py", "run_pyscnn.py"}
    assert all((PEERS_SCRIPTS / script).exists() for script in scripts)


def test_a_peer_is_run_by_its_script(tmp_path):
    """By the name of the script alone, as the cases have it."""
    problem = Case("gated", "breast_cancer", 4, (), lam=1e-2, rows=40).problem()
    race_peers.write_problem(tmp_path / "problem.npz", problem)
    peer = Peer("CLARABEL", "run_cvxpy.py", Path(sys.executable), "gated", ("1e-6",), {})
    options = ("--backend", "CLARABEL")
    answer = race_peers.run_peer(peer, "1e-6", options, tmp_path / "problem.npz", 1, 1, 300.0)
    assert problem.objective(problem.weights(answer.blocks)) == pytest.approx(cr.solve(problem).objective, rel=1e-5)


def test_a_case_builds_its_problem():
    gated = Case("gated", "breast_cancer", 5, (), lam_ratio=0.25).problem()
    assert isinstance(gated, cr.ConvexGatedReLU)
    assert gated.lam == pytest.approx(0.25 * gated.lam_max(), rel=1e-12)
    relu = Case("relu", "breast_cancer", 5, (), lam=1e-3, rows=40).problem()
    assert isinstance(relu, cr.ConvexReLU)
    assert (relu.n, relu.lam) == (40, 1e-3)


def test_a_path_is_judged_by_its_worst_point(monkeypatch):
    given = {}

    def enter(entrant, path, judge, allowance, effort):
        with np.load(path) as arrays:
            lams = arrays["lams"]
            assert lams[-1] == arrays["lam"]
        problem = Case("path", "breast_cancer", 4, ()).problem()
        exact = [cr.solve(problem.with_lam(lam), "RFISTA", tol=1e-5).weights for lam in lams]
        given["near"] = judge(Answer(exact[-1], np.stack(exact), [1.0], {}))
        exact[7] = np.zeros_like(exact[7])
        given["far"] = judge(Answer(exact[-1], np.stack(exact), [1.0], {}))
        given["short"] = judge(Answer(exact[-1], np.stack(exact[:9]), [1.0], {}))
        return entry()

    monkeypatch.setattr(race_path, "enter", enter)
    monkeypatch.setattr(race_path, "N_LAMS", 10)
    peer = Peer("it", "it.py", Path(), "gated", (), {})
    case = Case("path", "breast_cancer", 4, (Entrant(peer, 1e-4),), lam_ratio=1e-3)
    found = race_path.race(case, "RFISTA", 1e-3, replace(EFFORT, repeats=1))
    assert found.ours.reached
    assert found.ours.gap <= 1e-3
    assert found.ours.width == 0.0
    assert -1e-3 <= given["near"] <= 1e-5
    assert given["far"] > 1e-2
    assert given["short"] == np.inf


# --- data ---------------------------------------------------------------------------------------------------


def test_keel_files_are_read_and_prepared(tmp_path, monkeypatch):
    (tmp_path / "sonar.dat").write_text("1, 5.0, 2.5, M\n2, 5.0, 0.0, R\n4, 5.0, -1.0, M\n")
    X, ranks = data.read_dat(tmp_path / "sonar.dat")
    np.testing.assert_array_equal(X, [[1.0, 5.0, 2.5], [2.0, 5.0, 0.0], [4.0, 5.0, -1.0]])
    np.testing.assert_array_equal(ranks, [0, 1, 0])
    monkeypatch.setattr(data, "keel_folder", lambda: tmp_path)
    X, y = data.load("sonar")
    np.testing.assert_array_equal(y, [-1.0, 1.0, -1.0])
    assert X.shape == (3, 3)  # without the constant feature, with the bias
    np.testing.assert_allclose(np.linalg.norm(X, axis=0), 1.0)
    np.testing.assert_allclose(X[:, :-1].sum(axis=0), 0.0, atol=1e-15)
    np.testing.assert_array_equal(X[:, -1], 3**-0.5)
    two = np.random.default_rng(0).permutation(3)[:2]
    np.testing.assert_array_equal(data.load("sonar", 2)[1], y[two])


def test_wrong_data_are_refused(tmp_path, monkeypatch):
    (tmp_path / "sonar.dat").write_text("1, a\n2, b\n3, c\n")
    with monkeypatch.context() as patch:
        patch.setattr(data, "keel_folder", lambda: tmp_path)
        with pytest.raises(ValueError, match="sonar must have two classes; it has 3"):
            data.load("sonar")
    with pytest.raises(ValueError, match="no data set 'iris'"):
        data.load("iris")
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="make extras"):
        data.load("sonar")


# --- end to end ----------------------------------------------------------------------------------------------


def test_a_race_is_run_saved_and_gone_on_with(tmp_path, monkeypatch, capsys):
    """Breast cancer with five gates; the peer answers with our own weights at another tolerance."""
    python = Peer("adelie", "it.py", Path(sys.executable), "gated", ("1e-1", "1e-2"), {"": ()})
    case = Case("gated", "breast_cancer", 5, (Entrant(python, 1e-4),), lam=1e-3)
    monkeypatch.setattr(race_cases, "CASES", (case,))

    def run(peer, tol, options, given, repeats, threads, limit):
        weights = cr.solve(case.problem(), "RFISTA", tol=1e-1 if tol == "1e-1" else 1e-5).weights
        metadata = {"versions": {"it": "1"}, "violation": None, "converged": True}
        return Answer(weights, None, [100.0] * repeats, metadata)

    monkeypatch.setattr(race_peers, "run_peer", run)
    plan = race.Plan("gated", "RFISTA", 1e-5, [], [], replace(EFFORT, timeout=200.0), tmp_path / "race.json", False)
    report = race.measure(plan)
    assert "medians of 5" in report
    assert "it 1" in report.splitlines()[-1]
    (found,) = json.loads((tmp_path / "race.json").read_text())["results"]
    assert found["ours"]["reached"]
    assert found["ours"]["violation"] == 0.0
    assert 0.0 <= found["ours"]["upper"] - found["ours"]["lower"] <= 1e-6 * found["ours"]["upper"]
    assert found["entries"][0]["reached"]
    assert found["entries"][0]["chosen"]["setting"] == "tol 1e-2"
    capsys.readouterr()
    assert race.measure(replace(plan, resume=True)) == report
    assert "adelie" not in capsys.readouterr().out  # nothing is run again
    with pytest.raises(SystemExit, match="solver: RFISTA in the file, auto now"):
        race.measure(replace(plan, solver="auto", resume=True))


def test_a_race_says_what_is_missing(tmp_path, monkeypatch):
    plan = race.Plan("gated", "RFISTA", 1e-5, ["mnist"], [], EFFORT, tmp_path / "race.json", False)
    with pytest.raises(SystemExit, match="no gated case 'mnist'"):
        race.measure(plan)
    absent = Peer("adelie", "it.py", tmp_path / "python", "gated", ("1e-1",), {"": ()})
    monkeypatch.setattr(race_cases, "CASES", (Case("gated", "sonar", 5, (Entrant(absent, 1e-4),)),))
    with pytest.raises(SystemExit, match="make peers"):
        race.measure(replace(plan, cases=[]))
