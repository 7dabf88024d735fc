"""One experiment: training rows, solved both ways, mapped to a network and measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error

from cvxrelu._validation import FloatArray, check_number
from cvxrelu.cli.data.tables import TrainTestSplit
from cvxrelu.cli.settings import Kind, LossName, Settings, Task
from cvxrelu.networks.network import Network
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve
from cvxrelu.patterns.sampling import sample_patterns
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.cvxpy_backends import BACKENDS
from cvxrelu.problems.cvxpy_programs import CANON_BACKEND, times_n
from cvxrelu.problems.cvxpy_values import read_dual
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone
from cvxrelu.solvers.interface import Record


@dataclass(frozen=True, eq=False)
class Run:
    """The outcome of one experiment.

    Attributes
    ----------
    split : Split
        The data.
    settings : Settings
        What was asked.
    solution : Solution
        The certified answer.
    network : ReLUNetwork or GatedReLUNetwork
        The network of its weights.
    network_objective : float
        The non-convex objective of the network on the training rows.
    train, test : dict
        "accuracy", or "rmse" and "r2" in units of the target, on either part; what is not defined is absent.
    """

    split: TrainTestSplit
    settings: Settings
    solution: Solution
    network: Network
    network_objective: float
    train: dict[str, float]
    test: dict[str, float]


@dataclass(frozen=True)
class Duality:
    """The dual program's answer, re-evaluated.

    Attributes
    ----------
    value : float
        Dual objective of the feasible point made of the solver's answer: a lower bound of the primal's value. -inf
        if the solver gave none.
    seconds : float
        Time to compile, solve and evaluate it.
    """

    value: float
    seconds: float


def build_problem(split: TrainTestSplit, settings: Settings) -> ConvexProblem:
    """Return the convex program of the training rows on random gates.

    Raises
    ------
    TypeError, ValueError
        If a setting is not understood.
    """
    if settings.loss is LossName.LOGISTIC and split.table.task is Task.REGRESSION:
        raise ValueError("loss 'logistic' is for classification; for this regression use 'squared' or 'huber'")
    patterns = sample_patterns(split.X_train, settings.gates, seed=settings.seed)
    cls = ConvexReLU if settings.kind is Kind.RELU else ConvexGatedReLU
    problem = cls(split.X_train, split.y_train, patterns, lam=settings.lam, loss=settings.loss.value)
    if settings.lam_ratio is None:
        return problem
    return problem.with_lam(check_number("lam ratio", settings.lam_ratio, minimum=0.0) * problem.lam_max())


def train_on_split(
    split: TrainTestSplit, settings: Settings, callback: Callable[[Record], object] | None = None
) -> Run:
    """Solve, certify, map to a network and measure; raises, warns and calls back as `cvxrelu.solve` does."""
    problem = build_problem(split, settings)
    solution = solve(
        problem,
        settings.solver_name,
        tol=settings.tol,
        max_iter=settings.max_iter,
        time_limit=settings.time_limit,
        callback=callback,
    )
    network = solution.network()
    return Run(
        split=split,
        settings=settings,
        solution=solution,
        network=network,
        network_objective=network.objective(problem.X, problem.y, problem.lam, problem.loss),
        train=scores(split, split.y_train, network.predict(split.X_train)),
        test=scores(split, split.y_test, network.predict(split.X_test)) if len(split.y_test) else {},
    )


def solve_dual(run: Run) -> Duality:
    """Solve the dual program of a run, at the solver's own tolerances; it may break down where the primal did not."""
    problem = run.solution.problem
    name = "CLARABEL" if run.settings.solver_name == "auto" else run.settings.solver_name
    options = BACKENDS[name].always if name in BACKENDS else {}
    started = time.perf_counter()
    program = times_n(problem.n, problem.to_cvxpy("dual"))
    with cvxpy_alone():
        try:
            program.solve(solver=name, canon_backend=CANON_BACKEND, **options)
            value = problem.dual_point(*read_dual(problem, program)).value
        except (cp.error.SolverError, ValueError):  # no values, or NaN
            value = -np.inf
    return Duality(value=value, seconds=time.perf_counter() - started)


def scores(split: TrainTestSplit, y: FloatArray, prediction: FloatArray) -> dict[str, float]:
    """Return "accuracy", or "rmse" and "r2" in units of the target; what is not defined is absent."""
    if split.table.task is Task.CLASSIFICATION:
        return {"accuracy": float(accuracy_score(y, np.where(prediction >= 0.0, 1.0, -1.0)))}
    scores = {"rmse": float(root_mean_squared_error(y, prediction)) * split.scale}
    if np.ptp(y) > 0.0:  # R^2 compares with the mean, and says nothing of a constant
        scores["r2"] = float(r2_score(y, prediction))
    return scores
