"""Reduction of C-ReLU without a penalty to C-GReLU, for cones K with a strict interior, where K - K is the whole space.

Every u equals v - w with v and w in K, at the same objective; and a t with A't = 0, dual feasible for C-GReLU, is
feasible for C-ReLU with zero multipliers. So cones and multipliers can be dropped.
"""

from dataclasses import dataclass, replace

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.decompositions.decompose import split
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.solvers.interface import SolverResult


@dataclass(frozen=True, eq=False)
class Spanned:
    """A problem and an equivalent gated one.

    Attributes
    ----------
    original : ConvexGatedReLU or ConvexReLU
        The original problem.
    problem : ConvexGatedReLU or ConvexReLU
        The problem for solvers; the original itself if the reduction does not apply.
    """

    original: ConvexProblem
    problem: ConvexProblem

    def start(self, weights: Weights | None) -> Weights | None:
        """Convert weights of the original to weights of the reduced problem."""
        if weights is None or self.problem is self.original:
            return weights
        V, W = self.original.blocks(weights)
        difference: FloatArray = V - W
        return difference

    def result(self, raw: SolverResult) -> SolverResult:
        """Convert a result for the reduced problem to one for the original."""
        if self.problem is self.original:
            return raw
        parts = split(self.original, raw.weights)
        return replace(raw, weights=(parts.V, parts.W), workspace=None)


def span(problem: ConvexProblem) -> Spanned:
    """Reduce C-ReLU without a penalty and with a witness of each cone to C-GReLU; return other problems unchanged."""
    if problem.regularised or not isinstance(problem, ConvexReLU) or not problem.cones.witnesses[1].all():
        return Spanned(problem, problem)
    return Spanned(problem, ConvexGatedReLU.of(problem))
