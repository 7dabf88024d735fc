"""One convex program, solved by several solvers, with a certificate of each answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cvxrelu._validation import check_solver
from cvxrelu.cli.settings import Settings
from cvxrelu.exceptions import ConvergenceWarning, SolverError, SolverNotAvailableError
from cvxrelu.numerics.gaps import contradict
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.cvxpy_backends import solver_names
from cvxrelu.runtime.threads import silenced
from cvxrelu.solvers.registry import NATIVE_SOLVERS
from cvxrelu.status import Status

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Trial:
    """Result of one solver.

    Attributes
    ----------
    solver : str
        Name, as in `cvxrelu.solve`.
    solution : Solution or None
        Certified solution; None if the solver could not run.
    status : str
        Status of the solution, or "unavailable" or "unable".
    reason : str
        Why the solver could not run.
    """

    solver: str
    solution: Solution | None
    status: str
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of several solvers, in the given order.

    Attributes
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem solved.
    tol : float
        Requested certified relative gap.
    trials : tuple of Trial
        One for each solver.
    """

    problem: ConvexProblem
    tol: float
    trials: tuple[Trial, ...]

    @property
    def solutions(self) -> list[Solution]:
        """The solutions of the solvers that ran."""
        return [trial.solution for trial in self.trials if trial.solution is not None]

    @property
    def reached(self) -> list[Trial]:
        """The trials that reached the tolerance, the fastest first."""
        done = [(trial.solution.time, trial) for trial in self.trials if _is_optimal(trial.solution) and trial.solution]
        return [trial for _, trial in sorted(done, key=lambda pair: pair[0])]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The best lower and upper bounds on the optimal value; None without a solution."""
        if not self.solutions:
            return None
        return max(each.lower for each in self.solutions), min(each.objective for each in self.solutions)

    @property
    def contradiction(self) -> bool:
        """Whether the certified intervals of two solvers are disjoint beyond rounding, which would be a bug."""
        if self.interval is None:
            return False
        return contradict(*self.interval, self.problem.value_at_zero, _ROUNDING)


def compare_solvers(
    problem: ConvexProblem, names: Sequence[str], settings: Settings, progress: Callable[[str], object]
) -> Comparison:
    """Solve the problem once with each solver; names are case-insensitive, and ``progress`` gets messages.

    Raises
    ------
    ValueError
        If a name is unknown; raised before any solve.
    """
    known = ["auto", *NATIVE_SOLVERS, *solver_names()]
    distinct = dict.fromkeys(check_solver(name, known) for name in names)
    return Comparison(problem, settings.tol, tuple(_try(problem, name, settings, progress) for name in distinct))


def _try(problem: ConvexProblem, name: str, settings: Settings, progress: Callable[[str], object]) -> Trial:
    progress(f"solving with {name}")
    try:
        run = silenced(solve, ConvergenceWarning)  # the table shows the gaps
        if name in NATIVE_SOLVERS:  # compile or load its kernels first
            run(problem.restrict(np.arange(1)), name, max_iter=1)
        solution = run(problem, name, tol=settings.tol, max_iter=settings.max_iter, time_limit=settings.time_limit)
    except SolverNotAvailableError as error:
        return Trial(name, None, "unavailable", str(error))
    except SolverError as error:
        return Trial(name, None, "unable", str(error))
    return Trial(name, solution, solution.status.value)


def _is_optimal(solution: Solution | None) -> bool:
    return solution is not None and solution.status is Status.OPTIMAL
