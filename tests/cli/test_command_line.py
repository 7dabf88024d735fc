import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest

import cvxrelu as cr
from cvxrelu.cli.runs.demo import Outcome, check_elsewhere, failed_checks, load_demo_split
from cvxrelu.cli.runs.solve import Duality, solve_dual, train_on_split
from cvxrelu.cli.settings import Kind, Settings
from cvxrelu.cli.views.solve import record
from cvxrelu.preprocessing.rows import Standardization
from tests.helpers.command import invoke, invoke_json, refused


@pytest.fixture
def table(tmp_path):
    """A function that writes a table of three features, ``target`` and more columns, and returns its path."""

    def write(target="regression", **columns):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((40, 3))
        hidden = np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1])
        targets = {
            "regression": 1000.0 + 50.0 * hidden,
            "labels": np.where(hidden > np.median(hidden), "yes", "no"),
            "constant": np.full(40, 3.5),
        }
        frame = pd.DataFrame(X, columns=["a", "b", "size [m2]"]).assign(**columns, y=targets[target])
        frame.to_csv(tmp_path / "data.csv", index=False)
        return tmp_path / "data.csv"

    return write


def solve_json(*arguments, code=0):
    return invoke_json("solve", *arguments, code=code)


@pytest.fixture(scope="module")
def demo_run():
    return train_on_split(load_demo_split(0), Settings(Kind.RELU, 2, 1e-2))


def test_demo_proves_and_says_for_what():
    result = invoke("demo", "--gated-patterns", 6, "--relu-patterns", 2, "--lam", 0.01)
    assert result.exit_code == 0, result.output
    for words in (
        "gated ReLU",
        "dual value",
        "relative gap",
        "accuracy, test",
        "native solver",
        "Proved: to a relative gap of",
    ):
        assert words in result.stdout
    text = " ".join(result.stdout.split())
    assert "optimal among all two-layer networks of its kind, of any width, whose neurons have the given" in text
    assert "Not claimed: anything about networks with other patterns" in text
    assert text.count("verified by checker.py") == 2
    assert result.stderr == ""


@pytest.mark.parametrize("solvers", [["CLARABEL", "SCS"], ["CLARABEL", "ECOS", "SCS"]])
def test_demo_says_when_ecos_is_missing(solvers, monkeypatch):
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: solvers)
    result = invoke("demo", "--gated-patterns", 3, "--relu-patterns", 1, "--lam", 0.1, columns=80)
    assert result.exit_code == 0, result.output
    said = [line for line in result.stdout.splitlines() if "ECOS is not installed (pip install ecos)" in line]
    assert len(said) == ("ECOS" not in solvers)


def test_demo_fails_when_the_checker_refuses(demo_run, monkeypatch, tmp_path):
    refusing = tmp_path / "checker.py"
    refusing.write_text("raise SystemExit(1)")
    monkeypatch.setattr("cvxrelu.cli.runs.demo.checker.__file__", str(refusing))
    assert check_elsewhere([demo_run]) == [""]
    result = invoke("demo", "--gated-patterns", 6, "--relu-patterns", 2, "--lam", 0.01)
    assert result.exit_code == 3
    assert "the stand-alone checker did not verify" in result.stderr


