"""Solve one problem with a function ``solve(problem, tol, time_limit)``: cvxrelu's or a user's.

This script runs in cvxrelu's environment; see `reference.compare` for the function and `reference.peers.job` for the
files. ``--solver`` is FILE.py:NAME or a key of `NATIVE`. The call is timed, for cvxrelu with its certificate. Before
the clock starts, the function solves a problem with ten rows, so that kernels are compiled.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Clock, Problem, Solve, load, parse, parser, run

NATIVE = {"cvxrelu": "auto", "cvxrelu-RFISTA": "RFISTA", "cvxrelu-AL": "AugmentedLagrangian"}
_FEW = 10
_WARM_UP = 5.0  # seconds


def model(problem: Problem) -> Any:
    """Return the problem as a `cvxrelu` object."""
    import cvxrelu as cr

    cls = cr.ConvexGatedReLU if problem.kind == "gated" else cr.ConvexReLU
    patterns = cr.ActivationPatterns(problem.patterns(), problem.G)
    return cls(problem.X, problem.y, patterns, problem.lam, problem.loss, problem.penalty)


@functools.cache
def function(solver: str) -> Callable[[Any, float, float], Any]:
    """Return the function of this name; raise ValueError if there is none."""
    if solver in NATIVE:
        return lambda problem, tol, time_limit: _native(NATIVE[solver], problem, tol, time_limit)
    path, _, name = solver.rpartition(":")
    spec = importlib.util.spec_from_file_location("users_solver", path)
    if spec is None or spec.loader is None or not Path(path).exists():
        raise ValueError(f"{solver}: there is no Python file {path!r}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    returned = getattr(module, name, None)
    if not callable(returned):
        raise ValueError(f"{solver}: {path} has no function {name!r}")
    return returned  # type: ignore[no-any-return]


def _native(solver: str, problem: Any, tol: float, time_limit: float) -> Any:
    import cvxrelu as cr

    return cr.solve(problem, solver, tol=tol, time_limit=time_limit)


def solve(problem: Problem, options: argparse.Namespace, clock: Clock) -> Solve:
    """Solve a fresh problem, with nothing cached."""
    import numpy as np

    solve_function = function(options.solver)
    fresh = model(problem)
    with clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the caller evaluates the answer
        returned = solve_function(fresh, options.tol, options.time_limit)
    native = options.solver in NATIVE
    weights, details = (returned.weights, {"solver_status": returned.status.name.lower()}) if native else (returned, {})
    blocks = np.asarray(fresh.blocks(weights), dtype=np.float64)  # raises if the shapes are wrong
    return Solve([blocks] if problem.kind == "gated" else list(blocks), clock.seconds, -1, details)


def warm_up(problem: Problem, options: argparse.Namespace) -> None:
    """Solve the first rows once and ignore the outcome."""
    few = Problem(problem.X[:_FEW], problem.y[:_FEW], problem.G[:, :_FEW], problem.lam, None, *_kind(problem))
    few_options = argparse.Namespace(**vars(options) | {"tol": options.tol[0], "time_limit": _WARM_UP})
    try:
        solve(few, few_options, Clock(options.out.with_suffix(".warming")))
    except Exception as error:  # reported with the problem itself, once the clock runs
        print(f"warm-up: {type(error).__name__}: {error}", file=sys.stderr)


def _kind(problem: Problem) -> tuple[str, str, str]:
    return problem.kind, problem.loss, problem.penalty


def main() -> None:
    """Parse the command line, warm up, solve and write the answers."""
    arguments = parser("Solve one problem with a function.", None, max_iters=0)
    options = parse(arguments)
    problem = load(options.problem)
    warm_up(problem, options)
    run(options, problem, solve, ("cvxrelu", "numpy", "scipy"))


if __name__ == "__main__":
    main()
