"""Solvers beside each other."""

import numpy as np

import cvxrelu as cr
from cvxrelu.cli.runs.compare import compare_solvers
from cvxrelu.cli.settings import Kind, Settings
from cvxrelu.solvers.registry import NATIVE_SOLVERS


def problem():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 3))
    return cr.ConvexReLU(X, rng.standard_normal(20), cr.sample_patterns(X, 5), 0.05)


def test_each_solver_is_named_in_any_case_and_run_once():
    settings = Settings(Kind.RELU, 5, 0.05, max_iter=1)
    names = [spell(name) for spell in (str.lower, str.upper) for name in NATIVE_SOLVERS]
    comparison = compare_solvers(problem(), names, settings, print)
    assert [trial.solver for trial in comparison.trials] == list(NATIVE_SOLVERS)