def test_demo_fails_when_the_gap_is_above_the_tolerance():
    result = invoke("demo", "--gated-patterns", 3, "--relu-patterns", 1, "--tol", 1e-17)
    assert result.exit_code == 3
    assert "check failed: gated ReLU: the certified relative gap" in result.stderr
    assert "Proved" not in result.stdout


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
    assert "(none)" in sentence


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
    assert f"certified intervals of RFISTA and {solution.solver} do not meet" in sentence


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("target", ["regression", "labels"])
def test_solve_shows_a_certified_network(table, kind, target):
    path = table(target, k=2.0)
    result = invoke("solve", path, "--target", "y", "--kind", kind, "--gates", 8)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "Rows: 32 to train, 8 to test." in result.stdout
    assert "Constant on the training rows, so that nothing is learnt from them: k." in result.stdout
    assert "Certified: the objective of this network is within" in result.stdout
    assert "Networks with other patterns may do better" in " ".join(result.stdout.split())
    if target == "labels":
        assert "'no' is -1, 'yes' is +1" in result.stdout
        assert "accuracy, test" in result.stdout
    else:
        assert "RMSE is in its own units" in result.stdout
        assert "R^2, test" in result.stdout


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize(
    ("target", "loss"), [("regression", "squared"), ("regression", "huber"), ("labels", "logistic")]
)
def test_json_holds_consistent_numbers(table, kind, target, loss):
    path = table(target)
    found = solve_json(path, "--target", "y", "--kind", kind, "--gates", 6, "--loss", loss)
    assert found["lower"] <= found["objective"]
    assert found["gap"] == found["objective"] - found["lower"]
    assert found["rel_gap"] <= found["tol"] == 1e-6
    assert found["network_objective"] == pytest.approx(found["objective"], abs=1e-12)
    assert found["status"] == "optimal"
    assert found["scope"] == "patterns"
    assert found["features"] == ["a", "b", "size [m2]"]
    assert (found["n_train"], found["n_test"], found["n_patterns"]) == (32, 8, 6)
    if target == "labels":
        assert found["labels"] == ["no", "yes"]
        assert 0.5 <= found["train"]["accuracy"] <= 1.0
    else:
        assert 0.0 < found["train"]["r2"] < 1.0


def test_rmse_is_in_units_of_the_target(table):
    path = table("regression")
    found = solve_json(path, "--target", "y", "--lam-ratio", 1, "--test-size", 0)
    assert found["n_neurons"] == 0
    assert found["train"]["rmse"] == pytest.approx(pd.read_csv(path)["y"].std(ddof=0))
    assert found["train"]["r2"] == pytest.approx(0.0, abs=1e-12)
    assert found["test"] == {}


def test_lam_ratio_is_a_share_of_lam_max(table):
    path = table()
    half, whole = (solve_json(path, "--target", "y", "--lam-ratio", r)["lam"] for r in (0.5, 1))
    assert half == pytest.approx(whole / 2)
    assert solve_json(path, "--target", "y", "--lam", half)["lam"] == half


def test_constant_target_is_an_empty_network(table):
    path = table("constant")
    found = solve_json(path, "--target", "y")
    assert found["n_neurons"] == 0
    assert found["objective"] == 0.0
    assert found["train"] == {"rmse": 0.0}
    result = invoke("solve", path, "--target", "y", "--lam-ratio", 0.1)
    assert result.exit_code == 0
    assert "The optimal network is empty" in result.stdout


def test_only_constant_features(table, tmp_path):
    (tmp_path / "flat.csv").write_text("a,y\n1,2\n1,3\n1,5\n")
    found = solve_json(tmp_path / "flat.csv", "--target", "y", "--test-size", 0)
    assert found["constant_features"] == ["a"]


def test_two_rows_are_enough(tmp_path):
    (tmp_path / "two.csv").write_text("a,y\n1,2\n2,3\n")
    assert solve_json(tmp_path / "two.csv", "--target", "y", "--task", "regression")["n_train"] == 1
    assert solve_json(tmp_path / "two.csv", "--target", "y", "--test-size", 0)["train"] == {"accuracy": 1.0}


def test_solver_names_in_any_case(table):
    assert solve_json(table(), "--target", "y", "--solver", "scs", "--gates", 5)["solver"] == "SCS"


def test_not_converged_warns_shows_and_exits_3(table):
    path = table()
    result = invoke("solve", path, "--target", "y", "--max-iter", 2, "--gates", 10, "--solver", "CLARABEL")
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("warning: CLARABEL ended with a certified relative gap of")
    assert "relative gap" in result.stdout
    found = solve_json(path, "--target", "y", "--max-iter", 2, "--gates", 10, code=3)
    assert found["status"] == "max_iter"
    assert found["rel_gap"] > found["tol"]


