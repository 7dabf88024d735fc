"""Records of the rounds of column generation."""

from dataclasses import dataclass

from cvxrelu.solvers.interface import Record


@dataclass(frozen=True, kw_only=True)
class GlobalRecord(Record):
    """One round of column generation.

    Attributes
    ----------
    n_iter : int
        Index of the round, from 1.
    time : float
        Seconds since the start.
    objective : float
        Best objective so far.
    lower : float
        Best lower bound so far, over networks of any width, computed in float64.
    violation : float
        Relative excess of the largest |t'(Xu)_+| found over lam. If positive, a neuron violates the dual constraint;
        otherwise none was found, which proves nothing.
    step : None
        Column generation has no step.
    solver : str
        Empty.
    n_patterns : int
        Number of patterns of the master program.
    """

    n_patterns: int
