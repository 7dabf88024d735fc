"""Peers of the race: choice of settings, turns, processes."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cvxrelu as cr
from reference.peers import job, run_cvxpy
from reference.race import entrants as race_entrants
from reference.race import peers as race_peers
from reference.race.cases import Case
from reference.race.entrants import Entrant, Peer
from reference.race.peers import Contender, enter, take_turns
from reference.race.results import (
    Trial,
    choose,
)
from reference.race.server import NoAnswerError, Server, read_answer, write_problem
from tests.helpers.needs import needs
from tests.helpers.race import EFFORT, Fake, accuracy_of, entry, peer


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


def test_a_race_looks_for_the_loosest_accurate_tolerance_of_each_variant():
    """The first variant is accurate from 1e-4 on, the second from 1e-2, the third from 1e-5, the fourth never."""
    loosest = {"a": 1e-4, "b": 1e-2, "c": 1e-5, "d": 1e-9}
    server = Fake(lambda name, tol: (1.0, 0.0 if tol <= loosest[name] else 1.0))
    enter(Entrant(peer("abcd", tuple(f"1e-{k}" for k in range(1, 7))), 0.5), server, accuracy_of, 0.0, EFFORT)
    assert [(settings["name"], settings["tol"]) for settings, _ in server.asked] == [
        *(("a", float(f"1e-{k}")) for k in (1, 2, 3, 4)),
        *(("b", float(f"1e-{k}")) for k in (3, 2, 1)),
        *(("c", float(f"1e-{k}")) for k in (1, 2, 3, 4, 5)),
        *(("d", float(f"1e-{k}")) for k in (4, 5, 6)),
    ]


def test_a_race_leaves_a_variant_when_it_is_accurate_or_too_slow():
    """Seconds and accuracy of a peer are given here: a is accurate at 1e-2, b is slower, c hangs, d is faster."""
    told = {
        ("a", 1e-1): (1.0, 1e-1),
        ("a", 1e-2): (2.0, 1e-3),
        ("b", 1e-1): (4.5, 1e-1),
        ("b", 1e-2): (5.0, 1e-2),
        ("c", 1e-1): None,
        ("d", 1e-1): (0.5, 1e-1),
        ("d", 1e-2): (1.5, 9.5e-3),
    }
    server = Fake(lambda name, tol: told[name, tol])
    found = enter(Entrant(peer("abcd"), 9e-3), server, accuracy_of, 1e-3, EFFORT)
    tried = [(trial.setting[0], trial.setting[-4:]) for trial in found.entry.trials]
    assert tried == [("a", "1e-1"), ("a", "1e-2"), ("b", "1e-1"), ("c", "1e-1"), ("d", "1e-1"), ("d", "1e-2")]
    assert found.entry.reached
    assert found.entry.chosen.setting == "d, tol 1e-2"  # 9.5e-3 is within 9e-3 and the allowance of 1e-3
    assert found.settings == {"name": "d", "tol": 1e-2}
    assert [limit for _, limit in server.asked] == [10.0, 10.0, 4.0, 4.0, 4.0, 4.0]  # twice the fastest
    assert found.entry.trials[3] == Trial("c, tol 1e-1", 4.0, note="stopped")
    assert found.entry.versions == {"it": "1"}

    far = enter(Entrant(peer("abcd"), 1e-9), server, accuracy_of, 0.0, EFFORT).entry
    assert not far.reached
    assert far.chosen.setting == "a, tol 1e-2"
    assert far.seconds == [2.0]

    told["a", 3e-2] = told["d", 3e-2] = (0.2, 5e-3)
    fine = enter(Entrant(peer("abcd", refined=True), 1e-2), server, accuracy_of, 0.0, EFFORT).entry
    assert [trial.setting for trial in fine.trials[:3]] == ["a, tol 1e-1", "a, tol 1e-2", "a, tol 3e-2"]
    assert fine.chosen.setting == "a, tol 3e-2"


def test_a_variant_that_fails_is_left():
    server = Fake(lambda name, tol: None if name == "a" else (1.0, 1e-3))
    found = enter(Entrant(peer("ab"), 1e-2), server, accuracy_of, 0.0, EFFORT).entry
    assert [trial.setting for trial in found.trials] == ["a, tol 1e-1", "b, tol 1e-1"]
    assert found.chosen.setting == "b, tol 1e-1"


def test_one_thread_is_tried_in_a_race_with_several():
    server = Fake(lambda name, tol, threads=2: (threads, 1e-3))
    entrant = Entrant(peer("a", threaded=True), 1e-2)
    assert enter(entrant, server, accuracy_of, 0.0, EFFORT).entry.chosen.setting == "a, tol 1e-1"
    found = enter(entrant, server, accuracy_of, 0.0, replace(EFFORT, threads=2))
    assert found.entry.chosen.setting == "a, tol 1e-1, one thread"
    assert found.settings == {"name": "a", "tol": 1e-1, "threads": 1}


def test_the_setting_of_an_earlier_race_is_run_alone_while_it_is_accurate():
    asked = peer("ab", refined=True, threaded=True)
    found = enter(Entrant(asked, 1e-2), Fake(lambda name, tol: (2.0, tol if name == "b" else 1.0)), accuracy_of, 0.0,
                  EFFORT).entry  # fmt: skip
    assert found.chosen.setting == "b, tol 1e-2"

    same = Fake(lambda name, tol: (1.0, 1e-3))
    again = enter(Entrant(asked, 1e-2, found), same, accuracy_of, 0.0, replace(EFFORT, threads=2))
    assert [settings for settings, _ in same.asked] == [{"name": "b", "tol": 1e-2}]
    assert again.entry.reached
    assert again.settings == {"name": "b", "tol": 1e-2}

    half, worse = "a, tol 3e-1", Fake(lambda name, tol, threads=2: (1.0, 1.0))
    earlier = replace(found, chosen=replace(found.chosen, setting=f"{half}, one thread"))
    missed = enter(Entrant(asked, 1e-2, replace(earlier, reached=False)), worse, accuracy_of, 0.0, EFFORT).entry
    assert [settings for settings, _ in worse.asked] == [{"name": "a", "tol": 3e-1, "threads": 1}]
    assert (missed.reached, missed.chosen.setting) == (False, f"{half}, one thread")
    enter(Entrant(asked, 1e-2, earlier), worse, accuracy_of, 0.0, EFFORT)
    assert len(worse.asked) == 1 + 1 + 4  # it was accurate: search again

    enter(Entrant(asked, 0.1, replace(earlier, asked=1e-2, reached=False)), worse, accuracy_of, 0.0, EFFORT)
    assert len(worse.asked) == 6 + 1 + 4  # it missed a stricter accuracy

    other = replace(found, chosen=replace(found.chosen, setting="path 5, tol 1e-9"))
    assert enter(Entrant(asked, 1e-2, other), same, accuracy_of, 0.0, EFFORT).entry.chosen.setting == "a, tol 1e-1"


def test_ours_and_the_close_peers_take_turns():
    """The fastest and one within four times; a third is too slow, a fourth missed its accuracy."""
    log, left = [], iter(range(100))
    asked = {name: Fake(lambda tol, name=name: (float(f"{name}{next(left)}"), 0.0), log) for name in (1, 2, 9, 3)}
    contenders = [
        Contender(replace(entry(f"peer {name}", seconds=float(name)), reached=name != 3), asked[name], {"tol": 1e-3})
        for name in (1, 2, 9, 3)
    ]

    def run():
        log.append("ours")
        return len(log)

    seconds, entries = take_turns(contenders, run, replace(EFFORT, repeats=3))
    assert log == ["ours", "peer", "peer"] * 3
    assert seconds == [1, 4, 7]
    assert [each.seconds for each in entries] == [[10.0, 12.0, 14.0], [21.0, 23.0, 25.0], [9.0], [3.0]]
    assert [limit for _, limit in asked[1].asked] == [20.0] * 3
    assert contenders[0].entry.seconds == [1.0]


def test_a_turn_repeats_short_solves_and_counts_their_median():
    """Three of our calls take 0.05 s; the peer takes 1 ms, so a turn ends after nine calls."""
    ours, left = itertools.cycle([0.04, 0.006, 0.008]), iter([0.02, *[0.001] * 8] * 2)
    peer = Contender(entry(seconds=0.001), Fake(lambda tol: (next(left), 0.0)), {"tol": 1e-3})
    seconds, (found,) = take_turns([peer], lambda: next(ours), replace(EFFORT, repeats=2))
    assert seconds == [0.008, 0.008]
    assert found.seconds == [0.001, 0.001]


def test_a_peer_that_fails_in_its_turns_keeps_the_time_of_its_trial():
    contender = Contender(entry(seconds=2.0), Fake(lambda tol: None), {"tol": 1e-3})
    assert take_turns([contender], lambda: 1.0, EFFORT) == ([1.0] * 5, [contender.entry])
    assert take_turns([], lambda: 1.0, EFFORT) == ([1.0] * 5, [])


def test_a_peer_far_behind_is_stopped(tmp_path, monkeypatch):
    """Its time-out is a multiple of the fastest time so far."""
    limits = []

    def enter_one(entrant, server, judge, allowance, effort):
        limits.append(effort.timeout)
        return Contender(entry(seconds=0.5), server, {})

    monkeypatch.setattr(race_peers, "enter", enter_one)
    monkeypatch.setattr(race_peers, "take_turns", lambda found, ours, effort: ([], [each.entry for each in found]))
    problem = Case("gated", "breast_cancer", 4, (), lam=1e-2, rows=40).problem()
    entrant = Entrant(replace(peer("a"), python=Path(sys.executable)), 1e-2)
    race_peers.compete(problem, None, [entrant] * 2, lambda: 1.0, accuracy_of, 0.0, replace(EFFORT, timeout=100.0))
    assert limits == [100.0, 25.0]


SERVING = """
import json, sys, time
import numpy as np
for line in sys.stdin:
    settings = json.loads(line)
    time.sleep(settings.get("sleep", 0.0))
    if settings.get("fail"):
        raise ValueError("two\\nlines")
    text = json.dumps({"given": settings, "arguments": sys.argv[3:]})
    np.savez(sys.argv[2], U=np.ones((1, 2, 3)), seconds=[0.25], metadata=text)
    print("more\\nanswered", flush=True)
