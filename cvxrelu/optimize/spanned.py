"""C-ReLU without a penalty is C-GReLU: where a cone K has a strict interior, K - K is the whole space.

Any u is v - w with v and w in K, at no cost; and a t with A't = 0, dual feasible for C-GReLU, is so for C-ReLU with no
multipliers. Cones and their multipliers are left out of the work.
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
    """A problem, and the gated one with the same optimal value.

    Attributes
    ----------
    original : ConvexGatedReLU or ConvexReLU
        The problem as it was given.
    problem : ConvexGatedReLU or ConvexReLU
        The problem for solvers; the original itself where they are not the same.
    """

    original: ConvexProblem
    problem: ConvexProblem

    def start(self, weights: Weights | None) -> Weights | None:
        """Return weights of the original as those of the problem."""
        if weights is None or self.problem is self.original:
            return weights
        V, W = self.original.blocks(weights)
        difference: FloatArray = V - W
        return difference

    def result(self, raw: SolverResult) -> SolverResult:
        """Return a solver's answer to the problem as one to the original."""
        if self.problem is self.original:
            return raw
        parts = split(self.original, raw.weights)
        return replace(raw, weights=(parts.V, parts.W), workspace=None)


def span(problem: ConvexProblem) -> Spanned:
    """Return C-ReLU without a penalty, and with a witness of each cone, as C-GReLU; any other problem as it is."""
    if problem.regularised or not isinstance(problem, ConvexReLU) or not problem.cones.witnesses[1].all():
        return Spanned(problem, problem)
    return Spanned(problem, ConvexGatedReLU.of(problem))
