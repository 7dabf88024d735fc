"""Figures 1 and 5 and Tables 2 and 3 of the paper at a toy scale: model selection and output."""

import argparse
import json
import sys

import numpy as np
import pandas as pd
import pytest

from tests.helpers.needs import needs, needs_keel, reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

import cvxrelu as cr
from reference.datasets.paper import load_split
from reference.paper import commands, figure1, figure5, selection, table2, table3


def run(name, *options):
    parser = argparse.ArgumentParser()
    commands.configure(parser)
    return commands.run(parser.parse_args([name, *options, "--n-jobs", "1"]))


# Common parts of the tables


def test_folds_are_a_partition_and_the_same_each_time():
    X = np.zeros((23, 2))
    pairs = list(selection.folds(X))
    assert len(pairs) == 5
    assert sorted(np.concatenate([valid for _, valid in pairs])) == list(range(23))
    assert all(not set(train) & set(valid) for train, valid in pairs)
    np.testing.assert_array_equal(pairs[0][1], next(selection.folds(X))[1])


def test_accuracy_of_one_output_and_of_several():
    assert selection.accuracy(np.array([0.2, -3.0, 1.0]), np.array([1, 0, 0])) == pytest.approx(2 / 3)
    assert selection.accuracy(np.array([[0.1, 0.3], [2.0, 1.0]]), np.array([1, 1])) == 0.5


@pytest.mark.parametrize("method", selection.PROGRAMS)
def test_paths_are_of_the_papers_lams_and_certified(method):
    X, Y, _, _ = load_split("wine")
    path = selection.train_path(method, X, Y, [0.03, 0.01], 6, 20.0)
    assert [solution.problem.lam for solution in path] == pytest.approx([0.09, 0.03])  # three outputs
    assert all(solution.certificate.rel_gap <= 1e-3 for solution in path)
    assert all(isinstance(solution.problem, selection.PROGRAMS[method]) for solution in path)


def test_the_limit_of_time_is_that_of_each_lam():
    """Every lam has a solution, however little time there is."""
    X, Y, _, _ = load_split("wine")
    path = selection.train_path("C-GReLU", X, Y, [0.03, 0.01, 0.003], 6, 1e-9)
    assert [solution.problem.lam for solution in path] == pytest.approx([0.09, 0.03, 0.009])
    assert path[-1].status == "time_limit"


# Table 2


def scores(data, method, setting, accuracies):
    return {"data": data, "method": method, "setting": setting, "accuracies": accuracies}


def test_the_setting_with_the_largest_median_is_selected():
    frame = pd.DataFrame(
        [
            scores("b", "C-ReLU", "1", [0.1, 0.5, 0.9]),
            scores("b", "C-ReLU", "2", [0.6, 0.6, 0.6]),
            scores("a", "C-ReLU", "1", [1.0, 0.0, 0.2]),
        ]
    )
    points = table2.select(frame)
    assert points.index.tolist() == ["b", "a"]
    assert points["C-ReLU"].tolist() == pytest.approx([60.0, 20.0])


def test_differences_from_the_published_are_told():
    points = pd.DataFrame(
        {"C-GReLU": [90.9, 70.0], "C-ReLU": [85.8, 90.0], "linear SVM": [90.9, 50.0]}, index=["sonar", "unknown"]
    )
    told = table2._agreement(points)
    assert (
        told[0]
        == "C-GReLU against the paper's: +3.0 points in the mean of 1 sets, within 2 on 0; furthest on sonar, +3.0"
    )
    assert (
        told[1]
        == "C-ReLU against the paper's: +1.0 points in the mean of 1 sets, within 2 on 1; furthest on sonar, +1.0"
    )
    assert told[2] == "C-GReLU against C-ReLU: -7.4 points in the mean, ahead on 1, behind on 1, level on 0"
    assert told[3] == "C-GReLU against linear SVM: +10.0 points in the mean, ahead on 1, behind on 0, level on 1"
    assert len(told) == 5


def test_a_selected_lam_at_the_edge_of_the_grid_is_told():
    rows = [("a", "0.1", [0.9]), ("a", "0.01", [0.9]), ("b", "0.1", [0.2]), ("b", "0.01", [0.3])]
    frame = pd.DataFrame([scores(name, method, *rest) for method in selection.PROGRAMS for name, *rest in rows])
    assert table2._edge(frame, 0.1) == [
        f"{method}: the largest lam of the grid is selected on 1 of 2 sets" for method in selection.PROGRAMS
    ]