BAD_OPTIONS = {
    "negative lam": (["--lam", -1], ["lam must be a finite number >= 0", "-1"]),
    "lam nan": (["--lam", "nan"], ["lam must be a finite number >= 0", "nan"]),
    "negative ratio": (["--lam-ratio", -1], ["lam ratio must be a finite number >= 0"]),
    "two lams": (["--lam", 1, "--lam-ratio", 1], ["--lam or --lam-ratio, not both"]),
    "no gates": (["--gates", 0], ["--gates", "1"]),
    "unknown kind": (["--kind", "tanh"], ["--kind", "gated", "relu"]),
    "unknown solver": (["--solver", "simplex"], ["solver must be one of", "'CLARABEL'", "'simplex'"]),
    "test size": (["--test-size", 1], ["test size must be"]),
    "tol": (["--tol", 0], ["tol must be a finite number > 0"]),
    "max iter": (["--max-iter", 0], ["max_iter must be an integer >= 1"]),
    "time limit": (["--time-limit", "inf"], ["time_limit must be a finite number"]),
    "logistic": (["--loss", "logistic"], ["loss 'logistic' is for classification", "use 'squared' or 'huber'"]),
    "unknown loss": (["--loss", "hinge"], ["loss must be one of 'huber'", "'squared'", "got 'hinge'"]),
    "loss of two outputs": (["--loss", "softmax"], ["loss must be one of 'huber'", "got 'softmax'"]),
    "no classes": (["--task", "classification"], ["40 distinct", "two classes"]),
    "solver cannot": (["--solver", "OSQP"], ["solver OSQP cannot take", "use CLARABEL or SCS"]),
}


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options(table, options, words):
    result = invoke("solve", table(), "--target", "y", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["cannot read", "No such file"]),
        ("", ["is empty"]),
        ("a,b\n1,2\n3,4\n", ["no column 'y'", "'a', 'b'"]),
        ("[b],y\n1,2\n,4\n", ["missing value in column '[b]', line 3 (1 in all)"]),
        ("a,y\n1,2\nred,4\n", ["column 'a'", "'red'", "line 3"]),
    ],
)
def test_bad_tables_are_one_line(tmp_path, text, words, json_flag):
    path = tmp_path / "data.csv"
    if text is not None:
        path.write_text(text)
    result = invoke("solve", path, "--target", "y", *json_flag)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_missing_solver_names_the_remedy(table, monkeypatch):
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: ["CLARABEL"])
    result = invoke("solve", table(), "--target", "y", "--solver", "ECOS")
    assert result.exit_code == 2
    assert "solver ECOS is not installed: run 'pip install ecos' (needs a C compiler: its wheels are" in result.stderr


def test_the_same_errors_from_the_demo():
    for options, word in ([("--lam", "nan"), "lam must be"], [("--solver", "simplex"), "solver must be one of"]):
        result = invoke("demo", "--relu-patterns", 1, *options)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert word in result.stderr


def test_record_has_no_infinite_numbers(demo_run):
    odd = dataclasses.replace(demo_run, network_objective=math.inf, test={"rmse": math.nan})
    assert record(odd)["network_objective"] is None
    assert record(odd)["test"] == {"rmse": None}


