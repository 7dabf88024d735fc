"""The process of a peer's script, which solves on demand; stopped when it takes too long, and started again."""

import contextlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import cvxrelu as cr
from reference.compare.error_summary import error_summary
from reference.peers import PEERS_SCRIPTS
from reference.peers.job import ANSWERED
from reference.race.entrants import Peer, Settings

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer of a peer's script: blocks (c, P, d) or (2, c, P, d), path (n_lams, 1, P, d), seconds, metadata."""

    blocks: Array
    path: Array | None
    seconds: float
    metadata: dict[str, Any]


class NoAnswerError(Exception):
    """A peer failed, or ran out of time after the given ``seconds``."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Server:
    """A peer's process for one problem, a context manager that ends it.

    Parameters
    ----------
    peer : Peer
        The peer.
    given : Path
        The problem's file.
    threads : int
        Threads of the solver.

    Raises
    ------
    FileNotFoundError
        If the peer's environment is missing.
    """

    def __init__(self, peer: Peer, given: Path, threads: int) -> None:
        if not peer.python.exists():
            raise FileNotFoundError(f"{peer.python} is missing: run 'make peers' first")
        self._peer = peer
        self._folder = tempfile.TemporaryDirectory()
        self._out = Path(self._folder.name) / "answer.npz"
        self._errors = Path(self._folder.name) / "errors"
        command = (peer.python, PEERS_SCRIPTS / peer.script, given, self._out, *peer.options)
        self._command = [*map(str, command), "--tol", "0", "--threads", str(threads), "--serve"]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._folder.cleanup()

    def solve(self, settings: Settings, limit: float) -> Answer:
        """Solve the problem with the given settings, options of the script.

        Raises
        ------
        NoAnswerError
            If it takes longer than ``limit`` seconds, besides what the peer needs outside its clock, or fails.
        """
        limit_all = limit + self._peer.overhead
        if self._process is None:
            limit_all += self._peer.startup
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        late = Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = Timer(limit_all, stop)
        timer.start()
        try:
            process.stdin.write(json.dumps(dict(settings)) + "\n")
            process.stdin.flush()
            answered = any(line.strip() == ANSWERED for line in process.stdout)
        except BrokenPipeError:
            answered = False
        finally:
            timer.cancel()
        if answered:
            return read_answer(self._out)
        status = process.wait()
        self._end()
        if late.is_set():
            raise NoAnswerError(f"stopped after {limit:.3g} s", limit)
        raise NoAnswerError(f"failed with status {status}: {error_summary(self._errors.read_text()) or 'no message'}")

    def _start(self) -> None:
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def _end(self) -> None:
        """End the process, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # by a request that it did not read
                    stream.close()


def read_answer(out: Path) -> Answer:
    """Read the answer of a peer's script."""
    with np.load(out) as arrays:
        return Answer(
            blocks=arrays["U"] if "U" in arrays else np.stack([arrays["V"], arrays["W"]]),
            path=arrays.get("path"),
            seconds=float(arrays["seconds"][-1]),
            metadata=json.loads(str(arrays["metadata"])),
        )


def write_problem(path: Path, problem: cr.ConvexGatedReLU | cr.ConvexReLU, lams: Array | None = None) -> None:
    """Write the problem in the format of the peers' scripts, at the last of the lams if given."""
    arrays: dict[str, Any] = {
        "X": problem.X,
        "y": problem.y,
        "G": np.asarray(problem.patterns.G),
        "lam": problem.lam,
        "kind": "relu" if isinstance(problem, cr.ConvexReLU) else "gated",
        "loss": problem.loss.name,
        "penalty": problem.penalty.name,
    }
    if lams is not None:
        arrays |= {"lam": lams[-1], "lams": lams}
    np.savez(path, **arrays)
