"""What solves of one program at a sequence of lams hand on to each other: extrapolated starts and reusable products."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import DualTerm
from cvxrelu.numerics.boundary import TO_BOUNDARY
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.solvers.screening import pattern_norms
from cvxrelu.solvers.working_set.data_products import DataProducts, PairProducts
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems

_FARTHEST = 1.0  # extrapolate by at most the distance of the last two points


class Continuation:
    """Trails of the programs that a path solves, one for each output if these are solved one by one.

    It belongs to one path, or one solve, and one thread. Programs are the same if they share the arrays X and the
    patterns, as those of `with_lam` do, and have equal targets and the same loss and penalty.

    Parameters
    ----------
    keeps_pairs : bool
        Whether to keep products of pairs of patterns, which does not pay for a single solve of one output.
    """

    def __init__(self, *, keeps_pairs: bool = True) -> None:
        self._keeps_pairs = keeps_pairs
        self._products: DataProducts | None = None
        self._trails: list[Trail] = []

    def products(self, problem: ConvexProblem) -> DataProducts:
        """Return the products of the data, computed once."""
        if self._products is None or self._products.given is not problem.X:
            self._products = DataProducts(problem.X)
        return self._products

    def trail(self, problem: ConvexProblem) -> "Trail":
        """Return the trail of a program at any lam, a new one if it is not known."""
        self._trails = [trail for trail in self._trails if trail.shares_data(problem)]
        for trail in self._trails:
            if trail.continues(problem):
                return trail
        if self._trails:
            norms: Callable[[], FloatArray] = self._trails[0].norms
            pairs = self._trails[0].pairs
        else:
            norms = cache(partial(pattern_norms, problem))
            pairs = PairProducts(problem.operator.astype(np.float32)) if self._keeps_pairs else None
        self._trails.append(Trail(problem, self.products(problem), norms, pairs))
        return self._trails[-1]


@dataclass(frozen=True, eq=False)
class _Point:
    """Weights (c, P, d) and a dual variable (n, c) at a lam."""

    lam: float
    blocks: FloatArray
    t: FloatArray


class Guess(NamedTuple):
    """Extrapolated weights (c, P, d), and the last dual variable (n, c) with its extrapolated change."""

    blocks: FloatArray
    t: FloatArray
    change: FloatArray

    def dual(self, term: DualTerm) -> FloatArray:
        """Return the extrapolated dual variable, moved less far if it would leave the domain."""
        length = min(1.0, TO_BOUNDARY * term.longest_step(self.t, self.change))
        return term.moved(self.t, length * self.change)


class Trail:
    """The last two points of one program, its proximal-point parameter, and the systems and norms of its patterns.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU program, at any lam.
    products : DataProducts
        Products of its data.
    norms : callable
        Returns the `pattern_norms` of its data, computed once.
    pairs : PairProducts, optional
        Products of pairs of its patterns, if they are kept.

    Attributes
    ----------
    sigma : float
        Proximal-point parameter at the end of the last solve; 0 before.
    """

    def __init__(
        self,
        problem: ConvexProblem,
        products: DataProducts,
        norms: Callable[[], FloatArray],
        pairs: PairProducts | None,
    ) -> None:
        self._problem = problem
        self.products, self.norms, self.pairs = products, norms, pairs
        self.sigma = 0.0
        self._systems: NewtonSystems | None = None
        self._points: list[_Point] = []

    def shares_data(self, problem: ConvexProblem) -> bool:
        """Return whether a program has the same data and patterns."""
        return problem.X is self._problem.X and problem.patterns is self._problem.patterns

    def continues(self, problem: ConvexProblem) -> bool:
        """Return whether a program with the same data differs in lam only."""
        return (
            np.array_equal(problem.Y, self._problem.Y)
            and problem.loss is self._problem.loss
            and problem.penalty is self._problem.penalty
        )

    def systems(self, constant_curvature: bool) -> NewtonSystems:
        """Return the Newton systems with their cached products."""
        if self._systems is None:
            self._systems = NewtonSystems(constant_curvature, self.products)
        return self._systems

    def note(self, lam: float, blocks: FloatArray, t: FloatArray, sigma: float) -> None:
        """Take the latest point at lam; it replaces an earlier one at the same lam."""
        before = [point for point in self._points if point.lam != lam]
        self._points = [*before[-1:], _Point(lam, blocks, t)]
        self.sigma = sigma

    def guess(self, lam: float) -> Guess | None:
        """Return the linear extrapolation from the last two points to lam; None unless there are two before it.

        Blocks that are zero at the last one, or would change their sense, are zero.
        """
        if len(self._points) < 2 or self._points[-1].lam == lam:
            return None
        first, last = self._points
        ratio = (lam - last.lam) / (last.lam - first.lam)
        if ratio <= 0.0:  # back to a larger lam
            return None
        ratio = min(ratio, _FARTHEST)
        blocks = last.blocks + ratio * (last.blocks - first.blocks)
        blocks[np.einsum("cpd,cpd->cp", blocks, last.blocks) <= 0.0] = 0.0
        return Guess(blocks, last.t, ratio * (last.t - first.t))
