"""Status of a solve, each with a sentence of advice."""

from enum import StrEnum


class Status(StrEnum):
    """Status of a solve; only OPTIMAL means that the certified gap is within the tolerance.

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
        """Reason and remedy, in a sentence."""
        return _ADVICE[self]


_ADVICE = {
    Status.OPTIMAL: "The certified relative gap is within tol.",
    Status.INACCURATE: "The solver met its own stopping criterion before the certified gap reached tol: raise tol, or "
    "try another solver.",
    Status.MAX_ITER: "The iteration limit was reached first: raise max_iter or tol.",
    Status.TIME_LIMIT: "The time limit was reached first: raise time_limit or tol.",
    Status.STALLED: "The gap no longer shrinks: raise tol, or try another solver.",
    Status.SLOW: "The next solver was predicted to be faster.",
    Status.STOPPED: "The callback stopped the solve.",
    Status.INTERRUPTED: "Interrupted by Ctrl-C: the best point so far is returned.",
    Status.UNPROVEN: "The search found no better neuron, but that is no proof: for data of this rank only the weaker "
    "bound returned can be proven.",
    Status.UNATTAINED: "The weights separate the classes and nothing is regularised: the infimum 0 of the loss is not "
    "attained, as larger weights are always better. Set lam > 0 (alpha > 0 of an estimator) with a penalty.",
    Status.FAILED: "The solver failed; the best point found is returned, or zero weights if there is none: "
    "try another solver.",
}
