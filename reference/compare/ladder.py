"""Run one solver on one problem at increasing accuracies, in a separate process that is stopped at the time-out."""

import ctypes
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.compare.error_summary import error_summary
from reference.compare.solvers import Solver
from reference.peers.job import THREAD_VARIABLES

_OTHER = 120.0  # seconds allowed outside the solver: imports, kernels, files
_COMPILING = 60.0  # seconds allowed to compile a program
_OVERHEAD = 5.0  # seconds for building and certifying, which are timed with CVXPY's solvers
_LIMIT_FRACTION = 0.95  # fraction of the time-out given to solvers as their limit, so that they answer in time
_GRACE = 1.0  # seconds
_MEMORY = 10 * 2**30
_POLL = 0.02
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NOTE = 200  # characters
_REFUSED = " does not support "
_TOO_LARGE = "limits the size of programs"


@dataclass(frozen=True)
class Effort:
    """Threads of each solver and the time-out of one solve in seconds."""

    threads: int
    timeout: float


class AbandonedError(Exception):
    """The process that requested the run has ended."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of one run: the arrays of its answer, or a note that says why there is none."""

    status: str
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    seconds: float = np.nan
    metadata: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def run_ladder(
    solver: Solver, given: Path, options: Sequence[str], tols: Sequence[float], effort: Effort, owner: int
) -> Generator[Outcome]:
    """Yield the outcome at each tolerance, loosest first, until one has no answer in time.

    Parameters
    ----------
    solver : Solver
        The solver to run.
    given : Path
        The problem's file, in a folder of its own.
    options : sequence of str
        Options of the solver's script.
    tols : sequence of float
        The solver's tolerances, descending.
    effort : Effort
        Threads and time-out.
    owner : int
        Process that requested the run: this one, or the one that started this worker.

    Raises
    ------
    AbandonedError
        If this is a worker and its owner has ended; the solver is stopped.
    """
    out = given.with_name("answer.npz")
    command = [str(part) for part in (solver.python, solver.script, given, out)]
    command += [
        *options,
        "--threads",
        str(effort.threads),
        "--time-limit",
        repr(_LIMIT_FRACTION * effort.timeout),
        "--tol",
    ]
    command += [repr(tol) for tol in tols]
    files = [out.with_suffix(f".{k}.npz") for k in range(len(tols))] if len(tols) > 1 else [out]
    environment = os.environ | dict.fromkeys((*THREAD_VARIABLES, "NUMBA_NUM_THREADS"), str(effort.threads))
    abandoned = _owner_has_ended(owner)
    with (given.with_name("errors.txt")).open("w+") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env=environment,
            preexec_fn=_limit_process,
        )
        try:
            for file in files:
                grace = _GRACE + (_OVERHEAD if solver.compiles else 0.0)
                outcome = _wait(process, file, effort.timeout, grace, abandoned, own=solver.file is not None)
                if outcome.status == "failed" and not outcome.note:
                    errors.seek(0)
                    outcome = _failure(errors.read(), process.returncode)
                yield outcome
                if outcome.status != "answered" or outcome.seconds >= _LIMIT_FRACTION * effort.timeout:
                    return
        finally:
            _stop(process)


def _owner_has_ended(owner: int) -> Callable[[], bool]:
    """Return a function that returns whether the owner of this worker has ended; always False outside workers."""
    is_worker = os.getppid() == owner
    return lambda: is_worker and os.getppid() != owner


def _wait(
    process: subprocess.Popen[bytes],
    file: Path,
    timeout: float,
    grace: float,
    abandoned: Callable[[], bool],
    *,
    own: bool = False,
) -> Outcome:
    """Wait for an answer, the end of the process or the time-out, which counts while the solver's clock runs.

    The warm-up of a user's function (``own``) has the same time-out; ours has longer, because it compiles kernels.
    """
    phases = {name: file.with_suffix(f".{name}") for name in ("compiling", "running")}
    phases["warming"] = file.with_name(f"{file.name.partition('.')[0]}.warming")
    allowed = {
        "compiling": _COMPILING,
        "running": timeout + grace,
        "warming": timeout + grace if own else _OTHER,
        "other": _OTHER,
    }
    reason = {
        "warming": f"stopped in the warm-up on ten rows, {allowed['warming'] - grace * own:g} s allowed",
        "compiling": f"not compiled after {_COMPILING:g} s",
        "running": f"stopped, {timeout:g} s allowed",
        "other": f"stopped, not ready after {_OTHER:g} s",
    }
    spent = dict.fromkeys(allowed, 0.0)
    now = time.monotonic()
    while not file.exists():
        if process.poll() is not None and not file.exists():
            return Outcome("failed")
        if abandoned():
            raise AbandonedError
        time.sleep(_POLL)
        phase = next((name for name, mark in phases.items() if mark.exists()), "other")
        before, now = now, time.monotonic()
        spent[phase] += now - before
        if spent[phase] > allowed[phase]:
            return Outcome("timeout", seconds=timeout, note=reason[phase])
    with np.load(file) as arrays:
        metadata = json.loads(str(arrays["metadata"]))
        seconds = statistics.median_low(arrays["seconds"].tolist())
        answer = {name: arrays[name] for name in ("U", "V", "W", "W1", "w2") if name in arrays}
    if seconds > timeout:
        return Outcome("timeout", seconds=timeout, note=f"answered after {seconds:.3g} s")
    return Outcome("answered", answer, seconds, metadata)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _limit_process() -> None:
    """Limit the memory of the new process and, on Linux, let it end with its parent."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _failure(errors: str, code: int | None) -> Outcome:
    """Return why a process ended without an answer, from its stderr."""
    if any(word in errors for word in ("MemoryError", "bad_alloc", "Cannot allocate memory")):
        return Outcome("failed", note=f"out of memory, {_MEMORY / 2**30:g} GiB allowed")
    message = error_summary(errors)
    if not message:
        return Outcome("failed", note=f"ended with status {code}")
    if _REFUSED in message:  # the CVXPY solver lacks these cones
        return Outcome("not_run", note=f"not supported: {message.partition(_REFUSED)[2]}"[:_NOTE])
    if _TOO_LARGE in message:
        return Outcome("not_run", note=f"no licence: this one {_TOO_LARGE}")
    return Outcome("failed", note=message)