def test_table_2_is_run_told_and_resumed(tmp_path, capsys):
    options = f"--data breast_cancer --lams 0.01 0.001 --gates 8 --limit 600 --out {tmp_path}".split()
    told = run("table2", *options)
    assert "settings tried: C-GReLU 2, C-ReLU 2, random forest 3, linear SVM 5, RBF SVM 12" in told
    row = next(line for line in told.splitlines() if line.startswith("breast_cancer ")).split()
    assert len(row) == 8
    assert all(85.0 <= float(cell) <= 100.0 for cell in row[1:6])
    assert row[6:] == ["-", "-"]  # without published results
    assert capsys.readouterr().out.count("done") == 1
    assert run("table2", *options) == told
    assert capsys.readouterr().out == ""


def test_table_2_is_of_binary_sets(tmp_path):
    with pytest.raises(SystemExit, match="'iris' has 3 classes"):
        run("table2", "--data", "iris", "--out", str(tmp_path))


# Table 3


@needs("torch")
def test_table_3_with_local_training(tmp_path):
    told = run("table3", *f"--data breast_cancer --lams 0.01 --gates 8 --epochs 5 --limit 600 --out {tmp_path}".split())
    assert "NC: Adam, 5 epochs" in told
    assert "no excess is below zero: holds on 1 sets" in told
    row = next(line for line in told.splitlines() if line.startswith("breast_cancer ")).split()
    assert len(row) == 9
    assert float(row[5]) <= 1e-3 < float(row[7])


def test_table_3_without_torch_says_what_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    told = run("table3", *f"--data breast_cancer wine --lams 0.01 --gates 8 --limit 600 --out {tmp_path}".split())
    assert "NC: left out, PyTorch is not installed (pip install 'cvxrelu[torch]')" in told
    assert "NC-ReLU against" not in told
    assert "C-ReLU against C-GReLU:" in told
    assert next(line for line in told.splitlines() if line.startswith("paper")).split() == ["paper", ".824", ".825"]


def test_an_excess_below_zero_of_the_same_problem_is_seen():
    rows = [
        {"data": "a", "method": method, "lam": 1.0, "accuracy": 0.5, "excess": excess, "n_outputs": 1}
        for method, excess in (("C-GReLU", 0.0), ("C-ReLU", 0.0), ("NC-GReLU", -1e-3), ("NC-ReLU", -0.1))
    ]
    assert "no excess is below zero: BROKEN on 1 sets" in "\n".join(table3._agreement(pd.DataFrame(rows)))


# Figure 5


def test_the_best_point_of_a_path_is_the_sparsest_of_the_most_accurate():
    rows = [("d", 5, 0, lam, accuracy, active) for lam, accuracy, active in ((3, 0.5, 1), (2, 0.9, 2), (1, 0.9, 4))]
    points = pd.DataFrame(rows, columns=["data", "gates", "seed", "lam", "accuracy", "active"])
    assert figure5.best(points).lam.tolist() == [2]


def test_what_gates_and_regularisation_do_is_told():
    rows = [
        (name, gates, seed, lam, accuracy + 0.02 * seed * (gates == 10) - (lam < 1.0) * 0.1, int(gates / lam))
        for name, means in (("a", {10: 0.7, 100: 0.8}), ("b", {10: 0.9, 100: 0.8}))
        for gates, accuracy in means.items()
        for seed in (0, 1)
        for lam in (1.0, 0.5)
    ]
    points = pd.DataFrame(rows, columns=["data", "gates", "seed", "lam", "accuracy", "active"])
    assert figure5._findings(points) == [
        "100 gates against 10: best test accuracy -1.0 points in the mean, higher on 1 of 2 sets; the seeds differ by "
        "0.0 points against 2.0",
        "the best point of a path is 10.0 points better than its end at the least lam, with 55 active neurons against "
        "110 (medians)",
    ]


def test_figure_5_is_run_told_drawn_and_resumed(tmp_path, capsys):
    options = f"--data wine --gates 4 12 --seeds 2 --out {tmp_path}".split()
    told = run("figure5", *options)
    assert capsys.readouterr().out.count("done") == 4
    assert told.startswith("C-GReLU on 1 sets, 0 of them copies of the paper's 10; 2 seeds of the gates (paper: 10)")
    assert "missed at 0 of 40 points" in told
    assert "12 gates against 4: best test accuracy" in told
    assert sum(line.startswith("wine ") for line in told.splitlines()) == 2
    assert (tmp_path / "figure5.png").stat().st_size > 10_000
    assert run("figure5", *options) == told
    assert capsys.readouterr().out == ""


