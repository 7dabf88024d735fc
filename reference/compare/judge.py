"""Evaluation of answers by proven bounds, independent of the status that a solver reports."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import cvxrelu as cr
from reference.instances.instance import Posed, Problem
from reference.instances.optima import stored

_TOL = 1e-8
_SECONDS = 300.0


@dataclass(frozen=True)
class Verdict:
    """Objective of an answer after repair, its distance from a proven lower bound, and its own certified gap.

    ``certified_gap`` is NaN for a network, whose neurons may have patterns that are not in the program.
    """

    objective: float
    accuracy: float
    certified_gap: float
    violation: float


def lower_bound(instance: Posed, problem: Problem) -> float:
    """Return a proven lower bound on the optimal value: the stored one, or else one computed here.

    Raises
    ------
    ValueError
        If the stored bound belongs to another problem than the instance's.
    """
    optimum = stored(instance)
    if optimum is not None:
        refutation = optimum.refutation(problem, instance)
        if refutation is not None:
            raise ValueError(f"the stored optimum of {instance.name} {refutation}")
        return optimum.lower
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the bound holds in any case
        solution = cr.solve(problem, tol=_TOL, time_limit=_SECONDS)
    return max(cr.certify(problem, solution, rigor="rounded").lower, 0.0)


def judge(problem: Problem, blocks: NDArray[np.float64], lower: float) -> Verdict:
    """Evaluate blocks (c, P, d), or (2, c, P, d) for the pair (V, W).

    Raises
    ------
    TypeError, ValueError
        If their shape does not match the problem or they are not finite.
    """
    weights = problem.weights(problem.blocks(blocks if blocks.ndim == 3 else (blocks[0], blocks[1])))
    violation = problem.violation(weights)
    certificate = cr.certify(problem, weights)
    return Verdict(certificate.upper, _distance(certificate.upper, lower), certificate.rel_gap, violation)


def judge_network(problem: Problem, W1: NDArray[np.float64], w2: NDArray[np.float64], lower: float) -> Verdict:
    """Evaluate a ReLU network; with patterns outside the program it may be below the program's optimum."""
    network = cr.ReLUNetwork(W1, w2[:, 0] if problem.y.ndim == 1 else w2)
    objective = network.objective(problem.X, problem.y, problem.lam, problem.loss)
    return Verdict(objective, _distance(objective, lower), np.nan, 0.0)


def _distance(objective: float, lower: float) -> float:
    return (objective - lower) / max(abs(objective), float(np.finfo(np.float64).tiny))
