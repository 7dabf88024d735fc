"""Time and accuracy of the native exact decomposition (CD-SOCP) against conic programs in CVXPY."""

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.datasets.prepare import load

_DATA = "breast_cancer"
_ROWS = 500
_SOLVER = "CLARABEL"
Array = NDArray[np.floating]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--gates", type=int, default=1000, help="number of gates (default: 1000)")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of both methods (default: 1)")


def run(arguments: argparse.Namespace) -> str:
    """Time `cvxrelu.decompose` with its native method and with Clarabel (one compiled program) on random weights."""
    return measure(arguments.gates, arguments.repeats, arguments.threads)


def measure(n_gates: int, repeats: int, threads: int) -> str:
    """Return the times of both methods, and the excess of each over the smaller sums of norms."""
    X, y = load(_DATA, _ROWS)
    patterns = cr.sample_patterns(X, n_gates, seed=0)
    problem = cr.ConvexReLU(X, y, patterns)
    U = np.random.default_rng(0).standard_normal((1, len(patterns), problem.d))
    seconds: dict[str, list[float]] = {"auto": [], _SOLVER: []}
    norms: dict[str, Array] = {}
    violation = 0.0
    with threadpool_limits(threads):
        for _ in range(repeats):
            for solver, times in seconds.items():
                started = time.perf_counter()
                weights = cr.decompose(problem, U, "socp", solver=solver)
                times.append(time.perf_counter() - started)
                norms[solver] = sum(np.linalg.norm(part[0], axis=-1) for part in weights)
                violation = max(violation, problem.violation(weights))
    ours, theirs = (float(np.median(times)) for times in seconds.values())
    best = np.minimum(norms["auto"], norms[_SOLVER])
    excess = {solver: float(np.max((norms[solver] - best) / best)) for solver in norms}
    return (
        f"{_DATA}, n = {problem.n}, d = {problem.d}, {len(patterns)} blocks, {threads} thread(s), "
        f"medians of {repeats}\n"
        f"native    {ours:8.3f} s, relative excess over the smaller sum of norms at most {excess['auto']:.1e}\n"
        f"{_SOLVER}  {theirs:8.3f} s, at most {excess[_SOLVER]:.1e}\n"
        f"ratio {theirs / ours:.1f}; cone violation {violation:.1e}"
    )
