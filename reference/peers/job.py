"""Common part of the peers' scripts: arguments, problem, answer and checks of the answer.

NumPy is imported inside functions, because it reads the environment variables that limit its threads when it is
loaded, and `parse` sets them.

With several values of --tol there is one file for each, OUT.0.npz, OUT.1.npz, ..., written as soon as the answer is
found. A file OUT.running exists while the solver's clock runs, so that the caller can enforce the time-out, and a file
OUT.compiling while a program is compiled. OUT.npz holds

- U (c, P, d), or V and W (c, P, d): float64, in the order of the given gates, zero for gates that the peer dropped;
- W1 (m, d) and w2 (m, c) instead, for a ReLU network;
- path (n_lams, 1, P, d), or (n_lams, 2, P, d) for V and W, if PROBLEM.npz holds lams and the peer follows them:
  the weights at each lam that it reached, of which U, V and W are the last;
- seconds: time of each solve, without imports, data conversion and patterns; at least as many as asked for;
- iterations: -1 if the peer does not report them;
- metadata: a JSON string with versions, threads, settings, and `objective`, the formula evaluated in float64.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reference.peers import EXPANDED_LIMIT, expanded_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

T = TypeVar("T")

ANSWERED = "answered"
_MOST, _LITTLE, _LITTLE_IN_ALL = 9, 0.05, 1.0  # solves, and seconds of them without and with preparations
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True, eq=False)
class Problem:
    """X (n, d), y (n,) or (n, c), gates G (d, P), the penalty's strength lam, and the rest of the problem.

    ``lams`` is a descending path that ends at lam, ``lower`` a proven lower bound on the optimal value.
    """

    X: Array
    y: Array
    G: Array
    lam: float
    lams: Array | None = None
    kind: str = "gated"
    loss: str = "squared"
    penalty: str = "group_l1"
    lower: float = 0.0

    def patterns(self) -> NDArray[np.bool_]:
        """Return D (n, P), 1[X G >= 0]."""
        return self.X @ self.G >= 0

    def expanded(self) -> Array:
        """Return (D_1 X, ..., D_P X), (n, P d) in column order, for peers that take any matrix.

        Raises
        ------
        SystemExit
            If it takes more memory than `EXPANDED_LIMIT`.
        """
        import numpy as np

        n, d = self.X.shape
        size = expanded_size(n, d, self.G.shape[1])
        if size > EXPANDED_LIMIT:
            raise SystemExit(f"the expanded matrix takes {size / 2**30:.1f} GiB, more than {EXPANDED_LIMIT / 2**30:g}")
        D = self.patterns()
        A = np.empty((n, D.shape[1] * d), order="F")
        for i in range(D.shape[1]):
            A[:, i * d : (i + 1) * d] = D[:, [i]] * self.X
        return A

    def is_plain(self) -> bool:
        """Return whether it has one output, the squared loss and the group-l1 penalty."""
        return self.y.ndim == 1 and self.loss == "squared" and self.penalty == "group_l1"

    def objective(self, blocks: Sequence[Array]) -> float:
        """Return the objective at blocks of shape (P, d) or (1, P, d): [U] if gated, else [V, W]."""
        import numpy as np

        blocks = [block.reshape(-1, self.X.shape[1]) for block in blocks]
        U = blocks[0] if len(blocks) == 1 else blocks[0] - blocks[1]
        D = self.patterns()
        prediction = sum(D[:, i] * (self.X @ U[i]) for i in range(len(U)))
        penalty = sum(np.linalg.norm(block[i]) for block in blocks for i in range(len(block)))
        return float(np.sum((prediction - self.y) ** 2) / (2 * len(self.y)) + self.lam * penalty)

    def violation(self, blocks: Sequence[Array]) -> dict[str, float]:
        """Return the largest entry and the l2 norm of (-(2 D_i - I) X B_i)_+ over all blocks, (P, d) or (1, P, d)."""
        import numpy as np

        blocks = [block.reshape(-1, self.X.shape[1]) for block in blocks]
        signs = 2.0 * self.patterns() - 1
        excess = np.stack([np.maximum(-signs * (self.X @ block.T), 0) for block in blocks])
        return {"max": float(excess.max()), "l2": float(np.linalg.norm(excess))}


@dataclass(frozen=True, eq=False)
class Solve:
    """One solve: blocks (P, d) or (c, P, d) in the order of the gates, seconds, iterations (-1: unknown), details.

    ``details`` is what the peer reports, ``path`` the blocks at each lam, (n_lams, 1 or 2, P, d). A ReLU network has no
    blocks, but W1 (m, d) and w2 (m, c).
    """

    blocks: Sequence[Array]
    seconds: float
    iterations: int
    details: dict[str, Any]
    path: Array | None = None
    network: tuple[Array, Array] | None = None


def parser(description: str, solvers: Sequence[str] | None, max_iters: int) -> argparse.ArgumentParser:
    """Build the command line common to all peers; each script adds its own options."""
    arguments = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    arguments.add_argument("problem", type=Path, help=".npz file with X, y, G and lam")
    arguments.add_argument("out", type=Path, help=".npz file to write")
    arguments.add_argument("--solver", choices=solvers, required=True)
    arguments.add_argument("--tol", type=float, nargs="+", required=True, help="tolerances, as the peer defines them")
    arguments.add_argument(
        "--time-limit", type=float, default=1e9, help="time limit of one solve in seconds, if the peer supports it"
    )
    arguments.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    arguments.add_argument("--max-iters", type=int, default=max_iters)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--repeats", type=int, default=1, help="least number of fresh solves")
    arguments.add_argument("--serve", action="store_true", help="solve on demand, see reference.peers.job")
    return arguments


def parse(arguments: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line and limit the threads of libraries loaded from now on."""
    options = arguments.parse_args()
    if options.threads < 1 or options.repeats < 1:
        arguments.error("--threads and --repeats must be at least 1")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(options.threads)
    return options


