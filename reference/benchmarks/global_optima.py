"""Benchmark of `cvxrelu.solve_global`: proven global optima over all patterns, and the time they take."""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_breast_cancer
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.datasets.prepare import Array, prepare
from reference.runs import comma_separated

_TOL = 1e-6
_HEADER = "| data | rank | lam | seconds | objective | proven lower bound | relative gap | proof | neurons | patterns |"


def cancer(n: int, rank: int) -> tuple[Array, Array]:
    """Return the first rank - 1 features of breast cancer and a constant, on the first n rows, and labels -1/+1."""
    X, classes = load_breast_cancer(return_X_y=True)
    return prepare(X[:n, : rank - 1]), 2.0 * classes[:n] - 1.0


def waves(n: int) -> tuple[Array, Array]:
    """Return one feature, uniform on [-1, 1], and a constant; sin(5 x) with noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, n)
    return np.column_stack([x, np.ones(n)]), np.sin(5.0 * x) + 0.1 * rng.standard_normal(n)


CASES: dict[str, tuple[Callable[[], tuple[Array, Array]], float]] = {
    "waves-20000": (lambda: waves(20_000), 1e-2),
    "waves-20000-small-lam": (lambda: waves(20_000), 1e-4),
    "cancer-200x3": (lambda: cancer(200, 3), 1e-3),
    "cancer-569x4": (lambda: cancer(569, 4), 1e-3),
    "cancer-569x5": (lambda: cancer(569, 5), 1e-3),
    "cancer-200x6": (lambda: cancer(200, 6), 1e-3),
    "cancer-569x8": (lambda: cancer(569, 8), 1e-3),
    "cancer-569x31": (lambda: cancer(569, 31), 1e-3),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--cases", type=comma_separated, default=[], help="cases, comma separated (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")


def run(arguments: argparse.Namespace) -> str:
    """Run `solve_global` once on each case, after compilation, and print objective, proven bound and time."""
    return measure(arguments.cases, arguments.threads)


def measure(names: list[str], threads: int) -> str:
    """Return a table of objective, proven bound and time for each case."""
    chosen = names or list(CASES)
    unknown = [name for name in chosen if name not in CASES]
    if unknown:
        raise SystemExit(f"there is no case {unknown[0]!r}; choose from {', '.join(CASES)}")
    lines = [f"tol {_TOL:g}, {threads} thread(s), one run each", _HEADER, "|---" * 10 + "|"]
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap is in the table
        cr.solve_global(*cancer(50, 3), 1e-3)
        for name in chosen:
            make, lam = CASES[name]
            lines.append(_row(name, *make(), lam))
    return "\n".join(lines)


def _row(name: str, X: Array, y: Array, lam: float) -> str:
    started = time.perf_counter()
    solution = cr.solve_global(X, y, lam, tol=_TOL)
    seconds = time.perf_counter() - started
    certificate = solution.certificate
    proof = "none" if certificate.proof is None else certificate.proof.method
    n_patterns = max(record.n_patterns for record in solution.history if isinstance(record, cr.GlobalRecord))
    return (
        f"| {name} | {np.linalg.matrix_rank(X)} | {lam:g} | {seconds:.2g} | {solution.objective:.8g} | "
        f"{solution.lower:.8g} | {certificate.rel_gap:.1e} | {proof} | {certificate.n_active} | {n_patterns} |"
    )
