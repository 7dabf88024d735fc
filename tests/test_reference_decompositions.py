"""Table 1 and the benchmark of decompositions, on small data."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from reference import decompositions, table1
from reference.table1 import Plan, Row


def test_the_split_is_the_papers():
    X, Y, test, classes = table1.load_split("iris")
    assert X.shape == (120, 5)
    assert test.shape == (30, 5)
    np.testing.assert_allclose(np.linalg.norm(X, axis=0), 1.0)
    assert set(np.unique(Y)) == {-1.0, 1.0}
    assert Y.shape == (120, 3)
    assert classes.shape == (30,)
    _, y, _, classes = table1.load_split("breast_cancer")
    assert y.shape == (456,)
    assert set(classes) == {0, 1}


@pytest.mark.parametrize("name", ["iris", "wine"])
def test_the_table_is_run_resumed_and_in_order(tmp_path, name, capsys):
    plan = Plan([name], gates=20, seeds=2, seconds=1.0, threads=1, out=tmp_path / "deep" / "rows.json")
    told = table1.measure(plan)
    assert len(re.findall(rf"^{name} +(R-FISTA|CD-SOCP|CD-A|AugmentedLagrangian|WorkingSet)", told, re.MULTILINE)) == 5
    assert told.endswith("beaten by the certified interval: 0")
    assert capsys.readouterr().out.count("done") == 2
    rows = json.loads(plan.out.read_text())
    assert len(rows) == 10
    for row in rows:
        assert row["lower"] <= row["upper"]
        assert 0.0 <= row["accuracy"] <= 1.0
    assert table1.measure(plan) == told
    assert capsys.readouterr().out == ""


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


def test_the_benchmark_compares_times_and_values():
    told = decompositions.measure(20, 1, 1)
    assert "n = 500, d = 31, 20 blocks" in told
    assert float(re.search(r"native .* at most ([\d.e-]+)", told)[1]) <= 1e-8
    assert float(re.search(r"ratio ([\d.]+)", told)[1]) > 0.0
    assert told.endswith("violation of the cones 0.0e+00")
