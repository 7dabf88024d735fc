"""``cvxrelu solve``."""

import numpy as np
import pandas as pd
import pytest

import cvxrelu as cr
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


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("target", ["regression", "labels"])
def test_solve_shows_a_certified_network(table, kind, target):
    path = table(target, k=2.0)
    result = invoke("solve", path, "--target", "y", "--kind", kind, "--gates", 8)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "Rows: 32 to train, 8 to test." in result.stdout
    assert "Constant on the training rows, hence without effect: k." in result.stdout
    assert "Certified: the objective of this network is within" in result.stdout
    assert "Networks with other patterns may do better" in " ".join(result.stdout.split())
    if target == "labels":
        assert "'no' is -1, 'yes' is +1" in result.stdout
        assert "accuracy, test" in result.stdout
    else:
        assert "RMSE is in units of the raw target" in result.stdout
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


def test_lam_ratio_is_a_fraction_of_lam_max(table):
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
    "solver cannot": (["--solver", "OSQP"], ["solver OSQP does not support", "use CLARABEL or SCS"]),
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
    assert verified["verified"]
    assert float(verified["upper"]) == pytest.approx(found["objective"], rel=1e-12)


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
