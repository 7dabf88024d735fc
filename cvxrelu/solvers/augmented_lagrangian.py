"""The augmented Lagrangian method for C-ReLU, on R-FISTA subproblems."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray, check_integer, check_number
from cvxrelu.convex_problem import ConvexProblem, Weights
from cvxrelu.exceptions import SolverError
from cvxrelu.operators import GatedOperator
from cvxrelu.problems import ConvexReLU
from cvxrelu.solvers.monitor import Candidate, Limits, watch
from cvxrelu.solvers.proximal import Iterate, ProximalOptions, iterate
from cvxrelu.solvers.result import RawResult

_WINDOW = (1e-3, 1e-2)
_FIRST_TOLERANCE = 1e-3
_TOLERANCE = 1e-6
_SUBPROBLEM_ITERATIONS = 2_000
_EXACT_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class AugmentedLagrangian:
    """The augmented Lagrangian method (Mishkin, Sahiner & Pilanci 2022) with signed multiplier updates.

    Minimises F + lam * Omega + delta/2 sum (gamma / delta - (2 D - I) X w)_+^2 over V and W by R-FISTA, then updates
    gamma <- (gamma - delta (2 D - I) X w)_+, each subproblem started from the last one. Each check repairs the point
    into its cones and certifies the gap with gamma, or with the best multipliers where time allows. Memory: some ten
    arrays of n x 2 c P numbers for the cones, beside the mask.

    Parameters
    ----------
    delta : "window" or float
        The penalty strength: fixed, or found by the paper's window: from 100 / n doubled until the squared violation
        of the first subproblems is below 1e-2, halved until it is above 1e-3.
    inner : ProximalOptions
        How the subproblems are solved.
    max_iter : int
        Limit of inner iterations in all, where `cvxrelu.solve` is given none.
    """

    delta: Literal["window"] | float = "window"
    inner: ProximalOptions = field(default_factory=ProximalOptions)
    max_iter: int = 100_000

    def __post_init__(self) -> None:
        if self.delta != "window":
            check_number("delta", self.delta, minimum=0.0, strict=True)
        check_integer("max_iter", self.max_iter, minimum=1)

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the problem has no cones."""
        if not isinstance(problem, ConvexReLU):
            raise SolverError("AugmentedLagrangian solves ConvexReLU; ConvexGatedReLU has no cones: use RFISTA")

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> RawResult:
        """Solve the problem from ``start`` (zero by default); see `cvxrelu.solve`."""
        self.check_problem(problem)
        return watch(problem, self._candidates(problem, start, limits), limits, "AugmentedLagrangian")

    def _candidates(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> Iterator[Candidate]:
        delta = 100.0 / problem.n if self.delta == "window" else float(self.delta)
        model = PenalisedModel(problem, delta)
        u = problem.blocks(problem.zero_weights() if start is None else start).astype(problem.X.dtype)
        in_window = self.delta == "window"
        tolerance = _FIRST_TOLERANCE
        step: float | None = None
        count = 0
        clock = _ExactClock()
        while True:
            remaining = min(_SUBPROBLEM_ITERATIONS, limits.max_iter - count)
            point, used = _solve_subproblem(model, u, step, self.inner, tolerance, remaining)
            u, step, count = point.u, point.step, count + used
            violation = model.squared_violation(point.z)
            if in_window and violation > _WINDOW[1]:
                model.delta, step = 2.0 * model.delta, 0.5 * step
                continue
            if in_window and violation < _WINDOW[0] and count < limits.max_iter and violation > 0.0:
                model.delta, step, tolerance = 0.5 * model.delta, 2.0 * step, 0.5 * tolerance
                in_window = model.delta > 1e-6 / problem.n
                continue
            if in_window:
                in_window, tolerance = False, _TOLERANCE
            model.update_multipliers(point.z)
            if 2.0 * violation < tolerance:
                tolerance *= 0.5
            multipliers = None if clock.affordable() else model.sparse_multipliers()
            yield Candidate(weights=problem.weights(u), n_iter=count, step=step, multipliers=multipliers)
            clock.checked(exact=multipliers is None)


def _solve_subproblem(
    model: "PenalisedModel",
    start: FloatArray,
    step: float | None,
    options: ProximalOptions,
    tolerance: float,
    max_iter: int,
) -> tuple[Iterate, int]:
    """Iterate until the squared gradient mapping is at most the tolerance; return the point and the iterations."""
    count = 0
    for count, point in enumerate(iterate(model, start, step, options), start=1):
        if point.residual**2 <= tolerance or count >= max_iter:
            break
    return point, count


class _ExactClock:
    """Keeps the checks with exact multipliers, a projection for each block, to a share of the time."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._before = self._started
        self._spent = 0.0

    def affordable(self) -> bool:
        """Say whether an exact check is due, and note the time."""
        self._before = time.perf_counter()
        return self._spent <= _EXACT_SHARE * (self._before - self._started)

    def checked(self, *, exact: bool) -> None:
        """Note the time that the check took."""
        if exact:
            self._spent += time.perf_counter() - self._before


class PenalisedModel:
    """The augmented Lagrangian as the proximal iteration sees it.

    Images are arrays (n, c + 2 c P): the prediction A (V - W), then the activations (2 D - I) X w of each block.
    """

    def __init__(self, problem: ConvexProblem, delta: float) -> None:
        dtype = problem.X.dtype
        self.delta = delta
        self._problem = problem
        self._c = problem.n_outputs
        self._operator = GatedOperator(problem.X, problem.patterns.D)
        self._Y = problem.Y.astype(dtype)
        self._signs = np.tile(np.where(problem.patterns.D, 1.0, -1.0).astype(dtype), (1, 2 * self._c))
        self._gamma = np.zeros_like(self._signs)

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
        """Return the Bregman distance of F and of the quadratic penalties, free of cancellation."""
        before = self._gamma - self.delta * z[:, self._c :]
        moved = -self.delta * step[:, self._c :]
        after = before + moved
        kept = np.where(after > 0.0, 0.5 * moved * moved, before * (0.5 * before - after))
        distance = np.where(before > 0.0, kept, 0.5 * np.maximum(after, 0.0) ** 2)
        loss = self._problem.loss.bregman(step[:, : self._c], z[:, : self._c], self._Y)
        return loss + float(np.sum(distance)) / self.delta

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
        return max(2.0 * smoothness * self._operator.squared_norm() + cones, float(np.finfo(np.float64).tiny))

    def squared_violation(self, z: FloatArray) -> float:
        """Return sum max(-(2 D - I) X w, 0)^2."""
        return float(np.sum(np.minimum(z[:, self._c :], 0.0) ** 2))

    def update_multipliers(self, z: FloatArray) -> None:
        """Set gamma to (gamma - delta (2 D - I) X w)_+."""
        self._gamma = self._pressure(z)

    def sparse_multipliers(self) -> sp.csr_array:
        """Return gamma as a sparse array (2 c P, n)."""
        return sp.csr_array(self._gamma.T.astype(np.float64))

    def _pressure(self, z: FloatArray) -> FloatArray:
        pressure: FloatArray = np.maximum(self._gamma - self.delta * z[:, self._c :], 0.0)
        return pressure
