"""How a solve ended: a word for programs, a sentence of advice for people."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of `cvxrelu.solve`; only OPTIMAL says that the certified gap is within the tolerance.

    Examples
    --------
    >>> import cvxrelu as cr
    >>> cr.Status("max_iter").advice
    'The iteration limit was reached first: raise max_iter or tol.'
    >>> cr.Status.OPTIMAL == "optimal"  # a string, as CVXPY spells it
    True
    """

    OPTIMAL = "optimal"
    INACCURATE = "inaccurate"
    MAX_ITER = "max_iter"
    TIME_LIMIT = "time_limit"
    STALLED = "stalled"
    SLOW = "slow"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    UNPROVEN = "unproven"
    UNATTAINED = "unattained"
    FAILED = "failed"

    @property
    def advice(self) -> str:
        """A sentence that says what happened and what to do about it."""
        return _ADVICE[self]


_ADVICE = {
    Status.OPTIMAL: "The certified relative gap is within tol.",
    Status.INACCURATE: "The solver stopped by its own test, short of the certified gap that was asked: raise tol, or "
    "try another solver.",
    Status.MAX_ITER: "The iteration limit was reached first: raise max_iter or tol.",
    Status.TIME_LIMIT: "The time limit was reached first: raise time_limit or tol.",
    Status.STALLED: "The gap no longer shrinks: raise tol, or try another solver.",
    Status.SLOW: "The next solver was predicted to be faster.",
    Status.STOPPED: "The callback asked to stop.",
    Status.INTERRUPTED: "Interrupted by Ctrl-C: the best point so far is returned.",
    Status.UNPROVEN: "No better neuron was found, which proves nothing, and the proven bound is not as good: it is all "
    "that can be proven for data of this rank.",
    Status.UNATTAINED: "These weights separate the classes and nothing is regularised: the infimum 0 of the loss "
    "is not attained, larger weights are always better. Take lam > 0 with a penalty.",
    Status.FAILED: "The solver broke down; the best point so far is returned, zero weights where it left none: "
    "try another solver.",
}
