"""Gated problems for the tests of WorkingSet."""

import warnings

import numpy as np

import cvxrelu as cr
from cvxrelu.numerics.gated_rounds import gated_rounds
from cvxrelu.numerics.group_lasso import descend
from cvxrelu.numerics.row_descent import descend_on_rows
from cvxrelu.optimize import solve as solving
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.penalties.registry import PENALTIES
from tests.helpers.cases import assert_agrees

TOL = 1e-7
SEPARABLE = [name for name, penalty in PENALTIES.items() if issubclass(penalty, PatternNorm)]
STEPS = 500  # twice what the hardest problem takes


def outputs(loss):
    """Return the number of outputs: three for softmax, else one."""
    return 3 if loss == "softmax" else 1


def solve(problem, **options):
    """Solve without warnings, in at most `STEPS` iterations, by the same methods whether or not kernels are cached."""
    descend.compile()
    descend_on_rows.compile()
    gated_rounds.compile()
    solver = options.pop("solver", cr.WorkingSet(max_iter=STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        return cr.solve(problem, solver, **options)


def many_patterns(loss="squared", penalty="group_l1", c=1, ratio=0.05, dtype=np.float64, n_gates=200):
    """Return a problem with many more patterns than the first working set holds."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4))
    f = np.abs(X[:, :1]) @ np.ones((1, c)) - X[:, 1:2] * rng.standard_normal((1, c))
    Y = {"logistic": np.sign(f - np.median(f)), "softmax": np.eye(c)[np.argmax(f, axis=1)]}.get(loss, f)
    Y = np.where(Y == 0, 1.0, Y) if loss == "logistic" else Y
    patterns = cr.sample_patterns(X, n_gates)
    problem = cr.ConvexGatedReLU(X.astype(dtype), Y.astype(dtype), patterns, loss=loss, penalty=penalty)
    return problem.with_lam(ratio * problem.lam_max())


def assert_compiled_once_it_pays(monkeypatch, kernel, savings, seconds):
    """Assert that solves without a kernel count their time, and that one compiles it after so many seconds.

    It compiles before its clock starts, and not at all with a time limit that the compilation might exceed.
    """
    problem, events = many_patterns(ratio=0.1), []

    class Started(solving.Progress):
        def __init__(self, *arguments):
            events.append("started")
            super().__init__(*arguments)

    monkeypatch.setattr(kernel, "_compiled", None)
    monkeypatch.setattr(kernel, "_looked_up", True)
    monkeypatch.setattr(kernel, "compile", lambda: events.append("compiled"))
    monkeypatch.setattr(savings, "_seconds", 0.0)
    assert_agrees(problem, cr.solve(problem, "WorkingSet", tol=TOL), TOL)
    assert savings._seconds > 0.0
    monkeypatch.setattr(savings, "_seconds", seconds)
    cr.solve(problem, "WorkingSet", tol=TOL, time_limit=19.0)
    assert "compiled" not in events
    events.clear()
    monkeypatch.setattr(solving, "Progress", Started)
    cr.solve(problem, "WorkingSet", tol=TOL, time_limit=20.0)
    assert events == ["compiled", "started"]
