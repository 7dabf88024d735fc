"""Programs in the row space of data with fewer rows than columns: n columns in place of d, exactly.

With X = L Q', Q (d, n) with orthonormal columns, and u = Q v:  A u = A_L v,  X u >= 0 iff L v >= 0,  and ||u|| = ||v||.
A part of u beyond the row space changes no product with a row and only makes u longer, so that every penalty that is
invariant under rotations of the features has its optima there. The dual variable t, and the multipliers of the cones,
are the same for both programs: Q'X'D_i t = L'D_i t, and X'D_i t has no part beyond the row space.
"""

from dataclasses import dataclass, replace

import numpy as np

from cvxrelu._validation import Weights
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.numerics.row_space import RowSpace
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.solvers.interface import SolverResult


@dataclass(frozen=True, eq=False)
class Rotated:
    """A problem, and the same one in coordinates of its row space.

    Attributes
    ----------
    original : ConvexGatedReLU or ConvexReLU
        The problem as it was given.
    problem : ConvexGatedReLU or ConvexReLU
        The problem for solvers, in float64; the original itself where nothing is gained, or the penalty depends on the
        single features.
    space : RowSpace or None
        The row space; None where ``problem`` is the original.
    """

    original: ConvexProblem
    problem: ConvexProblem
    space: RowSpace | None = None

    def weights(self, weights: Weights) -> Weights:
        """Return weights of the problem as those of the original."""
        if self.space is None:
            return weights
        return self.original.weights(self.space.vectors(self.problem.blocks(weights)))

    def start(self, weights: Weights | None) -> Weights | None:
        """Return weights of the original as those of the problem, without their parts beyond the row space."""
        if weights is None or self.space is None:
            return weights
        return self.problem.weights(self.space.coordinates(self.original.blocks(weights)))

    def result(self, raw: SolverResult) -> SolverResult:
        """Return a solver's answer to the problem as one to the original; dual variables are the same."""
        return replace(raw, weights=self.weights(raw.weights))


def rotate(problem: ConvexProblem) -> Rotated:
    """Return the problem in the row space of X where n < d and the penalty is invariant, and the exact way back.

    Gates are not needed to solve it: those of the patterns that have a strict interior become witnesses in the row
    space, and masks stay.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.

    Returns
    -------
    Rotated
    """
    space = None if problem.solved_columns == problem.d else problem.row_space
    if space is None:
        return Rotated(problem, problem)
    if not isinstance(problem, ConvexReLU):
        return Rotated(problem, problem.replace(X=space.rows, patterns=ActivationPatterns(problem.patterns.D)), space)
    points, found = problem.cones.witnesses
    witnesses = np.ascontiguousarray(space.coordinates(points.T).T)
    patterns = ActivationPatterns(problem.patterns.D, witnesses if found.all() else None)
    witnesses.flags.writeable = False
    cones = PatternCones(space.rows, patterns, (witnesses, found))
    return Rotated(problem, problem.replace(X=space.rows, patterns=patterns, cones=cones), space)
