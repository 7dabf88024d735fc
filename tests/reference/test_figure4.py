"""Figure 4 of the paper at a toy scale."""

import argparse

import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

from reference.compare.results import read
from reference.datasets.paper import load_split
from reference.instances import fingerprint
from reference.paper import figure4


def test_the_paper_s_problem():
    """The paper also divides the loss by the number of outputs, as lam reflects; data and gates are on grids."""
    instance = figure4.PaperInstance("wine", "relu", 1e-3, 8)
    problem = instance.problem()
    X, Y, _, _ = load_split("wine")
    assert np.allclose(problem.X, X, rtol=0.0, atol=2.0**-22)
    assert np.array_equal(problem.y, Y)
    assert problem.n_outputs == 3
    assert problem.lam == pytest.approx(3e-3)
    assert np.array_equal(problem.patterns.D, problem.X @ np.asarray(problem.patterns.G) >= 0.0)
    assert fingerprint(instance.problem()) == fingerprint(problem)
    assert instance.name == "wine/relu/P8/1.0e-03"


def test_at_a_toy_scale(tmp_path):
    parser = argparse.ArgumentParser()
    figure4.configure(parser)
    options = ["--data", "wine", "--lams", "1e-2", "--kinds", "gated", "--n-jobs", "1", "--out", str(tmp_path)]
    said = figure4.run(
        parser.parse_args([*options, "--solvers", "cvxrelu", "cvxrelu-RFISTA", "cvxrelu-AL", "CLARABEL"])
    )
    table = read(tmp_path / "figure4.csv")
    assert set(table["instance"]) == {"wine/gated/P50/1.0e-02"}
    assert (table[table["solver"] == "cvxrelu"]["accuracy"] <= table[table["solver"] == "cvxrelu"]["asked"]).all()
    assert set(table[table["solver"] == "cvxrelu-AL"]["note"]) == {"not supported: gated problems"}
    assert "1 problems: 1 data sets (1 of them copies of the paper's 73), 1 lam from 1e-02 to 1e-02" in said
    assert "50 gates for gated (paper: 5,000)" in said
    assert "gated, within 0.1: cvxrelu-RFISTA, the paper's method, solves 100%; CLARABEL 100%: level" in said
    assert (tmp_path / "figure4.html").exists()
    assert (tmp_path / "figure4-seconds.png").exists()
