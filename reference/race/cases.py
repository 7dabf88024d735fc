"""Peers with their settings, and the cases of `python -m reference race`."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import cvxrelu as cr
from reference.datasets.prepare import load
from reference.peers import PEERS_PYTHON

Kind = Literal["gated", "relu", "path"]
KINDS: tuple[Kind, ...] = ("gated", "relu", "path")


@dataclass(frozen=True)
class Peer:
    """A solver that ours is compared with.

    Attributes
    ----------
    name : str
        Name in the table.
    script : str
        File name of its script in `reference.peers`.
    python : Path
        Interpreter of its environment.
    solver : str
        Name of the program in the script's options.
    tols : tuple of str
        Its tolerances, from loose to tight.
    variants : mapping of str to tuple of str
        Other settings to try at each tolerance: label in the table, and options of the script.
    startup : float
        Seconds that its process may need outside the solve: imports, compilation, checks of the answer.
    refined : bool
        Whether to try half a decade before the first accurate tolerance too, where the effect of tolerances is steep.
    """

    name: str
    script: str
    python: Path
    solver: str
    tols: tuple[str, ...]
    variants: Mapping[str, tuple[str, ...]]
    startup: float = 30.0
    refined: bool = False


@dataclass(frozen=True)
class Entrant:
    """A peer and the relative suboptimality required of it."""

    peer: Peer
    accuracy: float


@dataclass(frozen=True)
class Case:
    """One problem of the race, with lam given by value or as a fraction of lam_max."""

    kind: Kind
    data: str
    n_gates: int
    entrants: tuple[Entrant, ...]
    lam: float | None = None
    lam_ratio: float | None = None
    rows: int | None = None

    @property
    def name(self) -> str:
        """Name in `--cases` and in the table."""
        strength = f"lam={self.lam:g}" if self.lam is not None else f"{self.lam_ratio:g}lam_max"
        return f"{self.data}/P={self.n_gates}/{strength}"

    def problem(self) -> cr.ConvexGatedReLU | cr.ConvexReLU:
        """Prepare the data and build the problem, with the gates of seed 0."""
        X, y = load(self.data, self.rows)
        cls = cr.ConvexReLU if self.kind == "relu" else cr.ConvexGatedReLU
        problem = cls(X, y, cr.sample_patterns(X, self.n_gates, seed=0))
        lam = self.lam if self.lam is not None else (self.lam_ratio or 0.0) * problem.lam_max()
        return problem.with_lam(lam)


def _decades(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"1e-{k}" for k in range(first, last + 1))


def _adelie(kind: Kind) -> Peer:
    variants: dict[str, tuple[str, ...]]
    if kind == "path":
        variants = {"": ()}
    elif kind == "gated":
        variants = {f"path {size}": ("--path-size", size) for size in ("10", "5", "20", "1")}
    else:
        variants = {
            f"path {size}, constraints {tol}": ("--path-size", size, "--constraint-tol", tol)
            for tol, size in product(("1e-6", "1e-7"), ("5", "10", "20", "1"))
        }
    # Its weights for C-ReLU violate the cones: a tighter tolerance costs little and makes the repair cheaper.
    solver, tols = ("relu", _decades(9, 17)) if kind == "relu" else ("gated", _decades(6, 14))
    return Peer("adelie", "run_adelie.py", PEERS_PYTHON, solver, tols, variants, refined=True)


def _pyscnn(kind: Kind) -> Peer:
    limit = ("--max-iters", "1000000")
    variants = {dtype: ("--dtype", dtype, *limit) for dtype in ("float64", "float32")}
    solver, tols = ("rfista", _decades(6, 12)) if kind == "gated" else ("al", ("1e-6", "1e-8", "1e-10", "1e-12"))
    return Peer("pyscnn", "run_pyscnn.py", PEERS_PYTHON, solver, tols, variants, refined=True)


def _cvxpy(kind: Kind) -> tuple[Peer, ...]:
    variants: dict[str, dict[str, tuple[str, ...]]] = {
        "CLARABEL": {name: ("--factorization", name) for name in ("qdldl", "faer")},
        "ECOS": {"": ()},
        "SCS": {"": ()},
    }
    return tuple(
        Peer(
            name,
            "run_cvxpy.py",
            Path(sys.executable),
            kind,
            _decades(4, 10),
            {label: ("--backend", name, *options) for label, options in options_of.items()},
            startup=180.0,
        )
        for name, options_of in variants.items()
    )


def _cases() -> tuple[Case, ...]:
    fast = (Entrant(_adelie("gated"), 1e-6),)
    everyone = (*fast, *(Entrant(peer, 1e-6) for peer in _cvxpy("gated")), Entrant(_pyscnn("gated"), 1e-4))
    relu = tuple(Entrant(peer, 1e-5) for peer in (_adelie("relu"), *_cvxpy("relu"), _pyscnn("relu")))
    path = (Entrant(_adelie("path"), 1e-4),)
    return (
        Case("gated", "breast_cancer", 500, everyone, lam=1e-3),
        Case("gated", "spambase", 500, fast, lam=5e-4),
        *(
            Case("gated", data, 500, fast, lam_ratio=ratio)
            for data, ratio in product(("ionosphere", "phoneme", "sonar", "magic"), (0.3, 0.03, 0.003))
        ),
        *(Case("relu", "breast_cancer", n_gates, relu, lam=1e-3) for n_gates in (50, 200)),
        *(
            Case("relu", data, 50, relu, lam_ratio=ratio, rows=rows)
            for (data, rows), ratio in product((("ionosphere", None), ("spambase", 1000)), (0.1, 0.01))
        ),
        *(Case("path", data, 500, path, lam_ratio=1e-3) for data in ("breast_cancer", "ionosphere")),
    )


CASES = _cases()


def select(kind: Kind, names: list[str], peers: list[str]) -> list[Case]:
    """Return the cases of a kind, restricted to the given data sets, names and peers, if any.

    Raises
    ------
    ValueError
        If there is no such case or peer.
    """
    cases = [case for case in CASES if case.kind == kind]
    for name in names:
        if not any(name in (case.name, case.data) for case in cases):
            raise ValueError(f"there is no {kind} case {name!r}; choose from {', '.join(case.name for case in cases)}")
    known = {entrant.peer.name for case in CASES for entrant in case.entrants}
    if unknown := set(peers) - known:
        raise ValueError(f"there is no peer {sorted(unknown)[0]!r}; choose from {', '.join(sorted(known))}")
    return [
        replace(case, entrants=tuple(each for each in case.entrants if not peers or each.peer.name in peers))
        for case in cases
        if not names or case.name in names or case.data in names
    ]
