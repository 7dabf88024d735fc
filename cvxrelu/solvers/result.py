"""What every solver hands back, before it is certified."""

from dataclasses import dataclass

from cvxrelu._validation import FloatArray
from cvxrelu.convex_problem import Weights
from cvxrelu.status import Status


@dataclass(frozen=True, eq=False)
class RawResult:
    """A solver's own answer.

    Attributes
    ----------
    weights : ndarray or pair of ndarrays
        Best weights found, not necessarily in their cones.
    t : ndarray of shape (n, c), or None
        The solver's dual variable.
    multipliers : ndarray of shape (2 c P, n), or None
        The solver's multipliers of the cones.
    status : Status
        How the solver says that it ended.
    solver_status : str
        The same in the solver's (CVXPY's) own words.
    n_iter : int or None
        Iterations; None where the solver does not say.
    compile_time, solve_time : float or None
        Seconds spent on building and compiling the program, and in the solver itself.
    """

    weights: Weights
    t: FloatArray | None
    multipliers: FloatArray | None
    status: Status
    solver_status: str
    n_iter: int | None
    compile_time: float
    solve_time: float | None
