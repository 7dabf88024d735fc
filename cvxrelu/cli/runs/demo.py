"""The demonstration: both convex programs on real data, their duals, networks and certificates."""

import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

from cvxrelu.certificates import checker
from cvxrelu.cli.data.tables import Table, TrainTestSplit, split_table
from cvxrelu.cli.runs.solve import Duality, Run, solve_dual, train_on_split
from cvxrelu.cli.settings import Settings, Task
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve
from cvxrelu.runtime.threads import silenced

_SAME_OBJECTIVE = 1e-8
_ROUNDING = 1e-12
_NATIVE = "WorkingSet"
_NATIVE_SECONDS = 30.0
_TEST_SIZE = 0.2


def load_demo_split(seed: int) -> TrainTestSplit:
    """Return a split of scikit-learn's breast-cancer data."""
    data = load_breast_cancer()
    malignant, benign = (str(name) for name in data.target_names)
    table = Table(
        X=data.data,
        y=2.0 * data.target - 1.0,
        features=tuple(str(name) for name in data.feature_names),
        task=Task.CLASSIFICATION,
        labels=(malignant, benign),
    )
    return split_table(table, _TEST_SIZE, seed)


@dataclass(frozen=True, eq=False)
class Outcome:
    """Results for one problem: the run, its dual program, and a native solver's solution."""

    run: Run
    dual: Duality
    native: Solution


def run_demo(
    split: TrainTestSplit, all_settings: Sequence[Settings], progress: Callable[[str], object]
) -> list[Outcome]:
    """Solve the primal and dual programs, and natively, for each of the settings; ``progress`` gets messages."""
    outcomes = []
    for settings in all_settings:
        progress(f"{settings.kind.label}: primal program, network and certificate")
        run = train_on_split(split, settings)
        progress(f"{settings.kind.label}: dual program")
        dual = solve_dual(run)
        progress(f"{settings.kind.label}: {_NATIVE}")
        # Silenced, as the table shows the gap.
        native = silenced(solve, ConvergenceWarning)(
            run.solution.problem,
            _NATIVE,
            tol=settings.tol,
            time_limit=_NATIVE_SECONDS,
        )
        outcomes.append(Outcome(run, dual, native))
    return outcomes


def failed_checks(outcome: Outcome) -> list[str]:
    """Return a message for each claim of the demonstration that does not hold."""
    run, dual, native = outcome.run, outcome.dual, outcome.native
    title, tol = run.settings.kind.label, run.settings.tol
    rel_gap, upper = run.certificate.rel_gap, run.certificate.upper
    duality = abs(upper - dual.value)
    mapping = abs(run.network_objective - upper)
    # "not <=" so that a NaN fails
    failures = []
    if not rel_gap <= tol:
        failures.append(f"{title}: the certified relative gap, {rel_gap:.1e}, is above {tol:.1e}")
    if not duality <= tol * abs(upper):
        error = "no value" if dual.value == -math.inf else f"a difference of {duality:.1e}"
        failures.append(
            f"{title}: strong duality was not shown, as the solver's dual program did not attain the primal value "
            f"({error}); the certificate does not depend on it"
        )
    if not mapping <= _SAME_OBJECTIVE * max(1.0, abs(upper)):
        failures.append(f"{title}: the objectives of network and convex program differ by {mapping:.1e}")
    if not max(native.lower, run.certificate.lower) <= min(native.objective, upper) * (1 + _ROUNDING):
        failures.append(f"{title}: the certified intervals of {native.solver} and {run.solution.solver} are disjoint")
    return failures


def check_elsewhere(runs: Sequence[Run]) -> list[str]:
    """Save each certificate, verify the file with the stand-alone checker, and return a line each, "" if rejected.

    The checker runs in its own process, isolated from the package.
    """
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for run in runs:
            file, data = Path(folder, f"{run.settings.kind.value}.cert"), Path(folder, f"{run.settings.kind.value}.npz")
            run.certificate.save(file)
            np.savez(data, X=run.certificate.problem.X, y=run.certificate.problem.y)
            command = [sys.executable, "-I", checker.__file__, str(file), "--data", str(data)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            size = file.stat().st_size / 1024
            verdict = f"certificate saved ({size:.0f} kB) and verified by checker.py, with NumPy alone"
            verdicts.append(f"{run.settings.kind.label}: {verdict}" if answer.returncode == 0 else "")
    return verdicts


def conclusions(runs: Sequence[Run]) -> list[str]:
    """Return lines that state what the demonstration proves and what it does not."""
    gap = max(run.certificate.rel_gap for run in runs)
    return [
        f"Proved: to a relative gap of {gap:.1e}, each network is optimal among all two-layer networks of its "
        "kind, of any width, whose neurons have the given patterns.",
        "How: a feasible dual point bounds the objective of every such network from below, and the network attains the "
        "bound. Both values were recomputed from weights and data in floating point, without trusting a solver.",
        "Not claimed: anything about networks with other patterns, which may do better, or about new data.",
    ]
