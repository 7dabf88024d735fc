"""``cvxrelu path``."""

import sys
import time

import numpy as np
import pandas as pd
import pytest

import cvxrelu as cr
from cvxrelu.cli.data.tables import read_table, split_table
from cvxrelu.cli.runs.solve import fit_of
from cvxrelu.cli.settings import Kind, Settings
from cvxrelu.preprocessing.rows import with_bias
from tests.helpers.command import invoke, invoke_json, refused
from tests.helpers.needs import needs, require

SMALL = ("--target", "y", "--gates", 6, "--n-lams", 4)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 2))
    hidden = np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1])
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=hidden + 0.1 * rng.standard_normal(50))
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.assign(y=np.where(hidden > -0.3, "yes", "no")).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "data.csv"


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_points_are_those_of_the_path(table, kind):
    found = invoke_json("path", table, *SMALL, "--kind", kind)
    split = split_table(read_table(table, "y"), 0.2, 0)
    fit = fit_of(split, Settings(Kind(kind), 6, 0.0))
    path = cr.regularization_path(fit.problem(0.0), n_lams=4, eps=1e-2)
    assert [point["lam"] for point in found["points"]] == list(path.lams)
    assert [point["n_neurons"] for point in found["points"]] == [path.network(i).n_neurons for i in range(4)]
    for point, objective in zip(found["points"], path.objectives, strict=True):
        assert point["lower"] <= point["objective"] == pytest.approx(objective, rel=2e-4)
        assert (point["status"], point["rel_gap"] <= found["tol"]) == ("optimal", True)
    scores = [point["validation"]["r2"] for point in found["points"]]
    assert found["best"] == int(np.argmax(scores))
    assert found["complete"]
    truth = split.y_test
    residual = truth - fit.network(path.solutions[3]).predict(with_bias(split.X_test))
    assert scores[3] == pytest.approx(1 - np.sum(residual**2) / np.sum((truth - truth.mean()) ** 2), abs=2e-3)


def test_accuracy_of_classes_and_ties_go_to_the_larger_lam(table):
    found = invoke_json("path", table.with_name("labels.csv"), *SMALL)
    scores = [point["validation"]["accuracy"] for point in found["points"]]
    assert found["score"] == "accuracy"
    assert found["best"] == scores.index(max(scores))


def test_the_table_marks_the_best_point(table):
    result = invoke("path", table, *SMALL, columns=80)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert sum(row[-1] == "*" for row in rows) == 1
    assert "* best on validation: lam" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    alone = invoke("path", table, *SMALL, "--test-size", 0)
    assert "validation" not in alone.stdout


def test_it_goes_on_from_its_folder(table):
    folder = table.with_name("points")
    first = invoke_json("path", table, *SMALL, "--save-to", folder)
    again = invoke_json("path", table, *SMALL, "--save-to", folder)
    assert {point["solver"] for point in again["points"]} == {"none"}
    for before, after in zip(first["points"], again["points"], strict=True):
        assert after["objective"] == before["objective"]
    refused("path", table, *SMALL, "--save-to", folder, "--seed", 1, words=["points of another", "another folder"][1:])
    refused("path", table, *SMALL, "--save-to", table, words=["save_to must be a folder"])


def test_points_that_miss_the_tolerance_are_told(table):
    options = ("--solver", "RFISTA", "--max-iter", 1, "--eps", 0.1)
    result = invoke("path", table, *SMALL, *options)
    assert result.exit_code == 3
    assert "points missed the tolerance" in result.stdout
    assert result.stderr.startswith("warning: ")
    found = invoke_json("path", table, *SMALL, *options, code=3)
    assert "max_iter" in {point["status"] for point in found["points"]}


def test_an_interrupt_keeps_the_finished_points(table, monkeypatch):
    calls = []

    def solve(problem, *arguments, continuation, **options):
        calls.append(problem.lam)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return cr.solve(problem, *arguments, **options)

    monkeypatch.setattr("cvxrelu.optimize.path.solve_next", solve)
    found = invoke_json("path", table, *SMALL, code=3)
    assert (found["complete"], found["n_requested"], len(found["points"])) == (False, 4, 2)
    calls.clear()
    later = time.monotonic() + 60.0
    monkeypatch.setattr(
        "cvxrelu.runtime.interrupts._now", lambda: later
    )  # a second interrupt within a second would be raised
    result = invoke("path", table, *SMALL)
    assert (result.exit_code, "Not finished (interrupted): 2 of 4 points." in result.stdout) == (3, True)


@pytest.mark.parametrize("end", ["png", "pdf", "svg"])
def test_the_plot_is_written(table, end):
    require("matplotlib")
    file = table.with_name(f"path.{end}")
    assert invoke("path", table, *SMALL, "--plot", file).exit_code == 0
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[end]
    assert file.read_bytes().startswith(start)
    refused("path", table, *SMALL, "--plot", file, words=["exists already"])
    assert invoke("path", table, *SMALL, "--plot", file, "--force").exit_code == 0


@needs("matplotlib")
def test_a_format_that_no_figure_has(table):
    refused("path", table, *SMALL, "--plot", "a.docx", words=["a.docx must have the extension of a figure", ".png"])


def test_mistakes(table, monkeypatch):
    refused("path", table, *SMALL, "--eps", 2, words=["eps must be a number in (0, 1)"])
    refused("path", table, *SMALL, "--solver", "simplex", words=["solver must be one of"])
    refused("path", table, *SMALL, "--tol", -1, words=["tol must be"])
    refused("path", table.with_name("none.csv"), *SMALL, words=["No such file"])
    refused("path", table, "--target", "price", words=["no column 'price'"])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    refused("path", table, *SMALL, "--plot", "a.png", words=["pip install 'cvxrelu[plot]'"])
