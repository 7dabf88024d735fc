"""The attempts of a solve, certified as they come: best weights, best lower bound, history."""

import time as clock
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cvxrelu._validation import Weights
from cvxrelu.certificates.certificate import Certificate, certify_solved, with_dual_point
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.runtime.interrupts import note_interrupt
from cvxrelu.solvers.interface import Attempt, Callback, Record, SolverResult
from cvxrelu.status import Status

OF_THE_CALLER = (Status.MAX_ITER, Status.TIME_LIMIT, Status.STOPPED, Status.INTERRUPTED)


class _Best(NamedTuple):
    """The best weights, certified, and where they are from, and the certificate of the greatest lower bound."""

    certificate: Certificate
    result: SolverResult
    solver: str
    dual: Certificate


class Progress:
    """What has come of a solve so far. What belongs together is replaced at once: it may be interrupted anywhere.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem, as the caller gave it.
    tol : float
        The relative gap that is asked for.
    time_limit : float or None
        Seconds after which certificates take the proofs that they have.
    callback : callable or None
        The caller's; native solvers tell it of their checks themselves.
    now : callable
        The clock.
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
    def _found(self) -> _Best:
        if self._best is None:
            raise RuntimeError("no solver has returned weights")
        return self._best

    @property
    def result(self) -> SolverResult:
        """The result that the best weights are from."""
        return self._found.result

    @property
    def solver(self) -> str:
        """The solver that has found them."""
        return self._found.solver

    def reaches_tol(self) -> bool:
        """Return whether the gap that is asked for is proven, by the best weights and the best lower bound so far."""
        if self._best is None:
            return False
        upper = self._best.certificate.upper
        return upper - self._best.dual.lower <= max(self.tol * abs(upper), self.problem.resolution)

    def interrupt(self) -> None:
        """Take a KeyboardInterrupt that was caught for the end of the solve; raise it if there is no point yet."""
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
        nothing = self.problem.objective(self.problem.zero_weights())  # what a solver cut short before it has a point
        upper = min((certificate.upper for certificate in certificates), default=nothing)
        lower = max((certificate.lower for certificate in certificates), default=float("-inf"))
        status, word, n_iter = Status.INTERRUPTED, "KeyboardInterrupt", None
        if result is not None:
            status, word, n_iter = result.status, result.solver_status, result.n_iter
        if self.reaches_tol():
            status = Status.OPTIMAL
        elif self._interrupted:
            status = Status.INTERRUPTED
        elif status is Status.OPTIMAL:  # its own word
            status = Status.INACCURATE
        self.attempts.append(
            Attempt(
                solver=solver,
                status=status,
                solver_status=word,
                objective=upper,
                lower=min(lower, upper),
                n_iter=n_iter,
                time=self.elapsed - began,
            )
        )

    def status(self) -> Status:
        """Return how it all ended: a limit of the caller's, or how the solver ended that found the best weights."""
        if self.reaches_tol():
            return Status.OPTIMAL
        if self._interrupted:
            return Status.INTERRUPTED
        last = self.attempts[-1]
        if last.status in OF_THE_CALLER:
            return last.status
        return next(one.status for one in reversed(self.attempts) if one.solver == self.solver)

    def certificate(self) -> Certificate:
        """Return that of the best weights, with the best lower bound."""
        best, dual = self._found.certificate, self._found.dual
        return best if dual.lower <= best.lower else with_dual_point(best, dual.dual)

    def _certified(self, solver: str, result: SolverResult) -> Certificate:
        offered = None if result.t is None else DualPoint(result.t, result.multipliers, float("nan"))
        try:
            certificate = certify_solved(self.problem, result.weights, offered, self._limited(result.workspace))
        except KeyboardInterrupt:
            if self._interrupted or result.status is Status.INTERRUPTED:
                raise
            note_interrupt()
            self._interrupted = True
            certificate = certify_solved(self.problem, result.weights, offered, self._limited(None))  # anew
        zero = self.problem.zero_weights()
        if certificate.upper > self.problem.objective(zero):  # of weights that repairs have spoilt, say
            certificate = certify_solved(self.problem, zero, certificate.dual, self._limited(None))
        best = self._best or _Best(certificate, result, solver, certificate)
        if certificate.upper < best.certificate.upper:
            best = best._replace(certificate=certificate, result=result, solver=solver)
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
        """Return a solver's workspace, or a new one, for a certificate within the limit of time."""
        workspace = workspace or DualWorkspace()
        workspace.expired = lambda: self.elapsed >= self._time_limit
        return workspace
