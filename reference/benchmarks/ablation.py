"""Ablation of WorkingSet: time to the same certified gap with one component disabled at a time, on real data."""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from cvxrelu.numerics import active_set
from cvxrelu.optimize import path
from cvxrelu.problems.operators import packed_products
from cvxrelu.solvers.working_set import (
    block_descent,
    column_systems,
    compiled_rounds,
    continuation,
    gated_rounds,
    newton_systems,
    row_descent,
    row_systems,
    solver,
)
from cvxrelu.solvers.working_set import gated_newton as proximal_newton
from cvxrelu.solvers.working_set import relu_newton as cone_newton
from cvxrelu.solvers.working_set import relu_rounds as relu_working_set
from reference.race.cases import Kind, Problem, fresh, select
from reference.race.path import EPS, N_LAMS
from reference.runs import compile_kernels

_TOL = 1e-6
_PATH_TOL = 1e-4
_SECONDS = 120.0
_MANY = 10**9
Variants = Mapping[str, Mapping[tuple[Any, str], Any]]

_GATED: Variants = {
    "full method": {},
    "no working sets": {(gated_rounds, "_SMALLEST"): _MANY},
    "no compiled rounds": {(compiled_rounds, "_MOST_WORK"): 0.0, (compiled_rounds, "_MOST_OF_MODELS"): 0.0},
    "no descent on rows": {(row_descent, "_ROW"): np.inf},
    "no block descent": {
        (block_descent, "_MOST_COLUMNS"): 0,
        (compiled_rounds, "_MOST_WORK"): 0.0,
        (compiled_rounds, "_MOST_OF_MODELS"): 0.0,
        (row_descent, "_ROW"): np.inf,
    },
    "no gap-safe rule": {(gated_rounds, "_WORTH_DROPPING"): 2.0},
    "masked products by NumPy": {(packed_products, "SMALLEST"): np.inf},
    "no row systems": {(newton_systems, "_MOST_ROWS"): 0},
    "row systems in float64": {(row_systems, "_HARMLESS"): 0.0, (row_systems, "_REFINEMENTS"): 0},
    "no column factor": {(column_systems, "_MOST_COLUMNS"): 0},
    "conjugate gradients only": {(newton_systems, "_MOST_ROWS"): 0, (column_systems, "_MOST_COLUMNS"): 0},
    "exact systems (residual 1e-6)": {(column_systems, "_TOLERANCE"): 1e-6},
    "initial sigma 1000 times larger": {(proximal_newton, "_FIRST_SIGMA"): 1e3 * proximal_newton._FIRST_SIGMA},
    "exact proximal-point steps": {(proximal_newton, "_INEXACTNESS"): 1e-6},
}
_RELU: Variants = {
    "full method": {},
    "no working sets": {(relu_working_set, "_LEAST_SIZE"): _MANY},
    "no pivot limit in pricing": {(relu_working_set, "_PRICING_PIVOTS"): None},
    "projections one at a time": {(active_set, "_GROUP"): 1},
    "sigma grows after every step": {(cone_newton, "_FEW"): _MANY},
    "initial sigma 1000 times larger": {(cone_newton, "_FIRST_SIGMA"): 1e3 * cone_newton._FIRST_SIGMA},
    "exact proximal-point steps": {(cone_newton, "INEXACT"): 1e-6},
}
_OUTPUTS: Variants = {
    "full method": {},
    "outputs solved together": {(solver, "separates_outputs"): lambda problem: False},
    "no shared Gram blocks": {(continuation, "PairProducts"): lambda operator: None},
    "no block descent": {(block_descent, "_MOST_COLUMNS"): 0},
    "masked products by NumPy": {(packed_products, "SMALLEST"): np.inf},
}
_PATH: Variants = {
    "full method": {},
    "no extrapolation": {(continuation.Trail, "guess"): lambda trail, lam: None},
    "no continuation": {(path, "Continuation"): lambda: None},
    "no block descent": {(block_descent, "_MOST_COLUMNS"): 0},
    "masked products by NumPy": {(packed_products, "SMALLEST"): np.inf},
}
_CASES: Mapping[Kind, tuple[str, ...]] = {
    "gated": (
        "mammographic/squared/P=50/0.3lam_max",
        "mammographic/logistic/P=50/0.3lam_max",
        "breast_cancer/squared/P=500/lam=0.001",
        "phoneme/squared/P=500/0.03lam_max",
        "magic/squared/P=500/0.3lam_max",
        "spambase/squared/P=500/lam=0.0005",
    ),
    "relu": (
        "breast_cancer/squared/P=50/lam=0.001",
        "ionosphere/squared/P=50/0.01lam_max",
        "spambase/squared/P=50/0.01lam_max",
    ),
    "outputs": ("vehicle/squared/P=500/0.1lam_max", "digits/squared/P=200/0.1lam_max"),
    "path": ("breast_cancer/squared/P=500/0.001lam_max", "ionosphere/squared/P=500/0.001lam_max"),
}
_VARIANTS: Mapping[Kind, Variants] = {"gated": _GATED, "relu": _RELU, "outputs": _OUTPUTS, "path": _PATH}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")


