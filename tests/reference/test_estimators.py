"""The comparison of the CV estimators with other classifiers, on two small sets."""

import argparse

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cvxrelu as cr
from reference.benchmarks import estimators
from reference.datasets.real import load_table


def run(out, *words):
    parser = argparse.ArgumentParser()
    estimators.configure(parser)
    words = ["--splits", "1", "--gates", "5", "--alphas", "3", "--n-jobs", "1", "--out", str(out), *words]
    return estimators.run(parser.parse_args(words))


def column(text, name, method):
    lines = text.splitlines()
    header = next(line.split() for line in lines if line.startswith("data "))
    return float(next(line.split() for line in lines if line.startswith(f"{name} "))[header.index(method)])


@pytest.mark.slow
def test_the_table_holds_the_accuracies_of_the_methods(tmp_path, monkeypatch):
    text = run(tmp_path / "results.jsonl", "--data", "iris", "wine")
    X, y = load_table("iris")
    train, test = next(StratifiedShuffleSplit(1, test_size=0.25, random_state=0).split(X, y))
    ours = cr.GatedReLUClassifierCV(alphas=3, n_gates=5, tol=1e-3, cv=3, random_state=0).fit(X[train], y[train])
    assert column(text, "iris", "C-GReLU") == pytest.approx(100 * ours.score(X[test], y[test]), abs=0.05)
    grid = {"logisticregression__C": [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0]}
    other = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), grid, cv=3)
    other.fit(X[train], y[train])
    assert column(text, "iris", "logistic") == pytest.approx(100 * other.score(X[test], y[test]), abs=0.05)
    middle = (column(text, "iris", "MLP") + column(text, "wine", "MLP")) / 2
    assert column(text, "mean", "MLP") == pytest.approx(middle, abs=0.1)
    assert sum(" against " in line for line in text.splitlines()) == 5 + 4

    def nothing(*_, **__):
        raise AssertionError("a finished run is not run again")

    monkeypatch.setattr(estimators, "_accuracies", nothing)
    assert run(tmp_path / "results.jsonl", "--data", "iris", "wine") == text
    with pytest.raises(SystemExit, match="other settings"):
        run(tmp_path / "results.jsonl", "--data", "iris", "--alphas", "4")


def test_ten_sets_or_more_and_the_methods_asked_for():
    assert len(set(estimators.SETS)) >= 10
    names = [name for name, _ in estimators._methods(5, 3)]
    assert names == ["C-ReLU", "C-GReLU", "forest", "RBF-SVM", "logistic", "MLP"]
