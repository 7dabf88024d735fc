"""Running the peers: one process for each setting, its answer judged, the fastest that is accurate timed again."""

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
from reference.compare.last_words import last_words
from reference.race.cases import Entrant, Peer
from reference.race.results import Entry, Trial, choose

Array = NDArray[np.float64]
_SLACK = 2.0  # single runs are noisy: only a setting this much slower than the fastest is given up


@dataclass(frozen=True)
class Effort:
    """How a race is run: runs of what is timed, threads on all sides, seconds for one solve."""

    repeats: int
    threads: int
    timeout: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What a peer's script wrote: blocks (1, P, d) or (2, 1, P, d), path (n_lams, 1, P, d), seconds, metadata."""

    blocks: Array
    path: Array | None
    seconds: list[float]
    metadata: dict[str, Any]


class NoAnswerError(Exception):
    """A peer that broke down, or ran out of time: then with the ``seconds`` that it was given."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


Judge = Callable[[Answer], float]


@contextlib.contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Limit the threads of our own side, and leave it to the figures to say whether a gap was reached."""
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        yield


def enter(entrant: Entrant, given: Path, judge: Judge, allowance: float, effort: Effort) -> Entry:
    """Find the peer's fastest setting that reaches the accuracy, and time it.

    For each variant the loosest accurate tolerance is looked for, each is tried once: the first variant from the
    loosest on, the others from one looser than that of the last variant. A tighter tolerance takes longer, so a
    variant is left when it has taken longer than the time-out or clearly longer than the fastest setting so far. Of
    peers that are refined, half a decade before the first accurate tolerance is tried too. The chosen setting is then
    run until there are ``repeats`` runs of it, the first one included.

    Parameters
    ----------
    entrant : Entrant
        The peer and the accuracy asked of it.
    given : Path
        The problem's file.
    judge : callable
        Returns the relative suboptimality of an answer, with respect to a lower bound of the optimum.
    allowance : float
        How far that bound may be from the optimum: what is added to the accuracy in the peer's favour.
    effort : Effort
        Runs, threads and time-out.
    """
    peer = entrant.peer
    search = _Search(peer, given, judge, entrant.accuracy + allowance, effort)
    start = 0
    for variant in peer.variants:
        place = start
        enough, slow = search.attempt(variant, peer.tols[place])
        if enough:
            while place > 0 and search.attempt(variant, peer.tols[place - 1])[0]:
                place -= 1
        while not (enough or slow) and place + 1 < len(peer.tols):
            place += 1
            enough, slow = search.attempt(variant, peer.tols[place])
        if enough:
            start = max(0, place - 1)
            if peer.refined:
                search.attempt(variant, peer.tols[place].replace("1e", "3e"))
    chosen, reached = choose(search.trials, search.wanted)
    seconds = [chosen.seconds, *(search.again(chosen) if reached else [])]
    return Entry(peer.name, entrant.accuracy, reached, chosen, seconds, search.trials, search.versions)


def run_peer(
    peer: Peer, tol: str, options: tuple[str, ...], given: Path, repeats: int, threads: int, limit: float
) -> Answer:
    """Run a peer's script.

    Raises
    ------
    NoAnswerError
        If it takes longer than limit seconds for each solve, or breaks down.
    """
    if not peer.python.exists():
        raise FileNotFoundError(f"{peer.python} is missing: run 'make peers' first")
    script = Path(__file__).parent / "peers" / peer.script
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.npz"
        command = [str(part) for part in (peer.python, script, given, out)]
        command += ["--solver", peer.solver, "--tol", tol, "--threads", str(threads), "--repeats", str(repeats)]
        try:
            done = subprocess.run(
                [*command, *options],
                capture_output=True,
                text=True,
                timeout=repeats * (limit + peer.startup),
            )
        except subprocess.TimeoutExpired:
            raise NoAnswerError(f"stopped after {limit:.3g} s", limit) from None
        if done.returncode != 0:
            raise NoAnswerError(f"failed with status {done.returncode}: {last_words(done.stderr) or 'no message'}")
        return read_answer(out)


def read_answer(out: Path) -> Answer:
    """Read what a peer's script wrote."""
    with np.load(out) as arrays:
        return Answer(
            blocks=arrays["U"] if "U" in arrays else np.stack([arrays["V"], arrays["W"]]),
            path=arrays.get("path"),
            seconds=arrays["seconds"].tolist(),
            metadata=json.loads(str(arrays["metadata"])),
        )


def write_problem(path: Path, problem: cr.ConvexGatedReLU | cr.ConvexReLU, lams: Array | None = None) -> None:
    """Write the problem, at the last of the lams if there are any, as the peers' scripts read it."""
    arrays: dict[str, Any] = {"X": problem.X, "y": problem.y, "G": np.asarray(problem.patterns.G), "lam": problem.lam}
    if lams is not None:
        arrays |= {"lam": lams[-1], "lams": lams}
    np.savez(path, **arrays)


class _Search:
    """The trials of one peer on one problem."""

    def __init__(self, peer: Peer, given: Path, judge: Judge, wanted: float, effort: Effort) -> None:
        self.peer, self.given, self.judge, self.wanted, self.effort = peer, given, judge, wanted, effort
        self.trials: list[Trial] = []
        self.versions: dict[str, str] = {}
        self._settings: dict[str, tuple[str, tuple[str, ...]]] = {}

    def attempt(self, variant: str, tol: str) -> tuple[bool, bool]:
        """Run a setting once; return whether it is accurate enough, and whether it is too slow."""
        setting = ", ".join(part for part in (variant, f"tol {tol}") if part)
        self._settings[setting] = tol, self.peer.variants[variant]
        fastest = min((trial.seconds for trial in self.trials if self._enough(trial)), default=np.inf)
        limit = min(self.effort.timeout, _SLACK * fastest)
        try:
            answer = run_peer(self.peer, *self._settings[setting], self.given, 1, self.effort.threads, limit)
            trial = self._judged(setting, answer)
        except NoAnswerError as error:
            trial = Trial(setting, error.seconds, note=str(error))
        self.trials.append(trial)
        print(f"    {self.peer.name:<9} {_said(trial)}", flush=True)
        return self._enough(trial), trial.seconds >= limit

    def again(self, trial: Trial) -> list[float]:
        """Return the seconds of the further runs of a setting; none if they take too long, which their number tells."""
        runs, limit = self.effort.repeats - 1, 2 * self.effort.timeout
        if runs == 0:
            return []
        try:
            command = self._settings[trial.setting]
            return run_peer(self.peer, *command, self.given, runs, self.effort.threads, limit).seconds
        except NoAnswerError:
            return []

    def _enough(self, trial: Trial) -> bool:
        return trial.accuracy is not None and trial.accuracy <= self.wanted

    def _judged(self, setting: str, answer: Answer) -> Trial:
        self.versions |= answer.metadata["versions"]
        try:
            accuracy = self.judge(answer)
        except ValueError as error:
            raise NoAnswerError(f"weights that are not finite: {error}") from error
        violation = answer.metadata["violation"]
        return Trial(
            setting,
            answer.seconds[0],
            accuracy,
            None if violation is None else violation["max"],
            answer.metadata.get("compile_seconds"),
            "" if answer.metadata["converged"] else "by its own word not converged",
        )


def _said(trial: Trial) -> str:
    accuracy = "-" if trial.accuracy is None else f"{trial.accuracy:.2e}"
    return f"{trial.setting:<42} {trial.seconds:>9.3g} s  accuracy {accuracy}  {trial.note}".rstrip()
