"""A record of the solves of a path."""

import pytest

import cvxrelu as cr
from cvxrelu.optimize import path as paths


@pytest.fixture
def solved(monkeypatch):
    """Record the arguments (lam, start) of each call of `solve`."""
    calls = []

    def count(problem, *args, continuation, **keywords):
        calls.append((problem.lam, keywords["start"]))
        return cr.solve(problem, *args, **keywords)

    monkeypatch.setattr(paths, "solve_next", count)
    return calls
