"""Exact reduction to the row space for data with fewer rows than columns: n columns instead of d.

With X = L Q', Q (d, n) with orthonormal columns, and u = Q v:  A u = A_L v,  X u >= 0 iff L v >= 0,  and ||u|| = ||v||.
A component of u orthogonal to the row space changes no prediction and only increases ||u||, so every penalty invariant
under rotations of the features has its optima in the row space. The dual variable t and the multipliers of the cones
are the same for both programs: Q'X'D_i t = L'D_i t, and X'D_i t lies in the row space.
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
    """A problem and its reduction to the row space.

    Attributes
    ----------
    original : ConvexGatedReLU or ConvexReLU
        The original problem.
    problem : ConvexGatedReLU or ConvexReLU
        The problem for solvers, in float64; the original itself if n >= d or the penalty is not rotation invariant.
    space : RowSpace or None
        The row space; None if ``problem`` is the original.
    """

    original: ConvexProblem
    problem: ConvexProblem
    space: RowSpace | None = None

    def weights(self, weights: Weights) -> Weights:
        """Convert weights of the reduced problem to weights of the original."""
        if self.space is None:
            return weights
        return self.original.weights(self.space.vectors(self.problem.blocks(weights)))

    def start(self, weights: Weights | None) -> Weights | None:
        """Project weights of the original onto the row space, as weights of the reduced problem."""
        if weights is None or self.space is None:
            return weights
        return self.problem.weights(self.space.coordinates(self.original.blocks(weights)))

    def result(self, raw: SolverResult) -> SolverResult:
        """Convert a result for the reduced problem to one for the original; dual variables are the same."""
        return raw if self.space is None else replace(raw, weights=self.weights(raw.weights))


def rotate(problem: ConvexProblem) -> Rotated:
    """Reduce a problem to the row space of X if n < d and the penalty is rotation invariant.

    Masks are unchanged. Gates are replaced by the witnesses of strict interiors of the cones, in the row space. All lam
    share the reduced data.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.

    Returns
    -------
    Rotated
        The reduced problem and the maps back, or the problem itself.
    """
    space = None if problem.solved_columns == problem.d else problem.row_space
    if space is None:
        return Rotated(problem, problem)
    reduced = problem.reduced_data or _reduced(problem, space)
    if reduced.lam != problem.lam:
        reduced = reduced.with_lam(problem.lam)
    object.__setattr__(problem, "reduced_data", reduced)  # the same in every thread
    return Rotated(problem, reduced, space)


def _reduced(problem: ConvexProblem, space: RowSpace) -> ConvexProblem:
    """Return the problem in the row space."""
    if not isinstance(problem, ConvexReLU):
        return problem.replace(X=space.rows, patterns=ActivationPatterns(problem.patterns.D), mask=problem.mask)
    points, found = problem.cones.witnesses
    witnesses = np.ascontiguousarray(space.coordinates(points.T).T)
    patterns = ActivationPatterns(problem.patterns.D, witnesses if found.all() else None)
    witnesses.flags.writeable = False
    cones = PatternCones(space.rows, patterns, (witnesses, found))
    return problem.replace(X=space.rows, patterns=patterns, mask=problem.mask, cones=cones)
