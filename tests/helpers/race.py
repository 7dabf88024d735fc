"""Entries, results and peers for the tests of the race."""

from pathlib import Path

import numpy as np

from reference.race.entrants import Peer
from reference.race.peers import Effort
from reference.race.results import (
    Entry,
    Ours,
    Result,
    Trial,
)
from reference.race.server import Answer, NoAnswerError

EFFORT = Effort(repeats=5, threads=1, timeout=10.0)


def entry(peer="adelie", seconds=2.0, *, reached=True, asked=1e-6, accuracy=5e-7, **more):
    trial = Trial("path 5, tol 1e-9", seconds, accuracy, 3e-5, **more)
    return Entry(peer, asked, reached, trial, [seconds], [trial], {"adelie": "1.0"})


def ours(seconds=0.5, *, reached=True):
    return Ours("RFISTA", [seconds, 9.0, 0.1], reached, 4e-7, 0.0, 65, 0.5 - 1e-9, 0.5)


def result(name="sonar/squared/P=500/0.3lam_max", entries=(), group="gated, squared", **options):
    return Result(name, group, 208, 61, 500, 1e-3, 0.7, ours(**options), list(entries))


class Fake:
    """A peer's process: ``told`` maps its settings to seconds and accuracy, or to None if it hangs."""

    def __init__(self, told, log=None):
        self.told, self.asked, self.log = told, [], log

    def solve(self, settings, limit):
        self.asked.append((settings, limit))
        if self.log is not None:
            self.log.append("peer")
        answer = self.told(**settings)
        if answer is None:
            raise NoAnswerError("stopped", limit)
        seconds, accuracy = answer
        metadata = {"versions": {"it": "1"}, "violation": None, "converged": True}
        return Answer(np.full(1, accuracy), None, seconds, metadata)


def accuracy_of(answer):
    return float(answer.blocks[0])


def peer(names, tols=("1e-1", "1e-2"), **options):
    return Peer("it", "it.py", Path(), (), tols, {name: {"name": name} for name in names}, **options)
