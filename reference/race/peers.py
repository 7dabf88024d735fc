"""Runs of the peers: one process per setting, whose answer is judged; the fastest accurate setting is timed again."""

import contextlib
import json
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.compare.error_summary import error_summary
from reference.peers import PEERS_SCRIPTS
from reference.race.cases import Entrant, Peer
from reference.race.results import Entry, Trial, choose

Array = NDArray[np.float64]
_SLACK = 2.0  # single runs are noisy: a setting is abandoned only if this much slower than the fastest


@dataclass(frozen=True)
class Effort:
    """Repeats of timed runs, threads of every solver, and the time-out of one solve in seconds."""

    repeats: int
    threads: int
    timeout: float


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer of a peer's script: blocks (1, P, d) or (2, 1, P, d), path (n_lams, 1, P, d), seconds, metadata."""

    blocks: Array
    path: Array | None
    seconds: list[float]
    metadata: dict[str, Any]


class NoAnswerError(Exception):
    """A peer failed, or ran out of time after the given ``seconds``."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


Judge = Callable[[Answer], float]


@contextlib.contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Limit our threads and silence convergence warnings, since the table reports the gaps."""
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        yield


def enter(entrant: Entrant, given: Path, judge: Judge, allowance: float, effort: Effort) -> Entry:
    """Find the peer's fastest setting that reaches the accuracy, and time it.

    For each variant, search for the loosest accurate tolerance, trying each tolerance once: start from the loosest for
    the first variant, and from one looser than the previous variant's for the others. Since tighter tolerances take
    longer, abandon a variant that exceeds the time-out or is clearly slower than the fastest setting so far. For
    refined peers, try half a decade before the first accurate tolerance too. Then repeat the chosen setting until
    there are ``repeats`` runs of it, including the first.

    Parameters
    ----------
    entrant : Entrant
        The peer and the accuracy required of it.
    given : Path
        The problem's file.
    judge : callable
        Returns the relative suboptimality of an answer with respect to a lower bound on the optimum.
    allowance : float
        Largest distance of that bound from the optimum, added to the required accuracy in the peer's favour.
    effort : Effort
        Repeats, threads and time-out.
    """
    peer = entrant.peer
    search = _Search(peer, given, judge, entrant.accuracy + allowance, effort)
    start = 0
    for variant in peer.variants:
        index = start
        accurate, slow = search.attempt(variant, peer.tols[index])
        if accurate:
            while index > 0 and search.attempt(variant, peer.tols[index - 1])[0]:
                index -= 1
        while not (accurate or slow) and index + 1 < len(peer.tols):
            index += 1
            accurate, slow = search.attempt(variant, peer.tols[index])
        if accurate:
            start = max(0, index - 1)
            if peer.refined:
                search.attempt(variant, peer.tols[index].replace("1e", "3e"))
    chosen, reached = choose(search.trials, search.threshold)
    seconds = [chosen.seconds, *(search.repeat(chosen) if reached else [])]
    return Entry(peer.name, entrant.accuracy, reached, chosen, seconds, search.trials, search.versions)


def run_peer(
    peer: Peer, tol: str, options: tuple[str, ...], given: Path, repeats: int, threads: int, limit: float
) -> Answer:
    """Run a peer's script.

    Raises
    ------
    NoAnswerError
        If it takes longer than ``limit`` seconds per solve, or fails.
    """
    if not peer.python.exists():
        raise FileNotFoundError(f"{peer.python} is missing: run 'make peers' first")
    script = PEERS_SCRIPTS / peer.script
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.npz"
        command = [str(part) for part in (peer.python, script, given, out)]
        command += ["--solver", peer.solver, "--tol", tol, "--threads", str(threads), "--repeats", str(repeats)]
        try:
            process = subprocess.run(
                [*command, *options],
                capture_output=True,
                text=True,
                timeout=repeats * (limit + peer.startup),
            )
        except subprocess.TimeoutExpired:
            raise NoAnswerError(f"stopped after {limit:.3g} s", limit) from None
        if process.returncode != 0:
            raise NoAnswerError(
                f"failed with status {process.returncode}: {error_summary(process.stderr) or 'no message'}"
            )
        return read_answer(out)


