"""Certificates whose bounds hold in spite of rounding, made from certificates computed in float64 at little cost."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from cvxrelu._validation import FloatArray, check_choice
from cvxrelu.certificates.certificate import RIGORS, Certificate, Rigor
from cvxrelu.certificates.rounded_bounds import (
    check_known,
    feasible_dual,
    feasible_for_all,
    into_cones,
    is_exact,
    is_known,
    loss_above,
    objective_above,
    value_below,
)
from cvxrelu.numerics.gaps import check_bounds
from cvxrelu.numerics.rounding import check_arithmetic, has_standard_arithmetic
from cvxrelu.pricing.neuron_problem import NeuronBound, RowLines
from cvxrelu.pricing.rounded import maximum_above
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.normalization import Normalized, normalize


def check_rigor(rigor: Rigor | None, problem: ConvexProblem) -> None:
    """Raise ValueError if a rigor is unknown, or "rounded" and loss or penalty do not bound their rounding errors."""
    if rigor is not None and check_choice("rigor", rigor, RIGORS) == "rounded":
        check_known(problem)


class Bounded(Protocol):
    """Protocol of certificates."""

    @property
    def problem(self) -> ConvexProblem:
        """The convex program."""

    @property
    def rel_gap(self) -> float:
        """The relative gap."""

    def within(self, tol: float) -> bool:
        """Return whether the gap is within tol."""


BoundedT = TypeVar("BoundedT", bound=Bounded)


def choose(estimate: BoundedT, make_rounded: Callable[[], BoundedT], rigor: Rigor | None, tol: float) -> BoundedT:
    """Return the certificate of the requested rigor.

    Without a request it is the rounded one, but the estimate if loss or penalty do not bound their rounding errors,
    there is no penalty, the processor does not round to nearest or flushes subnormal numbers, or rounding costs more
    than ``tol`` or the verdict that the gap is within ``tol``.
    """
    if rigor == "rounded":
        check_arithmetic()
        return make_rounded()
    if rigor == "floating_point" or not (is_known(estimate.problem) and has_standard_arithmetic()):
        return estimate
    rounded = make_rounded()
    allowed = tol if estimate.within(tol) else estimate.rel_gap + tol
    return rounded if rounded.within(tol) or rounded.rel_gap <= allowed else estimate


def rounded_certificate(estimate: Certificate) -> Certificate:
    """Return the certificate of scope "patterns" with bounds that hold in spite of rounding.

    Weights and dual point are those of the estimate, moved by rounding errors; nothing is projected or solved again.
    """
    problem = estimate.problem
    normal: Normalized[ConvexProblem] = normalize(problem)
    if not is_exact(normal, problem, estimate.weights):
        normal = Normalized(problem)
    with np.errstate(over="ignore", invalid="ignore"):
        weights = into_cones(normal.problem, normal.start(estimate.weights))
        upper = -value_below(normal, -objective_above(normal.problem, weights))
        t, multipliers = normal.start_dual(estimate.dual.t, estimate.dual.multipliers)
        dual = feasible_dual(normal.problem, DualPoint(t, multipliers, math.nan))
        t, multipliers = normal.dual(dual.t, dual.multipliers)
        point = DualPoint(t, multipliers, value_below(normal, dual.value))
        moved = normal.weights(weights)
    return _rounded(replace(estimate, weights=moved), upper, point)


def rounded_over_all_networks(
    of_patterns: Certificate, t: FloatArray, lines: RowLines, proof: NeuronBound | None
) -> Certificate:
    """Return the rounded certificate of the same weights for scope "global".

    The upper bound is the objective of the network whose neurons are the weights, whether they are in their cones or
    not.

    Parameters
    ----------
    of_patterns : Certificate
        Any certificate of the weights, of a problem with one output and lam > 0.
    t : ndarray of shape (n,)
        A dual variable.
    lines : RowLines
        The lines of the rows of X.
    proof : NeuronBound or None
        A bound on max over ||u|| <= 1 of |t'(Xu)_+| computed in float64; None if t is zero.
    """
    maximum = 0.0 if proof is None else maximum_above(of_patterns.problem.operator.X, lines, t, proof)
    return rounded_network(of_patterns, feasible_for_all(of_patterns.problem, t, maximum), proof)


def rounded_network(of_patterns: Certificate, dual: DualPoint, proof: NeuronBound | None) -> Certificate:
    """Return the certificate of `rounded_over_all_networks` with a dual point that is feasible in exact arithmetic."""
    problem = of_patterns.problem
    blocks = problem.blocks(of_patterns.weights)
    used = np.argwhere(np.any(blocks, axis=-1))
    W1, w2 = blocks[tuple(used.T)], np.where(used[:, :1] == 0, 1.0, -1.0)
    loss = loss_above(problem.operator.X, problem.Y, W1, w2, problem.loss)
    made = replace(of_patterns, scope="global", proof=proof)
    if not len(used):
        return _rounded(made, loss, dual)
    decay = math.nextafter(problem.lam * problem.penalty.value_above(blocks), math.inf)
    return _rounded(made, math.nextafter(loss + decay, math.inf), dual)


def _rounded(certificate: Certificate, upper: float, dual: DualPoint) -> Certificate:
    problem = certificate.problem
    lower = check_bounds(dual.value, upper, problem.value_at_zero, problem, 0.0)
    return replace(certificate, lower=lower, upper=upper, dual=dual, rigor="rounded")
