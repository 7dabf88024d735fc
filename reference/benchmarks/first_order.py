"""Native first-order solvers against the authors' pyscnn at equal accuracy."""

import argparse
import platform
import subprocess
import tempfile
import time
import tracemalloc
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from cvxrelu.solvers.interface import NativeSolver
from reference.datasets.prepare import breast_cancer
from reference.peers import PEERS_PYTHON, PEERS_SCRIPTS

_LAM = 1e-3


@dataclass(frozen=True)
class Race:
    """A run of a peer and ours on one problem; times are medians in seconds.

    ``objective`` is the peer's after repair into the cones, ``ours_equal`` our time to a feasible point with at most
    this objective, ``ours_certified`` our time to the certified gap.
    """

    name: str
    peer: str
    objective: float
    suboptimality: float
    peer_seconds: float
    ours_equal: float
    ours_certified: float

    def __str__(self) -> str:
        return (
            f"{self.name:<12} {self.peer:<24} {self.objective:.8f} {self.suboptimality:9.1e} "
            f"{self.peer_seconds:9.2f} s {self.ours_equal:9.2f} s {self.peer_seconds / self.ours_equal:7.1f} x "
            f"{self.peer_seconds / self.ours_certified:7.1f} x"
        )


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--repeats", type=int, default=5, help="number of runs; medians are printed (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both packages (default: 2)")


def run(arguments: argparse.Namespace) -> str:
    """Compare RFISTA and AugmentedLagrangian with pyscnn's R-FISTA and AL on breast cancer at equal objective."""
    return measure(arguments.repeats, arguments.threads)


def measure(repeats: int, threads: int) -> str:
    """Return a line for each problem and each tolerance of the peer."""
    if not PEERS_PYTHON.exists():
        raise SystemExit("the peers' environment is missing: run 'make peers' first")
    X, y = breast_cancer()
    gated = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 500, seed=0), lam=_LAM)
    relu = cr.ConvexReLU(X, y, cr.sample_patterns(X, 50, seed=0), lam=_LAM)
    lines = [
        f"breast cancer 569 x 31, lam = 1e-3, float64, {threads} thread(s) for both packages, medians of {repeats}",
        f"{'problem':<12} {'peer':<24} {'objective':<10} {'above opt':>9} {'peer':>11} {'ours, equal':>11} "
        f"{'ratio':>9} {'certified':>9}",
    ]
    with threadpool_limits(threads):
        for name, problem, solver, tol, peer, peer_tols in (
            ("gated P=500", gated, cr.RFISTA(), 1e-4, "rfista", ("1e-6", "1e-10")),
            ("ReLU P=50", relu, cr.AugmentedLagrangian(), 1e-3, "al", ("1e-6", "1e-8")),
        ):
            optimum = cr.solve(problem, "CLARABEL", tol=1e-6).lower
            memory = _peak(problem, solver)
            for peer_tol in peer_tols:
                objective, seconds = _run_pyscnn(problem, peer, peer_tol, repeats, threads)
                ours = [_race(problem, solver, tol, objective) for _ in range(repeats)]
                equal, certified = np.median(ours, axis=0).tolist()
                above = (objective - optimum) / optimum
                lines.append(
                    str(Race(name, f"pyscnn {peer} tol {peer_tol}", objective, above, seconds, equal, certified))
                )
            lines.append(f"{name:<12} memory of our solver: {_memory_line(problem, memory)}")
    lines.append("objective: after repair into the cones, by our certificate. ratio: peer / ours at equal objective.")
    lines.append("certified: peer / our time to a certified relative gap of 1e-4 (gated) and 1e-3 (ReLU).")
    packages = ", ".join(f"{name} {version(name)}" for name in ("cvxrelu", "numpy", "scipy"))
    lines.append(f"{packages}; Python {platform.python_version()}, {platform.machine()}")
    return "\n".join(lines)


def _solve(
    problem: cr.ConvexGatedReLU | cr.ConvexReLU, solver: NativeSolver, tol: float, **options: object
) -> cr.Solution:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap is reported
        return cr.solve(problem, solver, tol=tol, **options)  # type: ignore[arg-type]


def _race(
    problem: cr.ConvexGatedReLU | cr.ConvexReLU, solver: NativeSolver, tol: float, objective: float
) -> tuple[float, float]:
    """Return our seconds to the objective and to the certified gap; infinite if not reached within 5 minutes."""
    started = time.perf_counter()
    reached = {"equal": np.inf, "certified": np.inf}

    def monitor(record: cr.Record) -> bool:
        now = time.perf_counter() - started
        if record.objective <= objective:
            reached["equal"] = min(reached["equal"], now)
        if record.gap <= tol * record.objective:
            reached["certified"] = min(reached["certified"], now)
        return bool(np.isfinite(max(reached.values())))

    _solve(problem, solver, min(tol, 1e-7), callback=monitor, time_limit=300.0)
    return reached["equal"], reached["certified"]


def _run_pyscnn(
    problem: cr.ConvexGatedReLU | cr.ConvexReLU, solver: str, tol: str, repeats: int, threads: int
) -> tuple[float, float]:
    """Return the objective of pyscnn's weights after repair, and its median time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        np.savez(given, X=problem.X, y=problem.y, G=np.asarray(problem.patterns.G), lam=problem.lam)
        script = PEERS_SCRIPTS / "run_pyscnn.py"
        options = ["--solver", solver, "--tol", tol, "--dtype", "float64"]
        options += ["--threads", str(threads), "--repeats", str(repeats)]
        subprocess.run([PEERS_PYTHON, script, given, answer, *options], check=True, stdout=subprocess.DEVNULL)
        with np.load(answer) as arrays:
            weights = arrays["U"] if solver == "rfista" else (arrays["V"], arrays["W"])
            return cr.certify(problem, weights).upper, float(np.median(arrays["seconds"]))


def _peak(problem: cr.ConvexGatedReLU | cr.ConvexReLU, solver: NativeSolver) -> int:
    """Return the peak memory of the first 500 iterations in bytes."""
    tracemalloc.start()
    _solve(problem, solver, 1e-6, max_iter=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _memory_line(problem: cr.ConvexGatedReLU | cr.ConvexReLU, peak: int) -> str:
    inputs = problem.X.nbytes + problem.patterns.D.nbytes + problem.blocks(problem.zero_weights()).nbytes
    expanded = 8 * problem.n * problem.d * len(problem.patterns)
    return (
        f"peak {peak / 2**20:.1f} MiB; X + D + weights {inputs / 2**20:.1f} MiB; "
        f"the expanded n x (P d) matrix would take {expanded / 2**20:.1f} MiB"
    )
