"""Progress of a solve: certified attempts, best weights, best lower bound and history."""

import time as clock
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from cvxrelu._validation import Weights
from cvxrelu.certificates.certificate import Certificate, certify_solved, with_dual_point
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.runtime.interrupts import note_interrupt
from cvxrelu.solvers.interface import Attempt, Callback, Record, SolverResult
from cvxrelu.status import Status

CALLER_STATUSES = (Status.MAX_ITER, Status.TIME_LIMIT, Status.STOPPED, Status.INTERRUPTED)


class _Best(NamedTuple):
    """The best weights with certificate, result and solver, and the certificate with the largest lower bound."""

    certificate: Certificate
    result: SolverResult
    solver: str
    dual: Certificate


class Progress:
    """State of a solve. Related values are replaced together, as Ctrl-C may come at any time.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The original problem.
    tol : float
        Relative gap to reach.
    time_limit : float or None
        Seconds after which certificates stop tightening their dual point.
    callback : callable or None
        Callback of the caller, called here for solvers without a history; native solvers call it themselves.
    now : callable
        Clock.
    """

    def __init__(
        self,
        problem: ConvexProblem,
        tol: float,
        time_limit: float | None,
        callback: Callback | None,
        now: Callable[[], float] = clock.perf_counter,
    ) -> None:
        self.problem = problem
        self.tol = tol
        self.attempts: list[Attempt] = []
        self.history: list[Record] = []
        self._time_limit = float("inf") if time_limit is None else time_limit
        self._callback = callback
        self._now = now
        self._started = now()
        self._best: _Best | None = None
        self._interrupted = False

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._started

    @property
    def weights(self) -> Weights | None:
        """The best weights so far."""
        return None if self._best is None else self._best.certificate.weights

    @property
    def _incumbent(self) -> _Best:
        if self._best is None:
            raise RuntimeError("no solver has returned weights")
        return self._best

    @property
    def result(self) -> SolverResult:
        """Solver result of the best weights."""
        return self._incumbent.result

    @property
    def solver(self) -> str:
        """Name of the solver that found the best weights."""
        return self._incumbent.solver

    @property
    def gap(self) -> float:
        """Gap of the best weights and the best lower bound so far; infinite before the first."""
        return float("inf") if self._best is None else self._best.certificate.upper - self._best.dual.lower

    def reaches_tol(self) -> bool:
        """Return whether the best weights and the best lower bound so far prove the tolerance."""
        if self._best is None:
            return False
        return self.gap <= max(self.tol * abs(self._best.certificate.upper), self.problem.resolution)

    def interrupt(self) -> None:
        """End the solve after a caught KeyboardInterrupt; raise it again if there is no point yet."""
        if self._best is None:
            raise KeyboardInterrupt
        note_interrupt()
        self._interrupted = True

    def add(self, solver: str, results: Iterable[SolverResult]) -> None:
        """Certify the results of one solver as they come, until the gap is small enough or Ctrl-C is pressed."""
        began = self.elapsed
        certificates: list[Certificate] = []
        result = None
        try:
            for result in results:
                certificate = self._certified(solver, result)
                certificates.append(certificate)
                if self.reaches_tol() or self._interrupted:
                    break
        except KeyboardInterrupt:
            self.interrupt()
        at_zero = self.problem.value_at_zero  # for a solver interrupted before its first point
        upper = min((certificate.upper for certificate in certificates), default=at_zero)
        lower = max((certificate.lower for certificate in certificates), default=float("-inf"))
        status, solver_status, n_iter = Status.INTERRUPTED, "KeyboardInterrupt", None
        if result is not None:
            status, solver_status, n_iter = result.status, result.solver_status, result.n_iter
        if self.reaches_tol():
            status = Status.OPTIMAL
        elif self._interrupted:
            status = Status.INTERRUPTED
        elif status is Status.OPTIMAL:  # claimed by the solver, not certified
            status = Status.INACCURATE
        self.attempts.append(
            Attempt(
                solver=solver,
                status=status,
                solver_status=solver_status,
                objective=upper,
                lower=min(lower, upper),
                n_iter=n_iter,
                time=self.elapsed - began,
            )
        )

    def status(self) -> Status:
        """Return the status of the solve: a limit of the caller, or the status of the solver of the best weights."""
        if self.reaches_tol():
            return Status.OPTIMAL
        if self._interrupted:
            return Status.INTERRUPTED
        last = self.attempts[-1]
        if last.status in CALLER_STATUSES:
            return last.status
        return next(one.status for one in reversed(self.attempts) if one.solver == self.solver)

    def certificate(self) -> Certificate:
        """Return the certificate of the best weights with the best lower bound."""
        best, dual = self._incumbent.certificate, self._incumbent.dual
        return best if dual.lower <= best.lower else with_dual_point(best, dual.dual)

    def _certified(self, solver: str, result: SolverResult) -> Certificate:
        offered = None if result.t is None else DualPoint(result.t, result.multipliers, float("nan"))
        try:
            workspace = self._limited(result.workspace)
            certificate = certify_solved(self.problem, result.weights, offered, workspace, self.tol)
        except KeyboardInterrupt:
            if self._interrupted or result.status is Status.INTERRUPTED:
                raise
            note_interrupt()
            self._interrupted = True
            certificate = certify_solved(self.problem, result.weights, offered, self._limited(None))  # start again
        if certificate.upper > self.problem.value_at_zero:  # for example after a costly repair
            zero = self.problem.zero_weights()
            certificate = certify_solved(self.problem, zero, certificate.dual, self._limited(None))
        kept = replace(result, weights=certificate.weights, workspace=None)  # which refers to this object
        best = self._best or _Best(certificate, kept, solver, certificate)
        if certificate.upper < best.certificate.upper:
            best = best._replace(certificate=certificate, result=kept, solver=solver)
        if certificate.lower > best.dual.lower:
            best = best._replace(dual=certificate)
        self._best = best
        if result.history:
            self.history.extend(result.history)
            return certificate
        record = Record(
            n_iter=result.n_iter,
            time=self.elapsed,
            objective=certificate.upper,
            lower=certificate.lower,
            violation=certificate.max_violation,
            solver=solver,
        )
        self.history.append(record)
        if self._callback is not None:
            self._callback(record)
        return certificate

    def _limited(self, workspace: DualWorkspace | None) -> DualWorkspace:
        """Return the given or a new workspace, set to expire at the time limit."""
        workspace = workspace or DualWorkspace()
        workspace.expired = lambda: self.elapsed >= self._time_limit
        return workspace