def read_answer(out: Path) -> Answer:
    """Read the answer of a peer's script."""
    with np.load(out) as arrays:
        return Answer(
            blocks=arrays["U"] if "U" in arrays else np.stack([arrays["V"], arrays["W"]]),
            path=arrays.get("path"),
            seconds=arrays["seconds"].tolist(),
            metadata=json.loads(str(arrays["metadata"])),
        )


def write_problem(path: Path, problem: cr.ConvexGatedReLU | cr.ConvexReLU, lams: Array | None = None) -> None:
    """Write the problem in the format of the peers' scripts, at the last of the lams if given."""
    arrays: dict[str, Any] = {"X": problem.X, "y": problem.y, "G": np.asarray(problem.patterns.G), "lam": problem.lam}
    if lams is not None:
        arrays |= {"lam": lams[-1], "lams": lams}
    np.savez(path, **arrays)


class _Search:
    """Trials of one peer on one problem."""

    def __init__(self, peer: Peer, given: Path, judge: Judge, threshold: float, effort: Effort) -> None:
        self.peer, self.given, self.judge, self.threshold, self.effort = peer, given, judge, threshold, effort
        self.trials: list[Trial] = []
        self.versions: dict[str, str] = {}
        self._settings: dict[str, tuple[str, tuple[str, ...]]] = {}

    def attempt(self, variant: str, tol: str) -> tuple[bool, bool]:
        """Run a setting once; return whether it is accurate and whether it is too slow."""
        setting = ", ".join(part for part in (variant, f"tol {tol}") if part)
        self._settings[setting] = tol, self.peer.variants[variant]
        fastest = min((trial.seconds for trial in self.trials if self._is_accurate(trial)), default=np.inf)
        limit = min(self.effort.timeout, _SLACK * fastest)
        try:
            answer = run_peer(self.peer, *self._settings[setting], self.given, 1, self.effort.threads, limit)
            trial = self._judged(setting, answer)
        except NoAnswerError as error:
            trial = Trial(setting, error.seconds, note=str(error))
        self.trials.append(trial)
        print(f"    {self.peer.name:<9} {_trial_line(trial)}", flush=True)
        return self._is_accurate(trial), trial.seconds >= limit

    def repeat(self, trial: Trial) -> list[float]:
        """Return the times of further runs of a setting, or an empty list if they take too long."""
        runs, limit = self.effort.repeats - 1, 2 * self.effort.timeout
        if runs == 0:
            return []
        try:
            command = self._settings[trial.setting]
            return run_peer(self.peer, *command, self.given, runs, self.effort.threads, limit).seconds
        except NoAnswerError:
            return []

    def _is_accurate(self, trial: Trial) -> bool:
        return trial.accuracy is not None and trial.accuracy <= self.threshold

    def _judged(self, setting: str, answer: Answer) -> Trial:
        self.versions |= answer.metadata["versions"]
        try:
            accuracy = self.judge(answer)
        except ValueError as error:
            raise NoAnswerError(f"the weights are not finite: {error}") from error
        violation = answer.metadata["violation"]
        return Trial(
            setting,
            answer.seconds[0],
            accuracy,
            None if violation is None else violation["max"],
            answer.metadata.get("compile_seconds"),
            "" if answer.metadata["converged"] else "not converged, as it reports",
        )


def _trial_line(trial: Trial) -> str:
    accuracy = "-" if trial.accuracy is None else f"{trial.accuracy:.2e}"
    return f"{trial.setting:<42} {trial.seconds:>9.3g} s  accuracy {accuracy}  {trial.note}".rstrip()