@pytest.fixture
def proof(tmp_path):
    """Paths of a certificate and of its data."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    certificate = cr.solve(cr.ConvexReLU(X, y, cr.sample_patterns(X, 5), 0.05)).certificate
    certificate.save(tmp_path / "a.cert")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    np.savez(tmp_path / "other.npz", X=X, y=-y)
    return tmp_path / "a.cert", tmp_path / "data.npz"


@pytest.mark.parametrize("exact", [[], ["--exact"]])
def test_verify(proof, exact):
    path, data = proof
    result = invoke("verify", path, "--data", data, *exact)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("verified\nlower bound")
    assert "optimal among relu networks whose neurons have the given patterns" in result.stdout
    result = invoke("verify", path, "--data", data, "--json", *exact)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["verified"]) == (0, True)
    assert found["lower"] <= found["upper"]
    assert found["arithmetic"] == ("exact" if exact else "floating_point")


def test_verify_rejects(proof, tmp_path):
    path, data = proof
    (tmp_path / "cut.cert").write_bytes(path.read_bytes()[:-100])
    cases = [(path, tmp_path / "other.npz", "hash differs"), (tmp_path / "cut.cert", data, "the file is damaged")]
    for certificate, table, words in [*cases, (data, data, "no certificate")]:
        result = invoke("verify", certificate, "--data", table)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("rejected: ")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
        result = invoke("verify", certificate, "--data", table, "--json")
        found = json.loads(result.stdout)
        assert (result.exit_code, found["verified"], result.stderr) == (1, False, "")
        assert words in found["reason"]


def test_verify_says_what_is_wrong_with_its_input(proof, tmp_path):
    path, data = proof
    np.savez(tmp_path / "names.npz", A=np.ones(3))
    np.savez(tmp_path / "shape.npz", X=np.ones(3), y=np.ones(3))
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "text.npz", X=np.array([["a"]]), y=np.ones(1))
    logistic = cr.ConvexGatedReLU(np.eye(3), [1.0, -1.0, 1.0], cr.sample_patterns(np.eye(3), 3), 0.1, loss="logistic")
    cr.certify(logistic, logistic.zero_weights()).save(tmp_path / "b.cert")
    np.savez(tmp_path / "labels.npz", X=np.eye(3), y=[1.0, -1.0, 1.0])
    for arguments, words in (
        ([tmp_path / "none.cert", "--data", data], "none.cert: No such file"),
        ([tmp_path, "--data", data], "directory"),
        ([path, "--data", tmp_path / "none.npz"], "none.npz: No such file"),
        ([path, "--data", path], "must be an npz file with arrays X and y"),
        ([path, "--data", tmp_path / "names.npz"], "must be an npz file with arrays X and y"),
        ([path, "--data", tmp_path / "one.npy"], "must be an npz file with arrays X and y"),
        ([path, "--data", tmp_path / "shape.npz"], "X must be (n, d)"),
        ([path, "--data", tmp_path / "text.npz"], "X must hold finite real numbers"),
        ([tmp_path / "b.cert", "--data", tmp_path / "labels.npz", "--exact"], "exponentials"),
        ([path], "--data"),
    ):
        result = invoke("verify", *arguments)
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert words in " ".join(result.stderr.split()), arguments


PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"
COMMANDS = ["demo", "solve", "path", "certify", "verify", "compare", "info"]


def test_version():
    assert invoke("--version").stdout == f"cvxrelu {cr.__version__}\n"


def test_the_help_names_every_command_in_groups():
    for result in (invoke("--help", columns=80), invoke(columns=80)):
        places = [result.output.index(f"│ {name} ") for name in COMMANDS]
        assert places == sorted(places)
        for words in ("Train, with a certificate", "Certify and verify", "Solvers", "Exit codes:", "Examples:"):
            assert words in result.output
        assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_has_examples_that_the_command_understands(name):
    result = invoke(name, "--help", columns=100)
    assert result.exit_code == 0
    assert "Exit code" in result.stdout
    head, _, examples = result.stdout.partition("Examples:")
    assert f"  cvxrelu {name}" in examples
    lines = examples.partition("Exit code")[0].splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 79
    known = head if name != "solve" else head + invoke("verify", "--help", columns=100).stdout
    for word in examples.split("Exit code")[0].split():
        assert not word.startswith("--") or f"{word} " in known, word
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith(f"cvxrelu {name}")]
    assert shown
    for word in " ".join(shown).split():
        assert not word.startswith("--") or f"{word} " in head, word


@pytest.mark.parametrize("arguments", [["slove"], ["solve"], ["info", "--jsn"], ["certify", "net.npz"]])
def test_wrong_use_is_told_without_a_traceback(arguments):
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_runs_as_a_module():
    result = subprocess.run([sys.executable, "-m", "cvxrelu", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"cvxrelu {cr.__version__}\n"
    assert result.stderr == ""


def test_what_solvers_print_is_kept_from_stdout():
    program = """
import ctypes, os
from rich.console import Console
from cvxrelu.cli.terminal import working
with working(Console(stderr=True), "at work"):
    print("noise of Python")
    os.write(1, b"noise of the system")
    ctypes.CDLL(None).puts(b"noise of C")
print("result")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "result\n"
    assert result.stderr.count("noise") == 3