def load(path: Path) -> Problem:
    """Read X, y, G, lam and lams in float64, and the other fields of the problem that the file holds."""
    import numpy as np

    with np.load(path) as arrays:
        X, y, G = (np.asarray(arrays[name], dtype=np.float64) for name in ("X", "y", "G"))
        lam = float(arrays["lam"])
        lams = np.asarray(arrays["lams"], dtype=np.float64) if "lams" in arrays else None
        fields = {name: arrays[name].item() for name in ("kind", "loss", "penalty", "lower") if name in arrays}
    if not (X.ndim == G.ndim == 2 and y.ndim in (1, 2) and len(y) == len(X) and len(G) == X.shape[1]):
        raise ValueError(f"X (n, d), y (n,) or (n, c) and G (d, P) do not match: {X.shape}, {y.shape}, {G.shape}")
    if lams is not None and not (lams.ndim == 1 and lams[-1] == lam and np.all(np.diff(lams) < 0)):
        raise ValueError(f"lams must descend to lam = {lam}, got {lams}")
    return Problem(X, y, G, lam, lams, **fields)


def run(
    options: argparse.Namespace,
    problem: Problem,
    solve: Callable[[Problem, argparse.Namespace, Clock], Solve],
    packages: Sequence[str],
) -> None:
    """Solve at each tolerance, --repeats times or more, and write each answer as soon as it is found; or on demand.

    Import what the solver needs before, so that the memory of imports is not counted.
    """
    if options.serve:
        for line in sys.stdin:
            run_options = argparse.Namespace(**vars(options) | json.loads(line))
            answer = solve(problem, run_options, Clock(options.out.with_suffix(".running")))
            save(run_options, problem, [answer], packages)
            print(ANSWERED, flush=True)
        return
    resident = memory()
    several = len(options.tol) > 1
    for k, tol in enumerate(options.tol):
        out = options.out.with_suffix(f".{k}.npz") if several else options.out
        run_options = argparse.Namespace(**vars(options) | {"tol": tol, "out": out})
        clock = Clock(out.with_suffix(".running"))
        solves = repeated(partial(solve, problem, run_options, clock), attrgetter("seconds"), options.repeats)
        solves[-1].details["memory_mb"] = max(clock.peak - resident, 0.0)
        metadata = save(run_options, problem, solves, packages)
        seconds = ", ".join(f"{solve.seconds:.3f}" for solve in solves)
        print(f"seconds {seconds}; iterations {solves[-1].iterations}")
        print(json.dumps(metadata, indent=2))


def repeated(solve: Callable[[], T], seconds: Callable[[T], float], repeats: int = 1) -> list[T]:
    """Solve ``repeats`` times, and more often while all take little: the first ones mostly measure cold caches."""
    started = time.perf_counter()
    solves: list[T] = []
    while len(solves) < repeats or (
        len(solves) < _MOST and sum(map(seconds, solves)) < _LITTLE and time.perf_counter() - started < _LITTLE_IN_ALL
    ):
        solves.append(solve())
    return solves


class Clock:
    """Context manager that measures time and peak memory; its file ``running`` exists meanwhile."""

    def __init__(self, running: Path) -> None:
        self.seconds = 0.0
        self.peak = 0.0
        self._running = running
        self._compiling = running.with_suffix(".compiling")

    def __enter__(self) -> Clock:
        _reset_peak()
        self._running.touch()
        self._start = time.perf_counter()
        return self

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Mark the compilation of a program by a file."""
        self._compiling.touch()
        try:
            yield
        finally:
            self._compiling.unlink()

    def so_far(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._start

    def __exit__(self, *exception: object) -> None:
        self.seconds = self.so_far()
        self._running.unlink()
        self.peak = memory(peak=True)


def memory(*, peak: bool = False) -> float:
    """Return the resident memory of this process in MB, or its peak since the last reset.

    On systems without /proc, both are the peak since the process started.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM" if peak else "VmRSS"].split()[0]) / 2**10


def _reset_peak() -> None:
    """Reset the peak of the resident memory where the system allows it (Linux, proc(5))."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def save(
    options: argparse.Namespace, problem: Problem, solves: Sequence[Solve], packages: Sequence[str]
) -> dict[str, Any]:
    """Write OUT.npz: the weights of the last solve, the times of all solves, and the metadata; return the latter."""
    import numpy as np

    blocks = [np.asarray(block, dtype=np.float64) for block in solves[-1].blocks]
    metadata = {
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "machine": platform.machine(),
        "threads": options.threads,
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()},
        "objective": problem.objective(blocks) if problem.is_plain() and blocks else None,
        "violation": problem.violation(blocks) if problem.is_plain() and len(blocks) == 2 else None,
    } | solves[-1].details
    arrays: dict[str, Any] = {
        "seconds": np.array([solve.seconds for solve in solves]),
        "iterations": np.array([solve.iterations for solve in solves]),
        "metadata": np.array(json.dumps(metadata)),
    }
    names = {0: [], 1: ["U"], 2: ["V", "W"]}[len(blocks)]
    arrays |= {name: block if block.ndim == 3 else block[np.newaxis] for name, block in zip(names, blocks, strict=True)}
    if solves[-1].path is not None:
        arrays["path"] = solves[-1].path
    if solves[-1].network is not None:
        arrays |= dict(zip(("W1", "w2"), solves[-1].network, strict=True))
    temporary = options.out.with_suffix(".tmp.npz")
    np.savez(temporary, **arrays)
    os.replace(temporary, options.out)  # the caller never sees a partial file
    return metadata