@needs_keel
def test_figure_5_of_relu_networks_is_apart(tmp_path):
    told = run("figure5", *f"--relu --data heart --gates 4 --seeds 1 --out {tmp_path}".split())
    assert told.startswith("C-ReLU on 1 sets, 1 of them copies of the paper's 10; 1 seeds")
    assert "missed at 0 of 10 points" in told
    assert {path.name for path in tmp_path.iterdir()} == {"figure5-relu.jsonl", "figure5-relu.png"}


# Figure 1


@pytest.mark.parametrize("as_published", [False, True])
def test_the_data_of_figure_1_have_unit_columns(as_published):
    X, y, X_test, classes = figure1._data(as_published)
    np.testing.assert_allclose(np.linalg.norm(X, axis=0), 1.0)
    assert X.shape == X_test.shape == (250, 50)
    fraction = np.mean(y > 0.0)
    assert fraction > 0.85 if as_published else 0.4 < fraction < 0.65
    assert abs(fraction - classes.mean()) < 0.1


def test_thinned_patterns_are_spread_from_the_first_to_the_last():
    patterns = cr.sample_patterns(np.random.default_rng(0).standard_normal((20, 4)), 30, seed=0)
    thin = figure1._subset(patterns, 5)
    assert len(thin) == 5
    np.testing.assert_array_equal(np.asarray(thin.D)[:, [0, -1]], np.asarray(patterns.D)[:, [0, -1]])
    assert figure1._subset(patterns, None) is figure1._subset(patterns, 30) is patterns


def test_figure_1_without_torch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match="pip install 'cvxrelu\\[torch\\]'"):
        run("figure1", "--out", str(tmp_path))


def test_the_seed_of_figure_1_is_accounted_for():
    assert figure1._labels(as_published=True).startswith("data seed 951: ")
    assert figure1._labels(as_published=False).startswith("data seed 2: ")


def test_sgd_is_told_against_the_better_solver():
    def course(method, patterns, objective, gap):
        return figure1.Course(method, patterns, [0.0, 2.0], [1.0, objective], gap, 0.8)

    courses = [course("SGD", "seed 0", 0.2, 0.7), course("SGD", "seed 1", 0.4, 0.5)]
    courses += [course("WorkingSet", "9 sampled", 0.5, 0.6), course("AugmentedLagrangian", "9 sampled", 0.3, 0.1)]
    first, second = figure1._findings(courses)
    assert first.startswith("SGD ends between 0.200000 and 0.400000, ")
    assert first.endswith("5.0e-01 to 7.0e-01")
    assert second == (
        "C-ReLU over 9 sampled patterns is below 1 of the 2 runs of SGD, 1.500 times the best of them; certified gap "
        "6.0e-01 by WorkingSet in 2.00 s, 1.0e-01 by AugmentedLagrangian in 2.00 s"
    )
    assert figure1._table(courses)[-1].split() == [
        "AugmentedLagrangian",
        "9",
        "sampled",
        "0.300000",
        "0.800",
        "2.00",
        "1.0e-01",
    ]


@pytest.mark.slow
@needs("torch")
def test_figure_1_is_run_told_drawn_and_resumed(tmp_path, capsys):
    options = f"--epochs 2 --visited 30 --limit 1 --out {tmp_path}".split()
    told = run("figure1", *options)
    assert capsys.readouterr().out.count("done") == 16
    assert told.count("\nSGD ") == 11  # ten rows and a sentence
    assert "C-ReLU over 30 visited patterns is below 10 of the 10 runs of SGD" in told
    assert (tmp_path / "figure1.png").stat().st_size > 10_000
    for line in (tmp_path / "figure1.jsonl").read_text().splitlines()[1:]:
        [record] = json.loads(line)["records"]
        assert np.all(np.diff(record["objective"]) <= 0.0)
        assert np.all(np.diff(record["time"]) > 0.0)
        assert 0.0 <= record["gap"] <= 1.0
    assert run("figure1", *options) == told
    assert capsys.readouterr().out == ""
