"""The demonstration: both convex programs on real data, their duals, networks and certificates."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

from cvxrelu.certificates import checker
from cvxrelu.cli.data.tables import Table, TrainTestSplit, split_table
from cvxrelu.cli.runs.solve import Duality, Run, solve_dual, train_on_split
from cvxrelu.cli.settings import Kind, Settings, Task
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


@dataclass(frozen=True)
class Check:
    """What the stand-alone checker found of a saved certificate.

    Attributes
    ----------
    kind : Kind
        The kind of network.
    kilobytes, seconds : float
        Size of the file, and time of the check.
    rel_gap : Fraction
        Relative gap of the two bounds, each rounded outward to 30 digits.
    """

    kind: Kind
    kilobytes: float
    seconds: float
    rel_gap: Fraction

    def __str__(self) -> str:
        done = f"certificate saved ({self.kilobytes:.0f} kB) and verified in exact arithmetic by checker.py"
        return f"{self.kind.label}: {done}, {self.seconds:.1f} s: relative gap {float(self.rel_gap):.1e}"


def check_elsewhere(runs: Sequence[Run]) -> list[Check | None]:
    """Save each certificate and return what the stand-alone checker finds of the file, None if it rejects.

    The checker runs in its own process, isolated from the package, and is given data, patterns and statement.
    """
    return [_checked(run) for run in runs]


def _checked(run: Run) -> Check | None:
    problem = run.certificate.problem
    with tempfile.TemporaryDirectory() as folder:
        file, data, patterns = (Path(folder, name) for name in ("demo.cert", "data.npz", "patterns.npz"))
        run.certificate.save(file)
        np.savez(data, X=problem.X, y=problem.y)
        np.savez(patterns, D=problem.patterns.D)
        statement = {
            "data": data,
            "kind": run.settings.kind.value,
            "scope": run.certificate.scope,
            "loss": problem.loss.name,
            "penalty": problem.penalty.name,
            "lam": repr(problem.lam),
            "patterns": patterns,
        }
        options = [word for name, value in statement.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-I", checker.__file__, str(file), *options, "--json"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            return None
        verdict = json.loads(answer.stdout)
        lower, upper = (Fraction(verdict[name]) for name in ("lower", "upper"))
        size = file.stat().st_size / 1024
        return Check(run.settings.kind, size, verdict["seconds"], (upper - lower) / upper)


def conclusions(checks: Sequence[Check]) -> list[str]:
    """Return lines that state what the checker verified and what that does not say."""
    gap = float(max(check.rel_gap for check in checks))
    return [
        f"Proved, verified in exact arithmetic: to a relative gap of {gap:.1e}, each network is optimal among all "
        "two-layer networks of its kind, of any width, whose neurons have the given patterns.",
        "How: a feasible dual point bounds the objective of every such network from below, and the network attains the "
        "bound. The checker, one file that needs only NumPy, derived both from weights, dual point and data, as "
        "fractions of integers.",
        "Not claimed: anything about networks with other patterns, which may do better, or about new data.",
    ]
