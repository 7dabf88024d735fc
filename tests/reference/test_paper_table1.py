"""The paper's data preparation and its Table 1, on small data."""

import argparse
import json
import re
from dataclasses import replace

import numpy as np

from reference.datasets.paper import load_split
from reference.paper import table1
from reference.paper.table1 import Row


def run(*options):
    parser = argparse.ArgumentParser()
    table1.configure(parser)
    return table1.run(parser.parse_args(options))


def test_the_split_is_the_papers():
    X, Y, test, classes = load_split("iris")
    assert X.shape == (120, 5)
    assert test.shape == (30, 5)
    np.testing.assert_allclose(np.linalg.norm(X, axis=0), 1.0)
    assert set(np.unique(Y)) == {-1.0, 1.0}
    assert Y.shape == (120, 3)
    assert classes.shape == (30,)
    _, y, _, classes = load_split("breast_cancer")
    assert y.shape == (456,)
    assert set(classes) == {0, 1}


def test_the_table_is_run_resumed_and_in_order(tmp_path, capsys):
    out = tmp_path / "deep"
    options = f"--data iris --gates 10 --seeds 2 --seconds 0.3 --n-jobs 1 --out {out}".split()
    told = run(*options)
    assert len(re.findall(r"^iris +(R-FISTA|CD-SOCP|CD-A|AugmentedLagrangian|WorkingSet)", told, re.MULTILINE)) == 5
    assert "the certified interval refutes a bound: 0" in told
    assert len(re.findall(r" against WorkingSet: test accuracy [+-]", told)) == 4
    assert capsys.readouterr().out.count("done") == 2
    runs = [json.loads(line) for line in (out / "table1.jsonl").read_text().splitlines()[1:]]
    assert [run["key"] for run in runs] == [["iris", 650], ["iris", 651]]
    for row in (row for run in runs for row in run["records"]):
        assert row["lower"] <= row["upper"]
        assert 0.0 <= row["accuracy"] <= 1.0
    assert run(*options) == told
    assert capsys.readouterr().out == ""


def test_the_full_scale_has_the_papers_limit_of_iterations(tmp_path):
    told = run("--data", "iris", "--gates", "3", "--seeds", "1", "--n-jobs", "1", "--full", "--out", str(tmp_path))
    assert "AL at most 10,000 iterations" in told
    assert (tmp_path / "table1-full.jsonl").exists()


def test_a_broken_bound_is_told():
    base = Row("d", 650, "WorkingSet", 0.5, 1.0, 1.0, 0.9, 1.0, "optimal", None, None)
    rows = [
        base,
        replace(base, method="R-FISTA", apriori=5.0, witness=0.8),
        replace(base, method="CD-SOCP", lower=0.5, upper=2.0),
    ]
    told = table1._looseness(rows)
    assert "1 BROKEN" in told[-2]
    assert told[-1].endswith(": 1")


def test_distances_from_the_optimum_are_told_in_points_and_ratios():
    base = Row("d", 650, "WorkingSet", 0.5, 2.0, 1.0, 0.9, 1.0, "optimal", None, None)
    names = ("R-FISTA", "CD-SOCP", "CD-A", "AugmentedLagrangian")
    rows = [base, *(replace(base, method=name, accuracy=0.47, norms=6.0) for name in names)]
    gated, *_, al, certified = table1._agreement(rows)
    assert gated == (
        "R-FISTA against WorkingSet: test accuracy -3.0 points in the mean of 1 sets, at most 3.0 apart, within 2 on "
        "0; sum of norms in the median 3 times as large [3, 3]"
    )
    assert al.startswith("AugmentedLagrangian against")
    assert certified == "AugmentedLagrangian reached a certified gap of 0.001 in 0 of 1 runs; its largest is 1.0e-01"