def run(arguments: argparse.Namespace) -> str:
    """Time WorkingSet with one component disabled at a time, on cases of the race, which have real data."""
    return measure(arguments.repeats, arguments.threads)


def measure(repeats: int, threads: int) -> str:
    """Return a table of times for each kind of problem."""
    lines = [
        f"seconds to a certified relative gap of {_TOL:g}, of paths {_PATH_TOL:g}, {threads} thread(s), medians of "
        f"{repeats}; * not reached"
    ]
    compile_kernels()
    with threadpool_limits(threads):
        for kind, variants in _VARIANTS.items():
            problems = {name: select(kind, [name], [])[0].problem() for name in _CASES[kind]}
            lines.append(f"{kind:<34}" + "".join(f"{name.removesuffix('lam_max'):>37}" for name in problems))
            lines.extend(_rows(problems, variants, repeats, _path if kind == "path" else _solve))
    return "\n".join(lines)


def _rows(
    problems: Mapping[str, Problem], variants: Variants, repeats: int, solve: Callable[[Problem], bool]
) -> Iterator[str]:
    """Yield a line for each variant; repeats are interleaved so that noise affects all variants alike."""
    runs: dict[str, list[list[tuple[float, bool]]]] = {variant: [[] for _ in problems] for variant in variants}
    for problem in problems.values():
        solve(fresh(problem))  # loads what it needs
    for _ in range(repeats):
        for variant, changes in variants.items():
            with _patched(changes):
                for cell, problem in zip(runs[variant], problems.values(), strict=True):
                    cell.append(_timed(solve, fresh(problem)))
    full = next(iter(variants))
    for variant, cells in runs.items():
        texts = []
        for cell, reference in zip(cells, runs[full], strict=True):
            seconds, unit = (float(np.median([run[0] for run in some])) for some in (cell, reference))
            mark = "" if all(run[1] for run in cell) else "*"
            texts.append(f"{seconds:>26.4f} {seconds / unit:>7.1f} x{mark or ' '}")
        yield f"{variant:<34}" + "".join(texts)


def _timed(solve: Callable[[Problem], bool], problem: Problem) -> tuple[float, bool]:
    """Return the seconds of a solve, and whether it reached its tolerance."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        reached = solve(problem)
    return time.perf_counter() - started, reached


def _solve(problem: Problem) -> bool:
    return cr.solve(problem, "WorkingSet", tol=_TOL, time_limit=_SECONDS).certificate.rel_gap <= _TOL


def _path(problem: Problem) -> bool:
    found = cr.regularization_path(problem, n_lams=N_LAMS, eps=EPS, solver="WorkingSet", tol=_PATH_TOL)
    return float(found.gaps.max()) <= _PATH_TOL


@contextmanager
def _patched(changes: Mapping[tuple[Any, str], Any]) -> Iterator[None]:
    patches = [mock.patch.object(module, name, value) for (module, name), value in changes.items()]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
