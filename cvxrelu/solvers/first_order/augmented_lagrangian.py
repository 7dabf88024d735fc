"""Augmented Lagrangian method for C-ReLU, with subproblems solved by R-FISTA."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights, check_integer, check_number
from cvxrelu.exceptions import SolverError
from cvxrelu.numerics.rounding import TINY
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.memory import require
from cvxrelu.solvers.first_order.accelerated_gradient import AcceleratedIterate, ProximalOptions, iterate
from cvxrelu.solvers.interface import Iterate, Limits, SolverResult
from cvxrelu.solvers.monitor import monitor
from cvxrelu.solvers.screening import can_screen, screened

_WINDOW = (1e-3, 1e-2)
_FIRST_DELTA = 100.0
_FIRST_TOLERANCE = 1e-3
_TOLERANCE = 1e-6
_SUBPROBLEM_ITERATIONS = 2_000
_SMALLEST_DELTA = 1e-6
_GAP_FRACTION = 0.3


@dataclass(frozen=True, kw_only=True)
class AugmentedLagrangian:
    """Augmented Lagrangian method (Mishkin, Sahiner & Pilanci 2022) with signed multiplier updates.

    Minimises F + lam * Omega + delta/2 sum (gamma / delta - (2 D - I) X w)_+^2 over V and W by R-FISTA, then updates
    gamma <- (gamma - delta (2 D - I) X w)_+; each subproblem is warm-started. Each check repairs the point into its
    cones and certifies the gap. Memory: the mask, one array of n x 2 c P numbers for the multipliers, and about ten of
    n x 2 c P' for the P' patterns of the working set.

    Parameters
    ----------
    delta : "window" or float
        Penalty parameter: fixed, or chosen by the paper's window rule, which starts at 100 / n and doubles delta while
        the squared violation of the first subproblems is above 1e-2, or halves it while it is below 1e-3.
    inner : ProximalOptions
        Options of the subproblem solver.
    screen : bool
        Use working sets of patterns if the penalty is separable over patterns (group_l1, l1).
    max_iter : int
        Limit of the total number of inner iterations, if `cvxrelu.solve` is given none.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> solver = cr.AugmentedLagrangian(delta=100.0, inner=cr.ProximalOptions(restart="value"))
    >>> solution = cr.solve(problem, solver, tol=1e-2)
    >>> print(solution.status, problem.violation(solution.weights))
    optimal 0.0
    """

    delta: Literal["window"] | float = "window"
    inner: ProximalOptions = field(default_factory=ProximalOptions)
    screen: bool = True
    max_iter: int = 100_000

    def __post_init__(self) -> None:
        if self.delta != "window":
            check_number("delta", self.delta, minimum=0.0, strict=True)
        check_integer("max_iter", self.max_iter, minimum=1)

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the problem has no cones, or InsufficientMemoryError if it does not fit in memory."""
        if not isinstance(problem, ConvexReLU):
            raise SolverError("AugmentedLagrangian solves ConvexReLU; ConvexGatedReLU has no cones: use RFISTA")
        blocks = 2 * problem.n_outputs * len(problem.patterns)
        arrays = 2 if self.screen and can_screen(problem) else 10
        require(
            float(problem.X.itemsize) * arrays * problem.n * blocks,
            f"AugmentedLagrangian, with {arrays} arrays of {problem.n} rows for each of {blocks} cones,",
            "take fewer gates",
        )

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem from ``start`` (zero by default); see `cvxrelu.solve`."""
        self.check_problem(problem)
        first = problem.blocks(problem.zero_weights() if start is None else start)
        workspace = DualWorkspace()
        state = _State.at_start(problem, self.delta)
        if self.screen and can_screen(problem):

            def inner(sub: ConvexProblem, index: NDArray[np.intp], u: FloatArray) -> Iterator[Iterate]:
                return self._candidates(sub, u, limits, state, index)

            candidates = screened(problem, first, limits, inner, _GAP_FRACTION, workspace)
        else:
            all_patterns = np.arange(len(problem.patterns))
            candidates = self._candidates(problem, first, limits, state, all_patterns)
        return monitor(problem, candidates, limits, "AugmentedLagrangian", workspace)

    def _candidates(
        self,
        problem: ConvexProblem,
        start: FloatArray,
        limits: Limits,
        state: "_State",
        index: NDArray[np.intp],
    ) -> Iterator[Iterate]:
        """Yield the solution of each subproblem on the patterns in ``index``; update the state for the next one."""
        model = PenalisedModel(problem, state.delta, state.multipliers_of(index))
        u = start.astype(problem.X.dtype)
        count = 0
        while True:
            remaining = min(_SUBPROBLEM_ITERATIONS, limits.max_iter - count)
            expired = limits.rounds()
            point, used = _solve_subproblem(model, u, state.step, self.inner, state.tolerance, remaining, expired)
            if point is None:
                return
            u, state.step, count = point.u, point.step, count + used
            state.after_subproblem(model, model.squared_violation(point.z), last=count >= limits.max_iter or expired())
            if state.in_window:
                continue
            model.update_multipliers(point.z)
            state.keep_multipliers(index, model.gamma)
            multipliers = model.sparse_multipliers()
            yield Iterate(weights=problem.weights(u), n_iter=count, step=point.step, multipliers=multipliers)


def _solve_subproblem(
    model: "PenalisedModel",
    start: FloatArray,
    step: float | None,
    options: ProximalOptions,
    tolerance: float,
    max_iter: int,
    expired: Callable[[], bool],
) -> tuple[AcceleratedIterate | None, int]:
    """Iterate until the squared gradient mapping is at most the tolerance; return the point and iteration count.

    The point is None if the first step overflows.
    """
    point, count = None, 0
    for count, point in enumerate(iterate(model, start, step, options), start=1):
        if point.residual**2 <= tolerance or count >= max_iter or expired():
            break
    return point, count


@dataclass
class _State:
    """State carried between subproblems and working sets: delta, step, tolerance and all multipliers."""

    delta: float
    in_window: bool
    gamma: FloatArray
    tolerance: float = _FIRST_TOLERANCE
    step: float | None = None

    @classmethod
    def at_start(cls, problem: ConvexProblem, delta: Literal["window"] | float) -> Self:
        """Return the initial state: zero multipliers, and delta as given or 100 / n."""
        gamma = np.zeros((problem.n, 2, problem.n_outputs, len(problem.patterns)), dtype=problem.X.dtype)
        if delta == "window":
            return cls(delta=_FIRST_DELTA / problem.n, in_window=True, gamma=gamma)
        return cls(delta=float(delta), in_window=False, gamma=gamma, tolerance=_TOLERANCE)

    def multipliers_of(self, index: NDArray[np.intp]) -> FloatArray:
        """Return the multipliers (n, 2 c |index|) of the patterns in ``index``."""
        return self.gamma[..., index].reshape(len(self.gamma), -1)

    def keep_multipliers(self, index: NDArray[np.intp], gamma: FloatArray) -> None:
        """Store the multipliers of the patterns in ``index``."""
        self.gamma[..., index] = gamma.reshape(*self.gamma.shape[:3], len(index))

    def after_subproblem(self, model: "PenalisedModel", squared_violation: float, *, last: bool) -> None:
        """Adapt delta during the window phase; afterwards tighten the tolerance with the violation."""
        if self.in_window and not last:
            factor = 1.0
            if squared_violation > _WINDOW[1]:
                factor = 2.0
            elif 0.0 < squared_violation < _WINDOW[0] and self.delta > _SMALLEST_DELTA / len(self.gamma):
                factor, self.tolerance = 0.5, 0.5 * self.tolerance
            if factor != 1.0:
                self.delta, self.step = factor * self.delta, None if self.step is None else self.step / factor
                model.delta = self.delta
                return
        if self.in_window:
            self.in_window, self.tolerance = False, _TOLERANCE
        if 2.0 * squared_violation < self.tolerance:
            self.tolerance *= 0.5


class PenalisedModel:
    """The augmented Lagrangian as a `CompositeModel`.

    Images are arrays (n, c + 2 c P): the prediction A (V - W), then the activations (2 D - I) X w of each block.
    """

    def __init__(self, problem: ConvexProblem, delta: float, gamma: FloatArray) -> None:
        dtype = problem.X.dtype
        self.delta = delta
        self.gamma = gamma
        self._problem = problem
        self._c = problem.n_outputs
        self._operator = problem.native_operator
        self._Y = problem.Y.astype(dtype)
        self._signs = np.tile(np.where(problem.patterns.D, 1.0, -1.0).astype(dtype), (1, 2 * self._c))

    def image(self, u: FloatArray) -> FloatArray:
        """Return predictions and activations."""
        prediction = self._operator.forward(u[0] - u[1])
        activations = self._problem.X @ u.reshape(-1, u.shape[-1]).T
        activations *= self._signs
        return np.hstack([prediction, activations])

    def adjoint(self, z: FloatArray) -> FloatArray:
        """Return the adjoint of `image`."""
        Z = self._operator.adjoint(z[:, : self._c])
        cones = (z[:, self._c :] * self._signs).T @ self._problem.X
        return np.stack([Z, -Z]) + cones.reshape(2, *Z.shape)

    def slope(self, z: FloatArray) -> FloatArray:
        """Return the gradient with respect to predictions and activations."""
        f = self._problem.loss.gradient(z[:, : self._c], self._Y)
        return np.hstack([f, -self._pressure(z)])

    def bregman(self, step: FloatArray, z: FloatArray) -> float:
        """Return the Bregman distance of F and of the quadratic penalties, free of cancellation.

        With p = a_+ and slack m = (-a)_+ at a = gamma - delta z, the distance of a_+^2 / 2 is q^2/2 + p m' for the
        change q of p and the slack m' after the step: a sum of non-negative terms.
        """
        pressure = self._pressure(z)
        slack = pressure - (self.gamma - self.delta * z[:, self._c :])
        moved = -self.delta * step[:, self._c :] - slack
        change = np.maximum(moved, -pressure)
        distance = 0.5 * np.vdot(change, change) + np.vdot(pressure, change - moved)
        loss = self._problem.loss.bregman(step[:, : self._c], z[:, : self._c], self._Y)
        return loss + float(distance) / self.delta

    def prox(self, u: FloatArray, step: float) -> FloatArray:
        """Return the prox of step * lam * Omega."""
        return self._problem.penalty.prox(u, step * self._problem.lam)

    def value(self, u: FloatArray, z: FloatArray) -> float:
        """Return the augmented Lagrangian."""
        loss = self._problem.loss.value(z[:, : self._c], self._Y)
        penalties = float(np.sum(self._pressure(z) ** 2)) / (2.0 * self.delta)
        return loss + penalties + self._problem.lam * self._problem.penalty.value(u)

    def lipschitz(self) -> float:
        """Return 2 L_F ||A||^2 + delta ||X||^2."""
        smoothness = self._problem.loss.smoothness(self._problem.n)
        cones = self.delta * float(np.linalg.norm(self._problem.X, 2)) ** 2
        return max(2.0 * smoothness * self._operator.squared_norm() + cones, TINY)

    def squared_violation(self, z: FloatArray) -> float:
        """Return sum max(-(2 D - I) X w, 0)^2."""
        return float(np.sum(np.minimum(z[:, self._c :], 0.0) ** 2))

    def update_multipliers(self, z: FloatArray) -> None:
        """Set gamma to (gamma - delta (2 D - I) X w)_+."""
        self.gamma = self._pressure(z)

    def sparse_multipliers(self) -> sp.csr_array:
        """Return gamma as a sparse array (2 c P, n)."""
        return sp.csr_array(self.gamma.T.astype(np.float64))

    def _pressure(self, z: FloatArray) -> FloatArray:
        pressure: FloatArray = np.maximum(self.gamma - self.delta * z[:, self._c :], 0.0)
        return pressure
