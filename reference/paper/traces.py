"""Convergence traces: periodic checks of a method on one problem against a proven bound."""

import warnings
from dataclasses import dataclass, field
from typing import TypeVar

import cvxrelu as cr
from reference.datasets.paper import load_split
from reference.instances.instance import Problem
from reference.paper.published import PATTERN_SEED

TAUS = (1.0, 0.5, 0.1, 1e-2, 1e-4)  # the first three are the paper's
P = TypeVar("P", cr.ConvexGatedReLU, cr.ConvexReLU)
CHECK_GROWTH = 1.05  # checks are as expensive as steps: one each time the effort has grown by 5 %
_EXACT = 1e-6
_SECONDS = 300.0


@dataclass
class Trace:
    """Checks of one method on one problem.

    Attributes
    ----------
    data, lam, method : str, float, str
        The data set, the paper's lam, and the method.
    width : float
        Relative width of the proven interval of the optimum, which bounds the error of the accuracy.
    effort : list of int
        Passes over the data or iterations, in the figure's unit, at each check.
    seconds : list of float
        Time of the method in seconds, without the checks.
    accuracy : list of float
        (objective - lower) / lower of the best feasible point so far, with a proven lower bound.
    kkt : list of float
        Squared norm of the minimum-norm subgradient, for a loss divided by 2 n c; empty for C-ReLU.
    """

    data: str
    lam: float
    method: str
    width: float
    effort: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    kkt: list[float] = field(default_factory=list)


def paper_problem(cls: type[P], name: str, lam: float, n_gates: int) -> P:
    """Return the paper's program for a data set, times the number of outputs, by which the paper divides the loss."""
    X, Y, _, _ = load_split(name)
    n_outputs = Y.shape[1] if Y.ndim == 2 else 1
    return cls(X, Y, cr.sample_patterns(X, n_gates, seed=PATTERN_SEED), lam * n_outputs)


def proven_lower(problem: Problem) -> tuple[float, float]:
    """Return a certified lower bound on the optimum and its relative gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap is reported
        solution = cr.solve(problem, "WorkingSet", tol=_EXACT, time_limit=_SECONDS)
    return solution.lower, solution.certificate.rel_gap
