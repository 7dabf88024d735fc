"""Ablation of WorkingSet: time to the same certified gap with one component disabled at a time, on real data."""

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from cvxrelu.numerics import active_set
from cvxrelu.problems.operators import packed_products
from cvxrelu.solvers.working_set import block_descent, gated_rounds, newton_systems, row_systems
from cvxrelu.solvers.working_set import gated_newton as proximal_newton
from cvxrelu.solvers.working_set import relu_newton as cone_newton
from cvxrelu.solvers.working_set import relu_rounds as relu_working_set
from reference.datasets.prepare import load

_TOL = 1e-6
_SECONDS = 120.0
_MANY = 10**9
Variants = Mapping[str, Mapping[tuple[Any, str], Any]]

_GATED: Variants = {
    "full method": {},
    "no working sets": {(gated_rounds, "_SMALLEST"): _MANY},
    "no block descent": {(block_descent, "_MOST_COLUMNS"): 0},
    "no gap-safe rule": {(gated_rounds, "_WORTH_DROPPING"): 2.0},
    "masked products by NumPy": {(packed_products, "SMALLEST"): np.inf},
    "no row systems": {(newton_systems, "_MOST_ROWS"): 0},
    "row systems in float64": {(row_systems, "_HARMLESS"): 0.0, (row_systems, "_REFINEMENTS"): 0},
    "no column factor": {(newton_systems, "_MOST_COLUMNS"): 0},
    "conjugate gradients only": {(newton_systems, "_MOST_ROWS"): 0, (newton_systems, "_MOST_COLUMNS"): 0},
    "exact systems (residual 1e-6)": {(newton_systems, "_CG_TOLERANCE"): 1e-6},
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
    "exact proximal-point steps": {(cone_newton, "_INEXACT"): 1e-6},
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")


def run(arguments: argparse.Namespace) -> str:
    """Time WorkingSet with one component disabled at a time, on gated and ReLU problems with real data."""
    return measure(arguments.repeats, arguments.threads)


def measure(repeats: int, threads: int) -> str:
    """Return a table of times for the gated problems and one for the ReLU problems."""
    gated = {
        "breast cancer P=500": _problem(cr.ConvexGatedReLU, "breast_cancer", 500, lam=1e-3),
        "phoneme P=500 0.03": _problem(cr.ConvexGatedReLU, "phoneme", 500, ratio=0.03),
        "magic P=500 0.3": _problem(cr.ConvexGatedReLU, "magic", 500, ratio=0.3),
        "spambase P=500": _problem(cr.ConvexGatedReLU, "spambase", 500, lam=5e-4),
    }
    relu = {
        "breast cancer P=50": _problem(cr.ConvexReLU, "breast_cancer", 50, lam=1e-3),
        "ionosphere P=50 0.01": _problem(cr.ConvexReLU, "ionosphere", 50, ratio=0.01),
        "spambase n=1000 P=50 0.01": _problem(cr.ConvexReLU, "spambase", 50, ratio=0.01, rows=1000),
    }
    lines = [
        f"seconds to a certified relative gap of {_TOL:g}, {threads} thread(s), medians of {repeats}; * not reached"
    ]
    with threadpool_limits(threads):
        for problems, variants in ((gated, _GATED), (relu, _RELU)):
            lines.append(f"{'':<34}" + "".join(f"{name:>28}" for name in problems))
            lines.extend(_rows(problems, variants, repeats))
    return "\n".join(lines)


def _problem(
    cls: type[cr.ConvexGatedReLU] | type[cr.ConvexReLU],
    name: str,
    n_gates: int,
    *,
    lam: float | None = None,
    ratio: float = 1.0,
    rows: int | None = None,
) -> cr.ConvexGatedReLU | cr.ConvexReLU:
    X, y = load(name, rows)
    problem = cls(X, y, cr.sample_patterns(X, n_gates, seed=0))
    return problem.with_lam(ratio * problem.lam_max() if lam is None else lam)


def _rows(
    problems: Mapping[str, cr.ConvexGatedReLU | cr.ConvexReLU], variants: Variants, repeats: int
) -> Iterator[str]:
    """Yield a line for each variant; repeats are interleaved so that noise affects all variants alike."""
    runs: dict[str, list[list[tuple[float, bool]]]] = {variant: [[] for _ in problems] for variant in variants}
    for _ in range(repeats):
        for variant, changes in variants.items():
            with _patched(changes):
                for cell, problem in zip(runs[variant], problems.values(), strict=True):
                    cell.append(_run(problem))
    full = next(iter(variants))
    for variant, cells in runs.items():
        texts = []
        for cell, reference in zip(cells, runs[full], strict=True):
            seconds, unit = (float(np.median([run[0] for run in some])) for some in (cell, reference))
            mark = "" if all(run[1] for run in cell) else "*"
            texts.append(f"{seconds:>17.2f} {seconds / unit:>7.1f} x{mark or ' '}")
        yield f"{variant:<34}" + "".join(texts)


def _run(problem: cr.ConvexGatedReLU | cr.ConvexReLU) -> tuple[float, bool]:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        solution = cr.solve(problem, "WorkingSet", tol=_TOL, time_limit=_SECONDS)
    return time.perf_counter() - started, solution.certificate.rel_gap <= _TOL


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
