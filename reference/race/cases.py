"""Cases of `python -m reference race`, and their selection by name."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Literal

import cvxrelu as cr
from reference.race.data import load
from reference.race.entrants import Entrant, Peer, adelie, celer, cvxpy, pyscnn, skglm

Problem = cr.ConvexGatedReLU | cr.ConvexReLU
Kind = Literal["gated", "outputs", "relu", "path"]
KINDS: tuple[Kind, ...] = ("gated", "outputs", "relu", "path")
TOLS: dict[Kind, float] = {"gated": 1e-6, "outputs": 1e-6, "relu": 1e-6, "path": 1e-4}
_DATA = (
    "pima", "mammographic", "ionosphere", "sonar", "phoneme", "magic", "spambase", "breast_cancer", "german", "ring",
    "twonorm", "friedman",
)  # fmt: skip
_SMALL = frozenset({"pima", "mammographic", "ionosphere", "sonar", "breast_cancer", "german"})
_MANY = (("digits", 200), ("segment", 200), ("vehicle", 500), ("splice", 200), ("letter", 200))
_QUICK = frozenset({"ionosphere", "phoneme", "sonar", "magic"})


@dataclass(frozen=True)
class Case:
    """One problem of the race, with lam given by value or as a fraction of lam_max.

    ``tol`` is the accuracy of the case, if not that of its kind; ``quick`` cases are those of `--quick`.
    """

    kind: Kind
    data: str
    n_gates: int
    entrants: tuple[Entrant, ...]
    lam: float | None = None
    lam_ratio: float | None = None
    rows: int | None = None
    loss: str = "squared"
    tol: float | None = None
    quick: bool = False

    @property
    def name(self) -> str:
        """Name in `--cases` and in the table."""
        strength = f"lam={self.lam:g}" if self.lam is not None else f"{self.lam_ratio:g}lam_max"
        return f"{self.data}/{self.loss}/P={self.n_gates}/{strength}"

    @property
    def group(self) -> str:
        """Group of the summary."""
        return f"{self.kind}, {self.loss}"

    def problem(self) -> Problem:
        """Prepare the data and build the problem, with the gates of seed 0."""
        X, y = load(self.data, self.loss, self.rows)
        cls = cr.ConvexReLU if self.kind == "relu" else cr.ConvexGatedReLU
        problem = cls(X, y, cr.sample_patterns(X, self.n_gates, seed=0), loss=self.loss)
        lam = self.lam if self.lam is not None else (self.lam_ratio or 0.0) * problem.lam_max()
        return problem.with_lam(lam)


def fresh(problem: Problem) -> Problem:
    """Return the problem with nothing cached."""
    return type(problem)(problem.X, problem.y, problem.patterns, problem.lam, problem.loss, problem.penalty)


def _all(*peers: Peer, accuracy: float = 1e-6) -> tuple[Entrant, ...]:
    return tuple(Entrant(peer, accuracy) for peer in peers)


def _gated() -> Iterator[Case]:
    everyone = (*_all(adelie("gated"), *cvxpy("gated", ("CLARABEL", "ECOS", "SCS"))), Entrant(pyscnn("gated"), 1e-4))
    yield Case("gated", "breast_cancer", 500, everyone, lam=1e-3, quick=True)
    yield Case("gated", "spambase", 500, _all(adelie("gated")), lam=5e-4, quick=True)
    for data, loss, n_gates, ratio in product(_DATA, ("squared", "logistic"), (50, 500, 2000), (0.3, 0.1, 0.03, 0.003)):
        squared = loss == "squared"
        peers = [adelie("gated"), *skglm(loss)]
        if squared:
            peers.append(celer())
            if n_gates == 50 and data in _SMALL:
                peers += cvxpy("gated", ("CLARABEL", "QOCO"))
        quick = squared and n_gates == 500 and data in _QUICK and ratio != 0.1
        yield Case("gated", data, n_gates, _all(*peers), lam_ratio=ratio, loss=loss, quick=quick)


def _outputs() -> Iterator[Case]:
    separate = _all(adelie("gated"), *skglm("squared"), celer())
    joint = _all(*cvxpy("gated", ("CLARABEL", "SCS")))  # no other peer has our penalty with the softmax loss
    for (data, n_gates), ratio in product(_MANY, (0.3, 0.1, 0.03)):
        yield Case("outputs", data, n_gates, separate, lam_ratio=ratio, quick=ratio == 0.1)
        yield Case("outputs", data, 50, joint, lam_ratio=ratio, loss="softmax")


def _relu() -> Iterator[Case]:
    everyone = _all(adelie("relu"), *cvxpy("relu", ("CLARABEL", "QOCO", "ECOS", "SCS")), pyscnn("relu"), accuracy=1e-5)
    for n_gates in (50, 200):
        yield Case("relu", "breast_cancer", n_gates, everyone, lam=1e-3, quick=n_gates == 50)
    for (data, rows), ratio in product((("ionosphere", None), ("spambase", 1000)), (0.1, 0.01)):
        yield Case("relu", data, 50, everyone, lam_ratio=ratio, rows=rows, quick=data == "ionosphere")
    for ratio in (0.1, 0.01):
        yield Case("relu", "gaussian", 100, _all(adelie("relu"), accuracy=1e-3), lam_ratio=ratio, tol=1e-3)


def _paths() -> Iterator[Case]:
    for data in ("breast_cancer", "ionosphere"):
        yield Case("path", data, 500, _all(adelie("path"), accuracy=1e-4), lam_ratio=1e-3, quick=True)


CASES = (*_gated(), *_outputs(), *_relu(), *_paths())


def select(kind: Kind, names: list[str], peers: list[str], *, quick: bool = False) -> list[Case]:
    """Return the cases of a kind, restricted to data sets, names or patterns, peers and quick cases, if given.

    Raises
    ------
    ValueError
        If there is no such case or peer.
    """
    cases = [case for case in CASES if case.kind == kind and (case.quick or not quick)]
    for name in names:
        if not any(_matches(case, name) for case in cases):
            raise ValueError(
                f"there is no {'quick ' if quick else ''}{kind} case {name!r}; choose from {_listing(cases)}, or "
                "patterns such as 'pima/*' or '*/squared/P=50/*'"
            )
    known = {entrant.peer.name for case in CASES for entrant in case.entrants}
    if unknown := set(peers) - known:
        raise ValueError(f"there is no peer {sorted(unknown)[0]!r}; choose from {', '.join(sorted(known))}")
    return [
        replace(case, entrants=tuple(each for each in case.entrants if not peers or each.peer.name in peers))
        for case in cases
        if not names or any(_matches(case, name) for name in names)
    ]


def _matches(case: Case, name: str) -> bool:
    return name == case.data or fnmatchcase(case.name, name)


def _listing(cases: list[Case]) -> str:
    if len(cases) <= 20:
        return ", ".join(case.name for case in cases)
    return f"the data {', '.join(dict.fromkeys(case.data for case in cases))}"
