"""Semismooth Newton on the dual of the proximal-point method, for C-GReLU on a working set of patterns.

A proximal-point step from the centre u minimises F(A v) + lam * Omega(v) + ||v - u||^2 / (2 sigma). Its dual is smooth,
with gradient  grad F*(t) - A p(t),  p(t) = prox_{sigma lam Omega}(u - sigma A't),  and a Hessian of low-rank structure
on the patterns where p is not zero (Li, Sun & Toh 2018; Zhang, Zhang, Sun & Toh 2020 for group norms).
"""

from enum import Enum, auto
from typing import cast

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import DualTerm, dual_term
from cvxrelu.losses.dual_steps import descent_step
from cvxrelu.numerics.rounding import TINY
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.interface import Budget
from cvxrelu.solvers.working_set.continuation import Guess, Trail
from cvxrelu.solvers.working_set.newton_step import NewtonStep

_FIRST_SIGMA = 0.1
_SIGMA_GROWTH = 10.0
_SIGMA_DROP = 0.1
_RECOVERY = 2.0
# From an extrapolated start, where some patterns enter at once: a part of the last sigma, and slower growth.
_RESUMED_SIGMA, _RESUMED_GROWTH = 0.3, 3.0
_FEW_STEPS = 2
_SMALLEST_SIGMA = 1e-6
_LONG_SIGMA = 1e8  # only from here on, a step that moves nothing but rounding shows that there is no progress
_INEXACTNESS = 0.25
_STEPS_PER_CENTRE = 50
_SLOPE_DROP = 0.5
_SEARCH_DROP = 0.3
_SEARCHES = 20
_ROUNDINGS = 16.0


class _End(Enum):
    """Outcome of the Newton steps for one centre."""

    DONE = auto()
    CONVERGED = auto()
    FAILED = auto()


