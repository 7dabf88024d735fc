"""State that a caller keeps between evaluations of a problem's dual, as problems are frozen."""

from collections.abc import Callable

from cvxrelu._validation import FloatArray
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.problems.operators.gated_operator import GatedOperator

_Key = tuple[tuple[int, ...], str, bytes]


class DualWorkspace:
    """Cache of the last product A't and of the faces of the last cone projections.

    Each solve or certificate has its own workspace, for one thread, so that its results do not depend on other uses of
    the problem.

    Attributes
    ----------
    expired : callable
        Whether time is up, after which proofs are not improved further; by default never.
    """

    def __init__(self) -> None:
        self.expired: Callable[[], bool] = lambda: False
        self._products: tuple[GatedOperator, _Key, FloatArray] | None = None
        self._projector: tuple[PatternCones, ConeProjector] | None = None

    def adjoint(self, operator: GatedOperator, t: FloatArray) -> FloatArray:
        """Return A't (c, P, d), read-only; cached for the last t."""
        cached = self._products
        if cached is not None and cached[0] is operator and cached[1] == _key(t):
            return cached[2]
        return self.remember(operator, t, operator.adjoint(t))

    def remember(self, operator: GatedOperator, t: FloatArray, products: FloatArray) -> FloatArray:
        """Cache A't as the last product, and return it read-only."""
        products.flags.writeable = False
        self._products = operator, _key(t), products
        return products

    def projector(self, cones: PatternCones, n_blocks: int) -> ConeProjector:
        """Return the projector onto the cones of ``n_blocks`` blocks, with the faces of its last projections."""
        cached = self._projector
        if cached is not None and cached[0] is cones and cached[1].n_blocks == n_blocks:
            return cached[1]
        projector = cones.projector(n_blocks)
        self._projector = cones, projector
        return projector


def _key(t: FloatArray) -> _Key:
    """Return what tells arrays apart, to the last bit: comparing bytes takes a tenth of the time."""
    return t.shape, t.dtype.char, t.tobytes()
