"""Peers of a case: search for the fastest accurate setting of each, then timed turns of these settings and ours."""

import contextlib
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import cvxrelu as cr
from reference.peers.job import repeated
from reference.race.entrants import Entrant, Settings
from reference.race.results import Entry, Trial, choose
from reference.race.server import Answer, NoAnswerError, Server, write_problem

_SLACK = 2.0  # single runs are noisy: a setting is abandoned only if this much slower than the fastest
_PATIENCE, _SHORT = 50.0, 5.0  # a peer is abandoned if this much slower than the fastest, and at least so many seconds
_CLOSE = 4.0  # peers this close to the fastest take turns
_ALONE = ", one thread"

Judge = Callable[[Answer], float]


@dataclass(frozen=True)
class Effort:
    """Turns of every solver, threads of every solver, and the time-out of one solve in seconds."""

    repeats: int
    threads: int
    timeout: float


@contextlib.contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Limit our threads and silence convergence warnings, since the table reports the gaps."""
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)
        yield


def compete(
    problem: cr.ConvexGatedReLU | cr.ConvexReLU,
    lams: NDArray[np.float64] | None,
    entrants: Sequence[Entrant],
    ours: Callable[[], float],
    judge: Judge,
    allowance: float,
    effort: Effort,
) -> tuple[list[float], list[Entry]]:
    """Return our times and the peers' entries: each peer's best setting is found, then all take turns.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    lams : ndarray of shape (n_lams,), optional
        The path, if it is one.
    entrants : sequence of Entrant
        The peers, with the accuracy required of each.
    ours : callable
        Runs our solver and returns its seconds.
    judge : callable
        Returns the relative suboptimality of an answer with respect to a lower bound on the optimum.
    allowance : float
        Largest distance of that bound from the optimum, added to the required accuracy in the peers' favour.
    effort : Effort
        Turns, threads and time-out.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        given = Path(folder) / "problem.npz"
        write_problem(given, problem, lams)
        found: list[Contender] = []
        for entrant in entrants:
            server = stack.enter_context(Server(entrant.peer, given, effort.threads))
            fastest = min((each.entry.chosen.seconds for each in found if each.entry.reached), default=np.inf)
            patience = max(_PATIENCE * fastest, _SHORT)
            found.append(
                enter(entrant, server, judge, allowance, replace(effort, timeout=min(effort.timeout, patience)))
            )
        return take_turns(found, ours, effort)


@dataclass(frozen=True)
class Contender:
    """A peer's result so far, its process and its chosen settings."""

    entry: Entry
    server: Server
    settings: Settings

    def solve(self, limit: float) -> float:
        """Solve at the chosen settings, and return the seconds."""
        return self.server.solve(self.settings, limit).seconds


def take_turns(
    contenders: Sequence[Contender], ours: Callable[[], float], effort: Effort
) -> tuple[list[float], list[Entry]]:
    """Return our times, and the entries with the times of their turns; ours and the close contenders run in turn.

    A contender is close if its chosen trial is accurate and took at most four times as long as the fastest such. The
    entries of the others keep the time of that trial; so do those of contenders that fail. The time of a turn is the
    median of its calls: one that takes milliseconds is repeated, as the first after another process mostly measures
    cold caches.
    """
    reached = [each for each in contenders if each.entry.reached]
    fastest = min((each.entry.chosen.seconds for each in reached), default=0.0)
    close = [each for each in reached if each.entry.chosen.seconds <= _CLOSE * fastest]
    turns: dict[str, list[float]] = {each.entry.peer: [] for each in close}
    seconds = []
    for _ in range(effort.repeats):
        with quiet(effort.threads):
            seconds.append(_turn(ours))
        for each in close:
            with contextlib.suppress(NoAnswerError):
                turns[each.entry.peer].append(_turn(partial(each.solve, 2 * effort.timeout)))
    return seconds, [
        replace(each.entry, seconds=turns.get(each.entry.peer) or each.entry.seconds) for each in contenders
    ]


def _turn(solve: Callable[[], float]) -> float:
    """Return the median seconds of the calls of one turn; the lower one of two."""
    return statistics.median_low(repeated(solve, float))


