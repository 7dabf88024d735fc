"""R-FISTA: accelerated proximal gradient with line search and restarts, for a smooth function plus a prox.

Mishkin, Sahiner & Pilanci (arXiv 2202.01331); FISTA: Beck & Teboulle (2009); restarts: O'Donoghue & Candes (2015).
Differs from the authors' package in two ways: the momentum is the published one (theirs loses the convergence rate),
and the line search uses a Bregman distance free of cancellation near the optimum.
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
    """Composite objective h(B u) + R(u): h smooth and convex, B linear, R with a prox. Images are arrays z = B u."""

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
    """Options of the accelerated proximal gradient method; the defaults give R-FISTA.

    Attributes
    ----------
    accelerate : bool
        Use momentum. False gives proximal gradient descent (PGD).
    line_search : bool
        Backtrack from a step that may grow. False gives the fixed step 1 / L, with L from the power method.
    restart : {"gradient", "value", "none"}
        Reset the momentum when it forms an obtuse angle with the gradient step, when the objective increases, or never.
    step_rule : {"lassplore", "forward_track", "keep"}
        First step tried in the next iteration: 1.25 times the last one if that was accepted with a wide margin
        (factor 5), always 1.25 times the last one, or the last one.

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
    """An iterate: weights, image, step size and norm of the gradient mapping."""

    u: FloatArray
    z: FloatArray
    step: float
    residual: float


def iterate(
    model: CompositeModel, start: FloatArray, step: float | None, options: ProximalOptions
) -> Iterator[AcceleratedIterate]:
    """Yield iterates from ``start``; ``step`` is the first step tried, estimated if None.

    The iterator is infinite unless iterates overflow, as on unbounded problems (most easily in float32).
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
            forward_point = v - step * gradient
            if not np.isfinite(forward_point).all():
                return
            new = model.prox(forward_point, step)
            moved = new - v
            moved_image = model.image(moved)
            squared = float(np.vdot(moved, moved))
            bregman = model.bregman(moved_image, z_v)
            # <= accepts a zero step; a step at rounding level cannot be tested.
            if not options.line_search or 2.0 * step * bregman <= squared or squared == 0.0:
                break
            step *= _BACKTRACK
            if step == 0.0 or np.isnan(bregman) or np.isnan(squared):
                return
        if not (step > 0.0 and np.isfinite(squared) and np.isfinite(moved_image).all()):
            return
        z_new = z_v + moved_image
        displacement = new - u
        if options.restart == "gradient":
            restart = float(np.vdot(moved, displacement)) < 0.0
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
            next_momentum = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
            beta = (momentum - 1.0) / next_momentum
            momentum = next_momentum
            v, z_v = new + beta * displacement, z_new + beta * (z_new - z)
        u, z = new, z_new
        if count % _REFRESH == 0:  # recompute images, which accumulate rounding errors
            z, z_v = model.image(u), model.image(v)
        yield AcceleratedIterate(u, z, step, float(np.sqrt(squared)) / step)
        if options.line_search and (
            options.step_rule == "forward_track"
            or (options.step_rule == "lassplore" and squared > _MARGIN * 2.0 * step * bregman)
        ):
            step *= _GROW
