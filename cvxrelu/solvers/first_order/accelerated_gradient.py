"""R-FISTA: accelerated proximal gradient with line search and restarts, for a smooth function plus a prox.

Mishkin, Sahiner & Pilanci (arXiv 2202.01331); FISTA is Beck & Teboulle (2009), the restart O'Donoghue & Candes
(2015). Two departures from the authors' package: the momentum is the published one (theirs voids the rate), and the
line search tests a Bregman distance that does not cancel near the optimum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from cvxrelu._validation import FloatArray

_BACKTRACK = 0.8
_GROW = 1.25
_MARGIN = 5.0
_REFRESH = 100


class CompositeModel(Protocol):
    """h(B u) + R(u): h smooth and convex, B linear, R with a prox. Images are arrays z = B u."""

    def image(self, u: FloatArray) -> FloatArray:
        """Return B u."""

    def adjoint(self, z: FloatArray) -> FloatArray:
        """Return B' z."""

    def slope(self, z: FloatArray) -> FloatArray:
        """Return grad h(z)."""

    def bregman(self, step: FloatArray, z: FloatArray) -> float:
        """Return h(z + step) - h(z) - <grad h(z), step>, free of cancellation."""

    def prox(self, u: FloatArray, step: float) -> FloatArray:
        """Return the prox of step * R at u."""

    def value(self, u: FloatArray, z: FloatArray) -> float:
        """Return h(z) + R(u)."""

    def lipschitz(self) -> float:
        """Return a Lipschitz constant of the gradient of h(B u)."""


@dataclass(frozen=True, kw_only=True)
class ProximalOptions:
    """How the iteration is done; the defaults are R-FISTA.

    Attributes
    ----------
    accelerate : bool
        Momentum. False: proximal gradient descent (PGD).
    line_search : bool
        Backtrack from a step that may grow. False: the fixed step 1 / L, L by the power method.
    restart : {"gradient", "value", "none"}
        Drop the momentum when it points uphill by the gradient mapping, or when the objective rose.
    step_rule : {"lassplore", "forward_track", "keep"}
        The first step tried next: 1.25 times the last one if that was accepted with a wide margin (factor 5),
        always 1.25 times it, or the same.

    Examples
    --------
    >>> import cvxrelu as cr
    >>> cr.AugmentedLagrangian(inner=cr.ProximalOptions(accelerate=False)).inner
    ProximalOptions(accelerate=False, line_search=True, restart='gradient', step_rule='lassplore')
    """

    accelerate: bool = True
    line_search: bool = True
    restart: Literal["gradient", "value", "none"] = "gradient"
    step_rule: Literal["lassplore", "forward_track", "keep"] = "lassplore"


@dataclass(frozen=True, eq=False)
class AcceleratedIterate:
    """A point of the iteration: weights, image, the step it came by, and the norm of the gradient mapping."""

    u: FloatArray
    z: FloatArray
    step: float
    residual: float


def iterate(
    model: CompositeModel, start: FloatArray, step: float | None, options: ProximalOptions
) -> Iterator[AcceleratedIterate]:
    """Yield the iterates from ``start``; ``step`` is the first step tried, None: estimated.

    There is no end to them, unless they leave the range of the floats: unbounded problems, in float32 above all.
    """
    if step is None or not options.line_search:
        step = 1.0 / model.lipschitz()
    u, z = start, model.image(start)
    v, z_v = u, z
    momentum, value = 1.0, np.inf
    count = 0
    while True:
        gradient = model.adjoint(model.slope(z_v))
        while True:
            target = v - step * gradient
            if not np.isfinite(target).all():
                return
            new = model.prox(target, step)
            moved = new - v
            moved_image = model.image(moved)
            squared = float(np.vdot(moved, moved))
            bregman = model.bregman(moved_image, z_v)
            # <=, so that a zero step passes; a step of rounding's size leaves nothing to test.
            if not options.line_search or 2.0 * step * bregman <= squared or squared == 0.0:
                break
            step *= _BACKTRACK
            if step == 0.0 or np.isnan(bregman) or np.isnan(squared):
                return
        if not (step > 0.0 and np.isfinite(squared) and np.isfinite(moved_image).all()):
            return
        z_new = z_v + moved_image
        travelled = new - u
        if options.restart == "gradient":
            restart = float(np.vdot(moved, travelled)) < 0.0
        elif options.restart == "value":
            previous, value = value, model.value(new, z_new)
            restart = value > previous
        else:
            restart = False
        count += 1
        if restart or not options.accelerate:
            momentum = 1.0
            v, z_v = new, z_new
        else:
            following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
            beta = (momentum - 1.0) / following
            momentum = following
            v, z_v = new + beta * travelled, z_new + beta * (z_new - z)
        u, z = new, z_new
        if count % _REFRESH == 0:  # images that are only added to would drift
            z, z_v = model.image(u), model.image(v)
        yield AcceleratedIterate(u, z, step, float(np.sqrt(squared)) / step)
        if options.line_search and (
            options.step_rule == "forward_track"
            or (options.step_rule == "lassplore" and squared > _MARGIN * 2.0 * step * bregman)
        ):
            step *= _GROW