@pytest.fixture
def outputs(tmp_path):
    """The options of solve that write files, and their paths."""
    names = {"network": "net.npz", "certificate": "net.cert", "data": "train.npz"}
    paths = {name: tmp_path / file for name, file in names.items()}
    return [word for name, path in paths.items() for word in (f"--save-{name}", path)], paths


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("target", ["regression", "labels"])
def test_what_solve_writes_fits_together(table, outputs, kind, target):
    options, paths = outputs
    source = table(target)
    found = solve_json(source, "--target", "y", "--kind", kind, "--gates", 8, *options)
    assert found["written"] == {name: str(path) for name, path in paths.items()}
    network = cr.load_network(paths["network"])
    frame = pd.read_csv(source)
    raw = np.column_stack([frame[found["features"]], np.ones(len(frame))])
    with np.load(paths["data"]) as data:
        moments = Standardization(
            data["x_center"], data["x_scale"], data["y_center"][None], data["y_scale"][None], bias=True
        )
        inner = moments.standardized(network)
        assert inner.n_neurons == found["n_neurons"]
        assert network.n_neurons == found["n_neurons"] + (target == "regression")
        objective = inner.objective(data["X"], data["y"], found["lam"])
        assert objective == pytest.approx(found["network_objective"], rel=1e-12)
        expected = inner.predict(moments.features(raw[:, :-1])) * data["y_scale"] + data["y_center"]
        np.testing.assert_allclose(network.predict(raw), expected, rtol=1e-10, atol=1e-10)
        assert list(data["features"]) == ["a", "b", "size [m2]"]
        scaled = (frame[list(data["features"])].to_numpy() - data["x_center"]) / data["x_scale"]
        rows = np.concatenate([data["X"], data["X_test"]])
        np.testing.assert_array_equal(rows[:, -1], 1.0)
        rows = rows[:, :-1]
        np.testing.assert_allclose(np.sort(scaled, axis=0), np.sort(rows, axis=0), atol=1e-12)
        if target == "regression":
            targets = np.concatenate([data["y"], data["y_test"]]) * data["y_scale"] + data["y_center"]
            np.testing.assert_allclose(np.sort(targets), np.sort(frame["y"]), atol=1e-9)
        else:
            assert list(data["labels"]) == ["no", "yes"]
    verified = invoke_json("verify", paths["certificate"], "--data", paths["data"])
    assert (verified["verified"], verified["claimed_upper"]) == (True, found["objective"])


def test_solve_says_what_it_has_written(table, outputs):
    options, paths = outputs
    result = invoke("solve", table(), "--target", "y", "--gates", 5, *options, columns=400)
    for name, path in paths.items():
        assert f"Written: {path}, the {name}." in result.stdout
    assert f"cvxrelu verify {paths['certificate']} --data {paths['data']}" in result.stdout


def test_outputs_are_replaced_only_when_asked(table, outputs):
    options, paths = outputs
    for path in paths.values():
        path.write_bytes(b"mine")
    solve = ("solve", table(), "--target", "y", "--gates", 5, *options)
    refused(*solve, words=["net.npz exists already", "--force"])
    assert {path.read_bytes() for path in paths.values()} == {b"mine"}
    assert invoke(*solve, "--force").exit_code == 0
    assert b"mine" not in {path.read_bytes() for path in paths.values()}


def test_outputs_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    solve = ("solve", tmp_path / "none.csv", "--target", "y")
    refused(*solve, "--save-network", tmp_path, words=["is a folder"])
    refused(*solve, "--save-data", tmp_path / "no" / "a.npz", words=["there is no folder", "a.npz"])
    twice = ("--save-data", tmp_path / "a", "--save-certificate", tmp_path / "a")
    refused(*solve, *twice, words=["two outputs have the name"])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_without_a_traceback(table, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("cvxrelu.cli.runs.solve.train_on_split", interrupt)
    result = invoke("solve", table(), "--target", "y")
    assert (result.exit_code, result.stdout) == (130, "")


def test_a_target_must_be_chosen(table):
    refused("solve", table(), words=["--target", "'a', 'b', 'size [m2]', 'y'"])
