"""R-FISTA for C-GReLU: any smooth loss, any penalty with a prox."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights, check_choice, check_integer, check_number
from cvxrelu.exceptions import SolverError
from cvxrelu.numerics.rounding import TINY
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.solvers.first_order.accelerated_gradient import ProximalOptions, iterate
from cvxrelu.solvers.interface import Iterate, Limits, SolverResult
from cvxrelu.solvers.monitor import monitor
from cvxrelu.solvers.screening import can_screen, screened

_FIRST_CHECK = 10
_CHECK_GROWTH = 1.1
_GAP_FRACTION = 0.1


@dataclass(frozen=True, kw_only=True)
class RFISTA:
    """R-FISTA: restarted accelerated proximal gradient with line search (Mishkin, Sahiner & Pilanci 2022).

    Solves `ConvexGatedReLU` with every loss and penalty, in the precision of X. Each iteration costs one product with
    A and one with A', of 4 n P d c operations each; memory is the mask in row blocks and a few arrays of the size of
    the weights and of the predictions. Each check certifies the gap in float64.

    Parameters
    ----------
    accelerate : bool
        Use momentum. False gives proximal gradient descent.
    line_search : bool
        Backtrack from a step that may grow. False gives the fixed step 1 / L.
    restart : {"gradient", "value", "none"}
        Reset the momentum when it forms an obtuse angle with the gradient step, when the objective increases, or never.
    step_rule : {"lassplore", "forward_track", "keep"}
        Enlarge the next trial step after a step accepted with a wide margin, always, or never.
    step : float, optional
        First step tried; by default 1 / L, with L from the power method.
    screen : bool
        Use working sets of patterns if the penalty is separable over patterns (group_l1, l1, nuclear).
    max_iter : int
        Iteration limit, if `cvxrelu.solve` is given none.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexGatedReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> solution = cr.solve(problem, cr.RFISTA(restart="value"), tol=1e-5)
    >>> print(solution.status)
    optimal
    >>> plain = cr.RFISTA(accelerate=False, line_search=False)  # proximal gradient descent
    >>> print(cr.solve(problem, plain, tol=1e-3).status)
    optimal
    """

    accelerate: bool = True
    line_search: bool = True
    restart: Literal["gradient", "value", "none"] = "gradient"
    step_rule: Literal["lassplore", "forward_track", "keep"] = "lassplore"
    step: float | None = None
    screen: bool = True
    max_iter: int = 10_000

    def __post_init__(self) -> None:
        check_choice("restart", self.restart, ("gradient", "value", "none"))
        check_choice("step_rule", self.step_rule, ("lassplore", "forward_track", "keep"))
        check_integer("max_iter", self.max_iter, minimum=1)
        if self.step is not None:
            check_number("step", self.step, minimum=0.0, strict=True)

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the problem has cones."""
        if not isinstance(problem, ConvexGatedReLU):
            raise SolverError(
                "RFISTA solves ConvexGatedReLU, which has no cones: use AugmentedLagrangian or CLARABEL for ConvexReLU"
            )

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem from ``start`` (zero by default); see `cvxrelu.solve`."""
        self.check_problem(problem)
        first = problem.blocks(problem.zero_weights() if start is None else start)
        workspace = DualWorkspace()
        if self.screen and can_screen(problem):
            state = _Step(self.step)

            def inner(sub: ConvexProblem, _: NDArray[np.intp], u: FloatArray) -> Iterator[Iterate]:
                return self._candidates(sub, u, limits, state)

            candidates = screened(problem, first, limits, inner, _GAP_FRACTION, workspace)
        else:
            candidates = self._candidates(problem, first, limits, _Step(self.step))
        return monitor(problem, candidates, limits, "RFISTA", workspace)

    def _candidates(
        self, problem: ConvexProblem, start: FloatArray, limits: Limits, last: "_Step"
    ) -> Iterator[Iterate]:
        names = {field.name for field in fields(ProximalOptions)}
        options = ProximalOptions(**{name: getattr(self, name) for name in names})
        next_check = _FIRST_CHECK
        points = iterate(GatedModel(problem), start.astype(problem.X.dtype), last.size, options)
        pending = None
        for count, point in enumerate(points, start=1):
            last.size = point.step
            pending = Iterate(weights=problem.weights(point.u), n_iter=count, step=point.step)
            if count >= next_check or count >= limits.max_iter:
                next_check = int(max(count + _FIRST_CHECK, _CHECK_GROWTH * count))
                yield pending
                pending = None
        if pending is not None:  # the last iterate before overflow
            yield pending


@dataclass
class _Step:
    """Last step size, the first one tried on the next working set."""

    size: float | None


class GatedModel:
    """C-GReLU as a `CompositeModel`: images are predictions A u (n, c), in the precision of X."""

    def __init__(self, problem: ConvexProblem) -> None:
        self._problem = problem
        self._operator = problem.native_operator
        self._Y = problem.Y.astype(problem.X.dtype)

    def image(self, u: FloatArray) -> FloatArray:
        """Return A u."""
        return self._operator.forward(u)

    def adjoint(self, z: FloatArray) -> FloatArray:
        """Return A' z."""
        return self._operator.adjoint(z)

    def slope(self, z: FloatArray) -> FloatArray:
        """Return grad F(z)."""
        return self._problem.loss.gradient(z, self._Y)

    def bregman(self, step: FloatArray, z: FloatArray) -> float:
        """Return the Bregman distance of F."""
        return self._problem.loss.bregman(step, z, self._Y)

    def prox(self, u: FloatArray, step: float) -> FloatArray:
        """Return the prox of step * lam * Omega."""
        return self._problem.penalty.prox(u, step * self._problem.lam)

    def value(self, u: FloatArray, z: FloatArray) -> float:
        """Return F(z) + lam * Omega(u)."""
        return self._problem.loss.value(z, self._Y) + self._problem.lam * self._problem.penalty.value(u)

    def lipschitz(self) -> float:
        """Return L_F ||A||^2, at least TINY so that it is positive for X = 0."""
        smoothness = self._problem.loss.smoothness(self._problem.n)
        return max(smoothness * self._operator.squared_norm(), TINY)
