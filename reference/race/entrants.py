"""Peers with their settings, and which of them enter a case of `python -m reference race`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cvxrelu as cr
from cvxrelu.problems.cvxpy_backends import BACKENDS, Availability, availability
from reference.peers import EXPANDED_LIMIT, PEERS_PYTHON, expanded_size
from reference.race.results import Entry

Settings = Mapping[str, object]
CVXPY_LIMIT = 2**27


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
    options : tuple of str
        Options of the script that stay the same, --solver among them.
    tols : tuple of str
        Its tolerances, from loose to tight.
    variants : mapping of str to mapping
        Other settings to try at each tolerance: label in the table, and options of the script with their values.
    startup : float
        Seconds that its process may need before the first solve: imports, compilation.
    overhead : float
        Seconds that it may need outside the clock of each solve: building of the program, checks of the answer.
    refined : bool
        Whether to try half a decade before the first accurate tolerance too, where the effect of tolerances is steep.
    threaded : bool
        Whether to try one thread too, in a race with several.
    limit : float
        Largest expanded matrix of the problems that it enters, in bytes; for CVXPY's solvers, of all outputs together.
    """

    name: str
    script: str
    python: Path
    options: tuple[str, ...]
    tols: tuple[str, ...]
    variants: Mapping[str, Settings]
    startup: float = 60.0
    overhead: float = 10.0
    refined: bool = False
    threaded: bool = False
    limit: float = float("inf")


@dataclass(frozen=True)
class Entrant:
    """A peer, the strictest relative suboptimality required of it, and its result in an earlier race, if it is known.

    With that result, its setting is run again and no other one is tried, unless it has ceased to be accurate.
    """

    peer: Peer
    accuracy: float
    earlier: Entry | None = None

    def refusal(self, problem: cr.ConvexGatedReLU | cr.ConvexReLU) -> str | None:
        """Return why it does not enter a problem; None if it does."""
        size = expanded_size(problem.n, problem.d, len(problem.patterns))
        if self.peer.script == "run_cvxpy.py":
            name = self.peer.name
            if availability(name) is not Availability.OK:
                return f"not installed (pip install {BACKENDS[name].package})"
            size *= 1 if problem.y.ndim == 1 else problem.y.shape[1]
        if size > self.peer.limit:
            return f"the expanded matrix takes {size / 2**30:.2g} GiB, more than {self.peer.limit / 2**30:.2g} GiB"
        return None


def adelie(solver: str) -> Peer:
    """Return adelie for "gated" or "relu" problems, or a "path" of gated ones."""
    variants: dict[str, Settings]
    if solver == "path":
        variants = {"": {}}
    elif solver == "gated":
        variants = {f"path {size}": {"path_size": size} for size in (10, 5, 20, 2, 1)}
    else:
        variants = {
            f"path {size}, constraints {tol:g}": {"path_size": size, "constraint_tol": tol}
            for tol, size in product((1e-6, 1e-7), (5, 10, 20, 1))
        }
    # Its weights for C-ReLU violate the cones: a tighter tolerance costs little and makes the repair cheaper.
    solver, tols = ("relu", _decades(9, 17)) if solver == "relu" else ("gated", _decades(4, 14))
    return Peer(
        "adelie", "run_adelie.py", PEERS_PYTHON, ("--solver", solver), tols, variants, refined=True, threaded=True
    )


def pyscnn(solver: str) -> Peer:
    """Return the paper's package for "gated" or "relu" problems."""
    tols = _decades(6, 12) if solver == "gated" else ("1e-6", "1e-8", "1e-10", "1e-12")
    options = ("--solver", "rfista" if solver == "gated" else "al", "--max-iters", "1000000")
    variants: dict[str, Settings] = {dtype: {"dtype": dtype} for dtype in ("float64", "float32")}
    return Peer("pyscnn", "run_pyscnn.py", PEERS_PYTHON, options, tols, variants, refined=True)


def skglm(loss: str) -> tuple[Peer, ...]:
    """Return skglm's solvers of gated problems on the expanded matrix."""
    names = ("GroupBCD", "GroupProxNewton") if loss == "logistic" else ("GroupBCD",)
    variants: dict[str, Settings] = {f"p0 {size}": {"p0": size} for size in (10, 100)}
    return tuple(
        Peer(
            name,
            "run_skglm.py",
            PEERS_PYTHON,
            ("--solver", name),
            _decades(1, 9),
            variants,
            startup=180.0,
            refined=True,
            limit=EXPANDED_LIMIT,
        )
        for name in names
    )


def celer() -> Peer:
    """Return celer's group Lasso on the expanded matrix."""
    variants: dict[str, Settings] = {
        f"p0 {size}, prune {prune}": {"p0": size, "prune": prune} for size, prune in product((10, 100), (1, 0))
    }
    return Peer(
        "celer",
        "run_celer.py",
        PEERS_PYTHON,
        ("--solver", "gated"),
        _decades(2, 12),
        variants,
        refined=True,
        limit=EXPANDED_LIMIT,
    )


def cvxpy(solver: str, names: Sequence[str]) -> tuple[Peer, ...]:
    """Return CVXPY's solvers of the given names for "gated" or "relu" problems."""
    factorizations: dict[str, Settings] = {name: {"factorization": name} for name in ("qdldl", "faer")}
    return tuple(
        Peer(
            name,
            "run_cvxpy.py",
            Path(sys.executable),
            ("--solver", solver, "--backend", name),
            _decades(4, 10),
            factorizations if name == "CLARABEL" else {"": {}},
            overhead=180.0,
            limit=CVXPY_LIMIT,
        )
        for name in names
    )


def _decades(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"1e-{k}" for k in range(first, last + 1))
