"""What one caller remembers between evaluations of a problem's dual: problems are frozen and remember nothing."""

from collections.abc import Callable

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.problems.operator import GatedOperator


class DualWorkspace:
    """The last product A't, and the faces of the cones where the last projections ended.

    One solve or one certificate has a workspace of its own, for one thread: a result depends on what went before in
    that solve, never on what else was done with the problem.

    Attributes
    ----------
    expired : callable
        Whether the time is up, at which proofs are taken as good as they are; by default never.
    """

    def __init__(self) -> None:
        self.expired: Callable[[], bool] = lambda: False
        self._products: tuple[GatedOperator, FloatArray, FloatArray] | None = None
        self._projector: tuple[PatternCones, ConeProjector] | None = None

    def adjoint(self, operator: GatedOperator, t: FloatArray) -> FloatArray:
        """Return A't (c, P, d), read-only; that of the last t is not computed again."""
        known = self._products
        if known is not None and known[0] is operator and np.array_equal(known[1], t):
            return known[2]
        return self.remember(operator, t, operator.adjoint(t))

    def remember(self, operator: GatedOperator, t: FloatArray, products: FloatArray) -> FloatArray:
        """Keep A't as the last product, and return it read-only."""
        products.flags.writeable = False
        self._products = operator, t.copy(), products
        return products

    def projector(self, cones: PatternCones, n_blocks: int) -> ConeProjector:
        """Return the projector onto the cones of so many blocks, with the faces of its last projections."""
        known = self._projector
        if known is not None and known[0] is cones and known[1].n_blocks == n_blocks:
            return known[1]
        projector = cones.projector(n_blocks)
        self._projector = cones, projector
        return projector
