"""CVXPY compilation time relative to an interior-point solve."""

import argparse
import platform
from importlib.metadata import version

import numpy as np
import threadpoolctl

import cvxrelu as cr
from reference.datasets.prepare import breast_cancer


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--gates", type=int, default=500, help="number of gates (default: 500)")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs; medians are printed (default: 3)")


def run(arguments: argparse.Namespace) -> str:
    """Compare the time to build and compile C-GReLU with Clarabel's solve time, on breast cancer at lam = 1e-3."""
    return measure(arguments.gates, arguments.repeats)


def measure(n_gates: int, repeats: int) -> str:
    """Return both times, the objective and its certified gap."""
    X, y = breast_cancer()
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, n_gates, seed=0), lam=1e-3)
    runs = [cr.solve(problem, "CLARABEL") for _ in range(repeats)]
    compile_time = float(np.median([run.compile_time for run in runs]))
    solve_time = float(np.median([run.solve_time for run in runs if run.solve_time is not None]))
    threads = {pool["internal_api"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    packages = ", ".join(f"{name} {version(name)}" for name in ("cvxrelu", "cvxpy", "clarabel", "numpy", "scipy"))
    return "\n".join(
        [
            f"C-GReLU, breast cancer {problem.n} x {problem.d}, P = {len(problem.patterns)}, lam = 1e-3; "
            f"medians of {repeats}",
            f"objective {runs[-1].objective:.10f}, certified relative gap {runs[-1].certificate.rel_gap:.1e}",
            f"building and compiling the CVXPY program: {compile_time:.2f} s",
            f"Clarabel's solve time: {solve_time:.2f} s",
            f"compilation / solve: {100 * compile_time / solve_time:.1f} %",
            f"{packages}; Python {platform.python_version()}, {platform.machine()}, threads {threads}",
        ]
    )
