"""C-ReLU on data with many rows: each cone has n constraints, of which a projection needs a few."""

import argparse
import resource
import time
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.numerics import active_set

_NEURONS, _NOISE = 10, 0.1
_PERTURBATION = 0.01
_RATIOS = (0.1, 0.01)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--rows", type=int, default=10_000, help="number of rows (default: 10000)")
    parser.add_argument("--features", type=int, default=100, help="number of features with the bias (default: 100)")
    parser.add_argument("--gates", type=int, default=100, help="number of gates (default: 100)")
    parser.add_argument("--tol", type=float, default=1e-3, help="certified relative gap (default: 1e-3)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")


def run(arguments: argparse.Namespace) -> str:
    """Time projections and C-ReLU on data of a planted network with many rows."""
    return measure(arguments.rows, arguments.features, arguments.gates, arguments.tol, arguments.threads)


def measure(rows: int, features: int, gates: int, tol: float, threads: int) -> str:
    """Return CPU times of projections, and of solves with their certified gaps."""
    problem = _planted(rows, features, gates)
    lines = [f"{problem!r}, CPU seconds, {threads} thread(s)"]
    with threadpool_limits(threads):
        for size in (active_set._GROUP, 1):
            with mock.patch.object(active_set, "_GROUP", size):
                cold, again = _projections(problem)
            lines.append(f"projections, {size:>3} together   {cold:8.3f} s cold, {again:8.3f} s after a move of 1 %")
        largest = problem.lam_max()
        for ratio in _RATIOS:
            scaled = problem.with_lam(ratio * largest)
            started = time.process_time()
            solution = cr.solve(scaled, tol=tol)
            lines.append(
                f"solve at {ratio:g} lam_max  {time.process_time() - started:8.2f} s, "
                f"gap {solution.certificate.rel_gap:.1e}, {solution.certificate.n_active} blocks, "
                f"violation {scaled.violation(solution.weights):g}, {solution.status}"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return "\n".join([*lines, f"peak memory of the process {peak:.0f} MB"])


def _planted(rows: int, features: int, gates: int) -> cr.ConvexReLU:
    """Return normal data with a constant column, and as targets a network of ten neurons plus noise."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((rows, features - 1)), np.ones(rows)])
    W = rng.standard_normal((_NEURONS, features)) / np.sqrt(features)
    y = np.maximum(X @ W.T, 0.0) @ rng.standard_normal(_NEURONS)
    y += _NOISE * y.std() * rng.standard_normal(rows)
    return cr.ConvexReLU(X, y, cr.sample_patterns(X, gates, seed=0), lam=1.0)


def _projections(problem: cr.ConvexReLU) -> tuple[float, float]:
    """Return the seconds of projections of a random point for each cone, and again after a move of 1 %."""
    P = len(problem.patterns)
    rng = np.random.default_rng(0)
    x, moves = rng.standard_normal((2, P, problem.d))
    blocks = np.arange(P)
    active_set.project_blocks.compile()
    projector = ConeProjector(problem.X, np.asarray(problem.patterns.D), P)
    started = time.process_time()
    projector.project(blocks, x)
    cold = time.process_time() - started
    projector.project(blocks, x + _PERTURBATION * moves)
    return cold, time.process_time() - started - cold