"""


def script(tmp_path, text, startup=300.0):
    path = tmp_path / "peer.py"
    path.write_text(text)
    return Peer("it", str(path), Path(sys.executable), ("--solver", "s"), ("1e-1",), {"": {}}, startup, overhead=0.0)


def test_a_peer_solves_on_demand(tmp_path):
    """One process answers all requests; after a failure or a time-out another is started."""
    with Server(script(tmp_path, SERVING), tmp_path / "given.npz", 2) as server:
        answer = server.solve({"tol": 1e-3}, 300.0)
        assert answer.seconds == 0.25
        assert answer.blocks.shape == (1, 2, 3)
        expected = ["--solver", "s", "--tol", "0", "--threads", "2", "--serve"]
        assert answer.metadata == {"given": {"tol": 1e-3}, "arguments": expected}
        first = server._process.pid
        assert server.solve({}, 300.0).metadata["given"] == {}
        assert server._process.pid == first
        with pytest.raises(NoAnswerError, match="failed with status 1: ValueError: two lines"):
            server.solve({"fail": True}, 300.0)
        assert server.solve({}, 300.0).seconds == 0.25
        assert server._process.pid != first
        with pytest.raises(NoAnswerError, match=r"stopped after 0\.1 s") as stopped:
            server.solve({"sleep": 3600.0}, 0.1)
        assert stopped.value.seconds == 0.1
        assert server.solve({}, 300.0).seconds == 0.25


def test_a_peer_that_ends_at_once_gives_no_answer(tmp_path):
    with Server(script(tmp_path, "raise SystemExit('out of luck')"), tmp_path, 1) as server:
        found = enter(Entrant(server._peer, 1.0), server, lambda _: 0.0, 0.0, EFFORT).entry
    assert not found.reached
    assert found.chosen.note == "failed with status 1: out of luck"
    assert (found.chosen.accuracy, found.seconds) == (None, [0.0])
    with pytest.raises(FileNotFoundError, match="make peers"):
        Server(replace(server._peer, python=tmp_path / "python"), tmp_path, 1)


@pytest.mark.parametrize("backend", ["CLARABEL", pytest.param("ECOS", marks=needs("ecos")), "SCS"])
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_cvxpy_runs_as_a_peer_does(tmp_path, kind, backend):
    """One run at the solver's tolerance, in the file format of the peers."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    cls = cr.ConvexGatedReLU if kind == "gated" else cr.ConvexReLU
    problem = cls(X, y, cr.sample_patterns(X, 4, seed=0), lam=0.02)
    given, out = tmp_path / "problem.npz", tmp_path / "out.npz"
    write_problem(given, problem)
    (peer,) = race_entrants.cvxpy(kind, [backend])
    options = [*peer.options, "--tol", "1e-7"]
    arguments = run_cvxpy.command_line().parse_args([str(given), str(out), *options])
    job.run(arguments, job.load(given), run_cvxpy.solve, ())
    answer = read_answer(out)
    best = cr.solve(problem, "CLARABEL", tol=1e-7)
    assert problem.objective(problem.weights(answer.blocks)) == pytest.approx(best.objective, rel=1e-5)
    assert answer.metadata["converged"]
    assert answer.metadata["compile_seconds"] > 0.0
    assert answer.metadata["violation"]["max"] >= 0.0
    assert answer.seconds > 0.0


def test_a_peer_is_run_by_its_script(tmp_path):
    """By the name of the script alone, as the cases have it."""
    problem = Case("gated", "breast_cancer", 4, (), lam=1e-2, rows=40).problem()
    write_problem(tmp_path / "problem.npz", problem)
    (clarabel,) = race_entrants.cvxpy("gated", ["CLARABEL"])
    with Server(clarabel, tmp_path / "problem.npz", 1) as server:
        answers = [server.solve({"tol": tol, "factorization": "qdldl"}, 300.0) for tol in (1e-2, 1e-7)]
    loose, tight = (problem.objective(problem.weights(answer.blocks)) for answer in answers)
    assert tight == pytest.approx(cr.solve(problem).objective, rel=1e-6)
    assert loose > tight
