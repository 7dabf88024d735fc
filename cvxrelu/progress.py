"""The attempts of a solve, certified as they come: best weights, best lower bound, history."""

import time as clock
from collections.abc import Callable, Iterable

from cvxrelu.certificates import Certificate, certify_solved
from cvxrelu.convex_problem import ConvexProblem, DualPoint, Weights
from cvxrelu.solvers.monitor import Callback
from cvxrelu.solvers.result import Attempt, RawResult, Record
from cvxrelu.status import Status

OF_THE_CALLER = (Status.MAX_ITER, Status.TIME_LIMIT, Status.STOPPED, Status.INTERRUPTED)


class Progress:
    """What has come of a solve so far.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem, as the caller gave it.
    tol : float
        The relative gap that is asked for.
    callback : callable or None
        The caller's; native solvers tell it of their checks themselves.
    now : callable
        The clock.
    """

    def __init__(
        self,
        problem: ConvexProblem,
        tol: float,
        callback: Callback | None,
        now: Callable[[], float] = clock.perf_counter,
    ) -> None:
        self.problem = problem
        self.tol = tol
        self.attempts: list[Attempt] = []
        self.history: list[Record] = []
        self._callback = callback
        self._now = now
        self._started = now()
        self._best: Certificate | None = None  # of the least objective
        self._dual: Certificate | None = None  # of the greatest lower bound
        self.result: RawResult | None = None
        self.solver = "none"

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._started

    @property
    def weights(self) -> Weights | None:
        """The best weights so far."""
        return None if self._best is None else self._best.weights

    def reaches_tol(self) -> bool:
        """Return whether the gap that is asked for is proven, by the best weights and the best lower bound so far."""
        if self._best is None or self._dual is None:
            return False
        upper = self._best.upper
        return upper - self._dual.lower <= max(self.tol * abs(upper), self.problem.resolution)

    def add(self, solver: str, results: Iterable[RawResult]) -> None:
        """Certify the results of one solver as they come, until the gap is small enough."""
        began = self.elapsed
        certificates: list[Certificate] = []
        for result in results:
            certificate = self._certified(solver, result)
            certificates.append(certificate)
            if self.reaches_tol():
                break
        upper = min(certificate.upper for certificate in certificates)
        lower = max(certificate.lower for certificate in certificates)
        status = result.status
        if self.reaches_tol():
            status = Status.OPTIMAL
        elif status is Status.OPTIMAL:  # its own word
            status = Status.INACCURATE
        self.attempts.append(
            Attempt(
                solver=solver,
                status=status,
                solver_status=result.solver_status,
                objective=upper,
                lower=min(lower, upper),
                n_iter=result.n_iter,
                time=self.elapsed - began,
            )
        )

    def status(self) -> Status:
        """Return how it all ended: a limit of the caller's, or how the solver ended that found the best weights."""
        last = self.attempts[-1]
        if self.reaches_tol() or last.status in OF_THE_CALLER:
            return Status.OPTIMAL if self.reaches_tol() else last.status
        return next(one.status for one in reversed(self.attempts) if one.solver == self.solver)

    def certificate(self) -> Certificate:
        """Return that of the best weights and the best lower bound, computed anew if they are not of one attempt."""
        assert self._best is not None
        assert self._dual is not None
        if self._best is self._dual:
            return self._best
        both = certify_solved(self.problem, self._best.weights, self._dual.dual, None)
        return max(both, self._best, key=lambda one: one.lower)

    def _certified(self, solver: str, result: RawResult) -> Certificate:
        offered = None if result.t is None else DualPoint(result.t, result.multipliers, float("nan"))
        certificate = certify_solved(self.problem, result.weights, offered, result.workspace)
        if self._best is None or certificate.upper < self._best.upper:
            self._best, self.result, self.solver = certificate, result, solver
        if self._dual is None or certificate.lower > self._dual.lower:
            self._dual = certificate
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
