"""One convex program, solved by several solvers and judged by one certificate."""

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
    """What one solver did.

    Attributes
    ----------
    solver : str
        Its name, as `cvxrelu.solve` spells it.
    solution : Solution or None
        Its certified answer; None if it could not run.
    word : str
        The status of the solution, or "unavailable" or "unable".
    reason : str
        Why it could not run.
    """

    solver: str
    solution: Solution | None
    word: str
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """All of them, in the order asked.

    Attributes
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        What was solved.
    tol : float
        Relative certified gap that was asked for.
    trials : tuple of Trial
        One for each solver.
    """

    problem: ConvexProblem
    tol: float
    trials: tuple[Trial, ...]

    @property
    def solutions(self) -> list[Solution]:
        """The answers that there are."""
        return [trial.solution for trial in self.trials if trial.solution is not None]

    @property
    def proved(self) -> list[Trial]:
        """The trials that reached the tolerance, the fastest first."""
        done = [(trial.solution.time, trial) for trial in self.trials if _is_optimal(trial.solution) and trial.solution]
        return [trial for _, trial in sorted(done, key=lambda pair: pair[0])]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The best lower and the best upper bound: the optimal value is between them; None without any answer."""
        if not self.solutions:
            return None
        return max(each.lower for each in self.solutions), min(each.objective for each in self.solutions)

    @property
    def contradiction(self) -> bool:
        """Whether the certified intervals of two solvers do not meet, beyond rounding: a bug."""
        if self.interval is None:
            return False
        return contradict(*self.interval, self.problem.value_at_zero, _ROUNDING)


def compare_solvers(
    problem: ConvexProblem, names: Sequence[str], settings: Settings, progress: Callable[[str], object]
) -> Comparison:
    """Solve the problem by each solver once, named in any case, telling ``progress`` which one is at work.

    Raises
    ------
    ValueError
        If a name is of no solver, before any is run.
    """
    known = ["auto", *NATIVE_SOLVERS, *solver_names()]
    spelled = dict.fromkeys(check_solver(name, known) for name in names)
    return Comparison(problem, settings.tol, tuple(_try(problem, name, settings, progress) for name in spelled))


def _try(problem: ConvexProblem, name: str, settings: Settings, progress: Callable[[str], object]) -> Trial:
    progress(f"solving by {name}")
    try:
        run = silenced(solve, ConvergenceWarning)  # the table shows how far each came
        if name in NATIVE_SOLVERS:  # its kernels are compiled, or loaded, at their first call
            run(problem.restrict(np.arange(1)), name, max_iter=1)
        solution = run(problem, name, tol=settings.tol, max_iter=settings.max_iter, time_limit=settings.time_limit)
    except SolverNotAvailableError as error:
        return Trial(name, None, "unavailable", str(error))
    except SolverError as error:
        return Trial(name, None, "unable", str(error))
    return Trial(name, solution, solution.status.value)


def _is_optimal(solution: Solution | None) -> bool:
    return solution is not None and solution.status is Status.OPTIMAL
