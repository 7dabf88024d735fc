"""Cases and data of the race, and whole races with peers that are told their answers."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.numerics.group_lasso import descend
from cvxrelu.problems.operators.packed_products import ADJOINT
from reference.datasets import prepare as data
from reference.peers import EXPANDED_LIMIT, PEERS_SCRIPTS, job
from reference.race import cases as race_cases
from reference.race import command as race
from reference.race import data as race_data
from reference.race import entrants as race_entrants
from reference.race import path as race_path
from reference.race import peers as race_peers
from reference.race.cases import CASES, KINDS, Case, fresh, select
from reference.race.entrants import Entrant, Peer
from reference.race.server import Answer
from tests.helpers.race import EFFORT, Fake, entry, peer

# --- cases --------------------------------------------------------------------------------------------------


def test_cases_have_names_of_their_own():
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)
    assert [len(select(kind, [], [])) for kind in KINDS] == [2 + 12 * 2 * 3 * 4, 5 * 3 * 2, 8, 2]
    assert all(select(kind, [], [], quick=True) for kind in KINDS)
    assert len(select("gated", ["phoneme", "spambase/squared/P=500/lam=0.0005"], [])) == 25
    assert len(select("gated", ["*/logistic/P=50/*"], [])) == 12 * 4
    (case,) = select("relu", ["breast_cancer/squared/P=50/lam=0.001"], ["ECOS", "adelie"])
    assert [entrant.peer.name for entrant in case.entrants] == ["adelie", "ECOS"]
    with pytest.raises(ValueError, match=r"no gated case 'mnist'; choose from the data breast_cancer, spambase, pima"):
        select("gated", ["mnist"], [])
    with pytest.raises(ValueError, match="no quick path case 'mnist'; choose from breast_cancer/squared/P=500"):
        select("path", ["mnist"], [], quick=True)
    with pytest.raises(ValueError, match="no peer 'mosek'"):
        select("gated", [], ["mosek"])


def test_every_script_of_a_peer_exists():
    scripts = {entrant.peer.script for case in CASES for entrant in case.entrants}
    assert scripts == {f"run_{name}.py" for name in ("adelie", "celer", "cvxpy", "pyscnn", "skglm")}
    assert all((PEERS_SCRIPTS / script).exists() for script in scripts)


def test_every_setting_of_a_peer_is_an_option_of_its_script():
    for each in {entrant.peer.name: entrant.peer for case in CASES for entrant in case.entrants}.values():
        text = (PEERS_SCRIPTS / each.script).read_text() + (PEERS_SCRIPTS / "job.py").read_text()
        for settings in each.variants.values():
            assert all(f'"--{name.replace("_", "-")}"' in text for name in settings), each.name


def test_peers_refuse_what_does_not_fit():
    problem = Case("gated", "breast_cancer", 4, (), lam=1e-2).problem()
    size = 569 * 31 * 4 * 8
    assert Entrant(peer("a", limit=size), 1e-6).refusal(problem) is None
    assert "expanded matrix" in Entrant(peer("a", limit=size - 1), 1e-6).refusal(problem)
    (clarabel,) = race_entrants.cvxpy("gated", ["CLARABEL"])
    assert Entrant(replace(clarabel, limit=size), 1e-6).refusal(problem) is None
    several = cr.ConvexGatedReLU(problem.X, np.eye(3)[np.arange(569) % 3], problem.patterns, loss="softmax")
    assert "expanded matrix" in Entrant(replace(clarabel, limit=3 * size - 1), 1e-6).refusal(several)
    assert Entrant(replace(clarabel, name="XPRESS"), 1e-6).refusal(problem) == "not installed (pip install xpress)"


def test_the_expanded_matrix(monkeypatch):
    problem = Case("gated", "breast_cancer", 4, (), lam=1e-2, rows=40).problem()
    given = job.Problem(problem.X, problem.y, np.asarray(problem.patterns.G), 0.1)
    U = np.random.default_rng(0).standard_normal((4, problem.d))
    expected = sum((problem.X @ U[i]) * problem.patterns.D[:, i] for i in range(4))
    np.testing.assert_allclose(given.expanded() @ U.ravel(), expected, atol=1e-14)
    monkeypatch.setattr(job, "EXPANDED_LIMIT", 40 * problem.d * 4 * 8 - 1)
    with pytest.raises(SystemExit, match="GiB, more than"):
        given.expanded()
    assert EXPANDED_LIMIT == 2 * 2**30


def test_a_case_builds_its_problem():
    gated = Case("gated", "breast_cancer", 5, (), lam_ratio=0.25).problem()
    assert isinstance(gated, cr.ConvexGatedReLU)
    assert gated.lam == pytest.approx(0.25 * gated.lam_max(), rel=1e-12)
    relu = Case("relu", "breast_cancer", 5, (), lam=1e-3, rows=40).problem()
    assert isinstance(relu, cr.ConvexReLU)
    assert (relu.n, relu.lam) == (40, 1e-3)
    softmax = Case("outputs", "digits", 3, (), lam_ratio=0.5, rows=60, loss="softmax").problem()
    assert (softmax.loss.name, softmax.n_outputs) == ("softmax", 10)
    again = fresh(softmax)
    assert again.lam == softmax.lam
    assert again.loss.name == "softmax"
    assert "_lam_max" in vars(softmax)
    assert "_lam_max" not in vars(again)


def test_targets():
    X, y = race_data.load("friedman", "squared")
    assert X.shape == (1200, 6)
    assert (y.mean(), y.std()) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0))
    _, signs = race_data.load("friedman", "logistic")
    assert sorted(set(signs)) == [-1.0, 1.0]
    assert signs.sum() == 0.0
    assert np.all((y > np.median(y)) == (signs > 0))
    X, indicators = race_data.load("digits", "softmax", rows=100)
    assert indicators.shape == (100, 10)
    assert np.all(indicators.sum(axis=1) == 1.0)
    np.testing.assert_allclose(np.linalg.norm(X, axis=0), 1.0)
    X, y = race_data.load("breast_cancer", "squared")
    expected = data.load("breast_cancer")
    np.testing.assert_array_equal(X, expected[0])
    np.testing.assert_array_equal(y, expected[1])


def test_a_path_is_judged_by_its_worst_point(monkeypatch):
    given = {}

    def compete(problem, lams, entrants, run, judge, allowance, effort):
        assert run() > 0.0
        exact = [cr.solve(problem.with_lam(lam), "RFISTA", tol=1e-5).weights for lam in lams]
        given["near"] = judge(Answer(exact[-1], np.stack(exact), 1.0, {}))
        exact[7] = np.zeros_like(exact[7])
        given["far"] = judge(Answer(exact[-1], np.stack(exact), 1.0, {}))
        given["short"] = judge(Answer(exact[-1], np.stack(exact[:9]), 1.0, {}))
        return [1.0], [entry()]

    monkeypatch.setattr(race_path, "compete", compete)
    monkeypatch.setattr(race_path, "N_LAMS", 10)
    case = Case("path", "breast_cancer", 4, (Entrant(peer("a"), 1e-4),), lam_ratio=1e-3)
    found = race_path.race(case, case.problem(), "RFISTA", 1e-3, replace(EFFORT, repeats=1))
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


class OwnSolver(Fake):
    """Answers with our own weights, to a tenth or to 1e-5."""

    def __init__(self, peer, given, threads):
        super().__init__(None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def solve(self, settings, limit):
        weights = cr.solve(CASE.problem(), "RFISTA", tol=1e-1 if settings["tol"] == 1e-1 else 1e-5).weights
        metadata = {"versions": {"it": "1"}, "violation": None, "converged": True}
        return Answer(weights, None, 100.0, metadata)


CASE = Case("gated", "breast_cancer", 5, (), lam=1e-3)
RACED = Peer("adelie", "it.py", Path(sys.executable), (), ("1e-1", "1e-2"), {"": {}})
PLAN = race.Plan("gated", "RFISTA", 1e-5, [], [], replace(EFFORT, timeout=200.0))


def test_a_race_is_run_saved_and_gone_on_with(tmp_path, monkeypatch, capsys):
    """Breast cancer with five gates; the peer answers with our own weights at another tolerance."""
    absent = replace(race_entrants.cvxpy("gated", ["CLARABEL"])[0], name="XPRESS")
    case = replace(CASE, entrants=(Entrant(RACED, 1e-4), Entrant(absent, 1e-4)))
    monkeypatch.setattr(race_cases, "CASES", (case,))
    monkeypatch.setattr(race_peers, "Server", OwnSolver)
    plan = replace(PLAN, out=tmp_path / "race.json")
    report = race.measure(plan)
    assert all(kernel.is_ready() for kernel in (descend, project_blocks, ADJOINT[np.dtype(np.float64)].kernel))
    assert "relative gap of 1e-05, 1 thread(s) for every solver, medians of 5 turns" in report
    assert "left out: XPRESS: not installed (pip install xpress)" in report
    assert "lost: 0 of 1" in report
    assert "it 1" in report.splitlines()[-1]
    (found,) = json.loads((tmp_path / "race.json").read_text())["results"]
    assert found["ours"]["reached"]
    assert found["ours"]["violation"] == 0.0
    assert 0.0 <= found["ours"]["upper"] - found["ours"]["lower"] <= 1e-6 * found["ours"]["upper"]
    assert len(found["ours"]["seconds"]) == 5
    assert found["entries"][0]["reached"]
    assert found["entries"][0]["chosen"]["setting"] == "tol 1e-2"
    assert found["entries"][0]["seconds"] == [100.0] * 5
    capsys.readouterr()
    assert race.measure(replace(plan, resume=True)) == report
    assert race.measure(replace(plan, report=True, solver="auto")) == report
    assert "adelie" not in capsys.readouterr().out  # nothing is run again
    again = race.measure(replace(plan, out=tmp_path / "again.json", settings=tmp_path / "race.json"))
    assert capsys.readouterr().out.count("adelie") == 1  # at the setting found before
    assert "tol 1e-2" in again
    assert "peers at the settings found in race.json" in again
    with pytest.raises(SystemExit, match="holds a race of gated, not of relu"):
        race.measure(replace(plan, kind="relu", cases=[], settings=tmp_path / "race.json"))
    with pytest.raises(SystemExit, match="solver: RFISTA in the file, auto now"):
        race.measure(replace(plan, solver="auto", resume=True))


@pytest.mark.parametrize(
    ("asked", "own", "of_case", "tol", "required"),
    [(None, 1e-6, None, 1e-6, 1e-6), (1e-2, 1e-6, None, 1e-2, 1e-2), (None, 1e-5, 1e-3, 1e-3, 1e-3),
     (1e-4, 1e-2, 1e-3, 1e-4, 1e-2)],
)  # fmt: skip
def test_both_sides_are_judged_at_the_accuracy_asked_for(asked, own, of_case, tol, required, monkeypatch, tmp_path):
    given = []

    def compete(problem, lams, entrants, ours, judge, allowance, effort):
        given.append(entrants[0].accuracy)
        return [1.0], [entry()]

    monkeypatch.setattr(race, "compete", compete)
    case = replace(CASE, entrants=(Entrant(RACED, own),), tol=of_case)
    monkeypatch.setattr(race_cases, "CASES", (case,))
    race.measure(replace(PLAN, tol=asked, out=tmp_path / "race.json", solver="auto"))
    (found,) = json.loads((tmp_path / "race.json").read_text())["results"]
    assert found["ours"]["gap"] <= tol
    assert given == [required]


def test_a_race_says_what_is_missing(tmp_path, monkeypatch):
    plan = replace(PLAN, cases=["mnist"], out=tmp_path / "race.json")
    with pytest.raises(SystemExit, match="no gated case 'mnist'"):
        race.measure(plan)
    with pytest.raises(SystemExit, match="No such file"):
        race.measure(replace(plan, cases=[], report=True))
    absent = replace(RACED, python=tmp_path / "python")
    monkeypatch.setattr(race_cases, "CASES", (Case("gated", "sonar", 5, (Entrant(absent, 1e-4),)),))
    with pytest.raises(SystemExit, match="make peers"):
        race.measure(replace(plan, cases=[]))


def test_a_case_without_its_data_is_skipped_with_a_message(tmp_path, monkeypatch):
    def unavailable(name, loss, rows):
        raise ConnectionError(f"{name} cannot be downloaded")

    monkeypatch.setattr(race_cases, "load", unavailable)
    monkeypatch.setattr(race_cases, "CASES", (replace(CASE, entrants=()),))
    report = race.measure(replace(PLAN, out=tmp_path / "race.json"))
    assert "skipped: breast_cancer/squared/P=5/lam=0.001: breast_cancer cannot be downloaded" in report.splitlines()
    assert not (tmp_path / "race.json").exists()
