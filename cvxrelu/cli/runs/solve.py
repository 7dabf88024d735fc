"""One experiment: solve the convex program of the training rows, map it to a network and score it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error

from cvxrelu._validation import FloatArray, check_choice, check_number
from cvxrelu.certificates.certificate import Certificate
from cvxrelu.cli.data.network_files import Training
from cvxrelu.cli.data.tables import TrainTestSplit
from cvxrelu.cli.settings import Kind, Settings, Task
from cvxrelu.estimators.checks import shortfall
from cvxrelu.estimators.training import Fit, FitSettings, gates_seed
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import LOSSES
from cvxrelu.networks.network import Network
from cvxrelu.optimize.solution import Solution
from cvxrelu.preprocessing.rows import with_bias
from cvxrelu.problems.cvxpy_backends import BACKENDS
from cvxrelu.problems.cvxpy_programs import CANON_BACKEND, dual_solver_program
from cvxrelu.problems.cvxpy_values import read_dual
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone, warn
from cvxrelu.solvers.interface import Record


@dataclass(frozen=True, eq=False)
class Run:
    """Result of one experiment.

    Attributes
    ----------
    split : TrainTestSplit
        The rows.
    settings : Settings
        The settings.
    fit : Fit
        Standardisation and patterns.
    solution : Solution
        Solution on the distinct rows.
    certificate : Certificate
        Certificate of the same weights on all training rows, standardised.
    network : ReLUNetwork or GatedReLUNetwork
        The network for the raw columns and a column of ones; it predicts the raw target.
    n_neurons : int
        Its number of neurons, without the one that carries the mean of the target.
    network_objective : float
        The non-convex objective of the network for standardised data on the training rows.
    train, test : dict
        "accuracy", or "rmse" and "r2" in units of the target, on the respective rows; undefined scores are absent.
    """

    split: TrainTestSplit
    settings: Settings
    fit: Fit
    solution: Solution
    certificate: Certificate
    network: Network
    n_neurons: int
    network_objective: float
    train: dict[str, float]
    test: dict[str, float]

    @property
    def training(self) -> Training:
        """Record of the training for the network's file."""
        lam = self.certificate.problem.lam
        return Training.of(self.split, self.settings.loss, lam, self.fit.standardization)


@dataclass(frozen=True)
class Duality:
    """Solution of the dual program, re-evaluated.

    Attributes
    ----------
    value : float
        Dual objective of the solver's dual point after it is made feasible: a lower bound on the primal optimal value.
        -inf if the solver gave none.
    seconds : float
        Time to compile, solve and evaluate it.
    """

    value: float
    seconds: float


def fit_of(split: TrainTestSplit, settings: Settings) -> Fit:
    """Return the fit of the training rows, that of an estimator with these settings and ``random_state=seed``.

    Raises
    ------
    TypeError, ValueError
        If a setting is invalid.
    """
    regression = split.table.task is Task.REGRESSION
    plan = FitSettings(
        relu=settings.kind is Kind.RELU,
        loss=_loss(settings.loss, regression),
        patterns="sampled",
        n_gates=settings.gates,
        gate_kind="dense",
        gate_options={},
        bias=True,
        standardize=True,
        standardize_targets=regression,
        solver=settings.solver,
        tol=settings.tol,
        max_iter=settings.max_iter,
        time_limit=settings.time_limit,
        seed=gates_seed(settings.seed),
        verbose=False,
    )
    return Fit(plan, split.X_train, split.y_train)


def _loss(name: str, regression: bool) -> Loss:
    """Return the loss of that name, which must take targets of one column and fit the task."""
    choices = {kind.name: kind for kind in LOSSES.values() if kind.least_outputs == 1}
    loss = choices[check_choice("loss", name, choices)]()
    if loss.of_labels and regression:
        others = " or ".join(repr(kind.name) for kind in choices.values() if not kind.of_labels)
        raise ValueError(f"loss {name!r} is for classification; for this regression use {others}")
    return loss


def lam_of(fit: Fit, settings: Settings) -> float:
    """Return the lam of the settings, or their fraction of the fit's lam_max."""
    if settings.lam_ratio is None:
        return settings.lam
    return check_number("lam ratio", settings.lam_ratio, minimum=0.0) * fit.problem(0.0).lam_max()


def train_on_split(
    split: TrainTestSplit, settings: Settings, callback: Callable[[Record], object] | None = None
) -> Run:
    """Train as the estimators do, certify and score; errors, warnings and callback as in `cvxrelu.solve`."""
    fit = fit_of(split, settings)
    solution = fit.solve(lam_of(fit, settings), callback=callback)
    certificate, network, inner = fit.certificate(solution), fit.network(solution), solution.network()
    if not certificate.within(settings.tol):
        gap = shortfall(certificate, solution, settings.tol)
        warn(f"{solution.solver} ended with {gap}", ConvergenceWarning, stacklevel=2)
    problem = certificate.problem
    return Run(
        split=split,
        settings=settings,
        fit=fit,
        solution=solution,
        certificate=certificate,
        network=network,
        n_neurons=inner.n_neurons,
        network_objective=inner.objective(problem.X, problem.y, problem.lam, problem.loss),
        train=scores(split, split.y_train, network.predict(with_bias(split.X_train))),
        test=scores(split, split.y_test, network.predict(with_bias(split.X_test))) if len(split.y_test) else {},
    )


def solve_dual(run: Run) -> Duality:
    """Solve the dual program of a run at the solver's default tolerances; it may fail even if the primal did not."""
    problem = run.solution.problem
    name = "CLARABEL" if run.settings.solver.lower() == "auto" else run.settings.solver.upper()
    options = BACKENDS[name].always if name in BACKENDS else {}
    started = time.perf_counter()
    program = dual_solver_program(problem)
    with cvxpy_alone():
        try:
            program.solve(solver=name, canon_backend=CANON_BACKEND, **options)
            t, multipliers = read_dual(problem, program)
            gamma = None if multipliers is None else multipliers / problem.n
            value = problem.dual_point(t / problem.n, gamma).value
        except (cp.error.SolverError, ValueError):  # no values, or NaN
            value = -np.inf
    return Duality(value=value, seconds=time.perf_counter() - started)


def scores(split: TrainTestSplit, y: FloatArray, prediction: FloatArray) -> dict[str, float]:
    """Return "accuracy", or "rmse" and "r2" in units of the target; undefined scores are absent."""
    if split.table.task is Task.CLASSIFICATION:
        return {"accuracy": float(accuracy_score(y, np.where(prediction >= 0.0, 1.0, -1.0)))}
    scores = {"rmse": float(root_mean_squared_error(y, prediction))}
    if np.ptp(y) > 0.0:  # R^2 is undefined for a constant target
        scores["r2"] = float(r2_score(y, prediction))
    return scores