def enter(entrant: Entrant, server: Server, judge: Judge, allowance: float, effort: Effort) -> Contender:
    """Find the peer's fastest setting that reaches the accuracy.

    For each variant, search for the loosest accurate tolerance, trying each tolerance once: start from the loosest for
    the first variant, and from one looser than the previous variant's for the others. Since tighter tolerances take
    longer, abandon a variant that fails, exceeds the time-out or is clearly slower than the fastest setting so far. For
    refined peers, try half a decade before the first accurate tolerance too, and for threaded peers in a race with
    several threads, the chosen setting with one.

    The setting of an earlier race is run first. There is no search if it is as accurate as required, or if that search
    found none of this accuracy.
    """
    peer = entrant.peer
    search = _Search(entrant, server, judge, allowance, effort)
    if entrant.earlier is None or not search.repeat(entrant.earlier):
        search.scan()
        chosen, reached = search.chosen()
        if reached and peer.threaded and effort.threads > 1:
            search.run(f"{chosen.setting}{_ALONE}", search.settings[chosen.setting] | {"threads": 1})
    chosen, reached = search.chosen()
    entry = Entry(peer.name, entrant.accuracy, reached, chosen, [chosen.seconds], search.trials, search.versions)
    return Contender(entry, server, search.settings[chosen.setting])


class _Search:
    """Trials of one peer on one problem."""

    def __init__(self, entrant: Entrant, server: Server, judge: Judge, allowance: float, effort: Effort) -> None:
        self.peer, self.server, self.judge, self.effort = entrant.peer, server, judge, effort
        self.asked, self.threshold = entrant.accuracy, entrant.accuracy + allowance
        self.trials: list[Trial] = []
        self.versions: dict[str, str] = {}
        self.settings: dict[str, dict[str, object]] = {}

    def repeat(self, earlier: Entry) -> bool:
        """Run the setting chosen in an earlier race; return whether its result makes a search needless."""
        setting = earlier.chosen.setting.removesuffix(_ALONE)
        threads = {} if setting == earlier.chosen.setting else {"threads": 1}
        tols = [each for tol in self.peer.tols for each in (tol, _looser(tol))]
        for (variant, settings), tol in product(self.peer.variants.items(), tols):
            if _label(variant, tol) == setting:
                accurate, _ = self.run(earlier.chosen.setting, {**settings, "tol": float(tol), **threads})
                return accurate or (not earlier.reached and earlier.asked >= self.asked)
        return False

    def scan(self) -> None:
        """Search the tolerances of all variants."""
        tols, start = self.peer.tols, 0
        for variant, settings in self.peer.variants.items():
            index = start
            accurate, slow = self.attempt(variant, tols[index], settings)
            if accurate:
                while index > 0 and self.attempt(variant, tols[index - 1], settings)[0]:
                    index -= 1
            while not (accurate or slow) and index + 1 < len(tols):
                index += 1
                accurate, slow = self.attempt(variant, tols[index], settings)
            if accurate:
                start = max(0, index - 1)
                if self.peer.refined:
                    self.attempt(variant, _looser(tols[index]), settings)

    def attempt(self, variant: str, tol: str, settings: Settings) -> tuple[bool, bool]:
        """Run a variant at a tolerance; return whether it is accurate, and whether it is too slow or fails."""
        return self.run(_label(variant, tol), {**settings, "tol": float(tol)})

    def run(self, label: str, settings: dict[str, object]) -> tuple[bool, bool]:
        """Run a setting once; return whether it is accurate, and whether it is too slow or fails."""
        self.settings[label] = settings
        fastest = min((trial.seconds for trial in self.trials if self._is_accurate(trial)), default=np.inf)
        limit = min(self.effort.timeout, _SLACK * fastest)
        try:
            trial = self._judged(label, self.server.solve(settings, limit))
        except NoAnswerError as error:
            trial = Trial(label, error.seconds, note=str(error))
        self.trials.append(trial)
        print(f"    {self.peer.name:<9} {_trial_line(trial)}", flush=True)
        return self._is_accurate(trial), trial.accuracy is None or trial.seconds >= limit

    def chosen(self) -> tuple[Trial, bool]:
        """Return the best trial so far, and whether it is accurate."""
        return choose(self.trials, self.threshold)

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
            answer.seconds,
            accuracy,
            None if violation is None else violation["max"],
            answer.metadata.get("compile_seconds"),
            "" if answer.metadata["converged"] else "not converged, as it reports",
        )


def _trial_line(trial: Trial) -> str:
    accuracy = "-" if trial.accuracy is None else f"{trial.accuracy:.2e}"
    return f"{trial.setting:<42} {trial.seconds:>9.3g} s  accuracy {accuracy}  {trial.note}".rstrip()


def _label(variant: str, tol: str) -> str:
    return ", ".join(part for part in (variant, f"tol {tol}") if part)


def _looser(tol: str) -> str:
    """Return a tolerance half a decade looser."""
    return tol.replace("1e", "3e")
