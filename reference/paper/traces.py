"""How a method comes near the optimum of one problem: its checks, on the way, against a proven bound."""

import warnings
from dataclasses import dataclass, field
from typing import TypeVar

import cvxrelu as cr
from reference.datasets.paper import load_split
from reference.instances.instance import Problem
from reference.paper.published import PATTERN_SEED

TAUS = (1.0, 0.5, 0.1, 1e-2, 1e-4)  # the first three are the paper's
P = TypeVar("P", cr.ConvexGatedReLU, cr.ConvexReLU)
CHECK_GROWTH = 1.05  # checks cost as much as steps: one in 5 % of the way
_EXACT = 1e-6
_SECONDS = 300.0


@dataclass
class Trace:
    """The checks of one method on one problem.

    Attributes
    ----------
    data, lam, method : str, float, str
        The data set, the paper's lam, and the method.
    width : float
        Relative width of the proven interval of the optimum, which the accuracy may be too large by.
    effort : list of int
        Passes over the data or iterations, as the figure counts, at each check.
    seconds : list of float
        Seconds of the method, without the checks.
    accuracy : list of float
        (objective - lower) / lower of the best feasible point so far, lower a proven bound of the optimum.
    kkt : list of float
        Squared least subgradient in the paper's scale (of a loss divided by 2 n c); empty where there are cones.
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
    """Return the paper's program of a data set, times the number of outputs, by which the paper divides the loss."""
    X, Y, _, _ = load_split(name)
    n_outputs = Y.shape[1] if Y.ndim == 2 else 1
    return cls(X, Y, cr.sample_patterns(X, n_gates, seed=PATTERN_SEED), lam * n_outputs)


def proven_lower(problem: Problem) -> tuple[float, float]:
    """Return a lower bound of the optimum and the relative gap to the point that goes with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap says it
        solution = cr.solve(problem, "WorkingSet", tol=_EXACT, time_limit=_SECONDS)
    return solution.lower, solution.certificate.rel_gap