class ProximalNewton:
    """Proximal-point solver on working sets, with t, sigma and the linear systems kept from one set to the next.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem.
    penalty : PatternNorm
        Its penalty: group_l1, l1 or nuclear.
    prediction : ndarray of shape (n, c)
        A u at the start.
    trail : Trail
        What earlier solves at other lams have left.
    guess : Guess, optional
        A start extrapolated from them: t is taken from it, and sigma from the last of them.
    n_steps : int
        Iterations before the first step.
    """

    def __init__(
        self,
        problem: ConvexProblem,
        penalty: PatternNorm,
        prediction: FloatArray,
        trail: Trail,
        guess: Guess | None = None,
        n_steps: int = 0,
    ) -> None:
        self.problem = problem
        self.penalty = penalty
        self.term = cast(DualTerm, dual_term(problem.loss, problem.Y))  # as `WorkingSet.check_problem` has found
        self.t = self.term.start(prediction)
        X = problem.operator.X
        self._eps = float(np.finfo(problem.X.dtype).eps)
        row = max(float(np.einsum("ij,ij->", X, X)) / problem.n, TINY)
        self._strength = 1.0 / problem.loss.smoothness(problem.n)
        self._first_sigma = _FIRST_SIGMA * self._strength / row
        self._largest_sigma = np.inf
        self.sigma, self._growth = self._first_sigma, _SIGMA_GROWTH
        if guess is not None:
            self.t = guess.dual(self.term)
            self.sigma, self._growth = max(self.sigma, _RESUMED_SIGMA * trail.sigma), _RESUMED_GROWTH
        self.n_steps = n_steps
        self._systems = trail.systems(self.term.constant_curvature)
        self.exhausted = False

    def minimise(
        self,
        operator: GatedOperator,
        index: np.ndarray,
        u: FloatArray,
        Z: FloatArray,
        gap_tol: float,
        budget: Budget,
    ) -> tuple[FloatArray, float]:
        """Take proximal-point steps on a working set until its duality gap is at most ``gap_tol``.

        Parameters
        ----------
        operator : GatedOperator
            A on the working set.
        index : ndarray of shape (k,)
            Its patterns, ascending; cached quantities of known patterns are reused.
        u : ndarray of shape (c, k, d)
            Initial weights.
        Z : ndarray of shape (c, k, d)
            A't at the current t.
        gap_tol : float
            Absolute duality gap to reach.
        budget : Budget
            Limits of steps and time. ``exhausted`` is set if rounding prevents further progress.

        Returns
        -------
        ndarray of shape (c, k, d), float
            The weights and their objective.
        """
        self._systems.enter(operator, index)
        self.exhausted = False
        before = self.n_steps
        while True:
            entered = self.n_steps
            v, upper, outcome = self._centre(operator, u, Z, gap_tol, budget)
            Z = self._Z
            if outcome is _End.DONE:
                if self.n_steps - before <= _FEW_STEPS:  # easy: the next call starts here, with a longer step
                    self._recentre()
                if self.n_steps == entered:  # t belongs to earlier weights: another long step from it would overshoot
                    self.t = self.term.start(operator.forward(v))
                break
            if outcome is _End.FAILED:  # too ill-conditioned: a shorter proximal-point step
                self._largest_sigma = 0.5 * self.sigma
                self.sigma *= _SIGMA_DROP
                self.exhausted = self.sigma < _SMALLEST_SIGMA * self._first_sigma
            else:
                moved = float(np.linalg.norm(v - u))
                idle = moved <= _ROUNDINGS * self._eps * float(np.linalg.norm(v))
                self.exhausted = idle and self.sigma >= _LONG_SIGMA * self._first_sigma
                self._recentre()
                u = v
            if self.exhausted:
                break
        self.t = min(1.0, self.term.largest_multiple(self.t)) * self.t
        return v, upper

    def _recentre(self) -> None:
        """Move the centre to the current point and lengthen the proximal-point step."""
        self.term.recentre(self.t, self.sigma)
        self._largest_sigma *= _RECOVERY
        self.sigma = min(self._growth * self.sigma, self._largest_sigma)

    def _centre(
        self, operator: GatedOperator, u: FloatArray, Z: FloatArray, gap_tol: float, budget: Budget
    ) -> tuple[FloatArray, float, "_End"]:
        """Take Newton steps for one centre; return the weights, their objective and the outcome."""
        problem, penalty, sigma = self.problem, self.penalty, self.sigma
        for count in range(_STEPS_PER_CENTRE + 1):
            w = u - sigma * Z
            v = penalty.prox(w, sigma * problem.lam)
            active = np.flatnonzero(np.any(v, axis=(0, 2)))
            prediction = operator.forward(v)
            rows = self.term.rows(self.t, sigma)
            gradient = rows.gradient - prediction
            if rows.coupling is not None:  # predictions are unique up to a constant in each row
                gradient -= gradient.mean(axis=1, keepdims=True)
            upper = problem.loss.value(prediction, problem.Y) + problem.lam * penalty.value(v[:, active])
            self._Z = Z
            if upper - self._dual_value(Z) <= gap_tol:
                return v, upper, _End.DONE
            if budget.spent(self.n_steps):
                return v, upper, _End.DONE
            # In the norm of Q, entries near the boundary of the domain count little.
            residual = float(np.vdot(gradient, rows.respond(gradient)))
            rounding = self._eps * (np.linalg.norm(rows.gradient) + np.linalg.norm(prediction))
            moved = float(np.sum((v - u) ** 2))
            if residual <= max(_INEXACTNESS / sigma * moved, float(_ROUNDINGS * rounding) ** 2 / self._strength):
                return v, upper, _End.CONVERGED
            if count == _STEPS_PER_CENTRE:
                break
            self.n_steps += 1
            jacobian = penalty.prox_jacobian(np.ascontiguousarray(w[:, active]), sigma * problem.lam)
            step = self._systems.direction(NewtonStep(active, jacobian, rows, sigma, gradient))
            step = descent_step(self.term, self.t, step, gradient)
            change = operator.adjoint(step)
            start = float(np.vdot(rows.gradient, step) - np.vdot(v, change))
            length = self._search(w, sigma * change, step, start)
            if length == 0.0:
                break
            self.t = self.term.moved(self.t, length * step)
            Z = Z + length * change
        return v, upper, _End.FAILED

    def _search(self, w: FloatArray, change: FloatArray, step: FloatArray, start: float) -> float:
        """Return a step length with a sufficiently reduced slope of the dual, by a safeguarded secant method.

        The slope is ``start`` at first.
        """
        problem, sigma = self.problem, self.sigma
        threshold = sigma * problem.lam

        def slope(length: float) -> float:
            v = problem.penalty.prox(w - length * change, threshold)
            f = self.term.gradient(self.t + length * step, sigma)
            return float(np.vdot(f, step) - np.vdot(v, change) / sigma)

        if not start < 0.0:
            return 0.0
        longest = max(1.0, self.term.longest_step(self.t, step))
        high = 1.0
        at_high = slope(high)
        if abs(at_high) <= _SLOPE_DROP * -start:
            return high
        low, at_low = 0.0, start
        while at_high < 0.0 and high < longest:
            low, at_low = high, at_high
            high = min(2.0 * high, longest)
            at_high = slope(high)
        if at_high < 0.0 or not np.isfinite(at_high):
            return high if np.isfinite(high) and np.isfinite(at_high) else low
        length = high
        for _ in range(_SEARCHES):
            length = low + (high - low) * float(np.clip(-at_low / (at_high - at_low), 0.1, 0.9))
            here = slope(length)
            if abs(here) <= _SEARCH_DROP * -start:
                break
            if here < 0.0:
                low, at_low = length, here
            else:
                high, at_high = length, here
        return length

    def _dual_value(self, Z: FloatArray) -> float:
        """Return the dual objective at the best feasible multiple of t, for A't = Z (c, k, d)."""
        return self.term.bound(self.t, self.problem.lam, self.penalty.dual_norm(Z))
