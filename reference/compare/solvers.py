"""Who is compared: cvxrelu, CVXPY's solvers, the peers of an environment of their own, and functions of users."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cvxrelu as cr
from cvxrelu.backends import BACKENDS, Availability, availability
from reference.compare.run_function import NATIVE, function
from reference.instances.instance import Problem

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
_HERE, _PEERS = ROOT / "reference" / "compare", ROOT / "reference" / "peers"


def _as_asked(asked: float) -> float:
    return asked


def _hundredth(asked: float) -> float:
    """Leave room for the repair of what misses its cones, and for a gap that is absolute."""
    return 0.01 * asked


def _always(problem: Problem) -> str | None:
    return None


def _installed() -> str | None:
    return None


@dataclass(frozen=True)
class Solver:
    """A solver and how it is run.

    Attributes
    ----------
    name : str
        What the command line and the results call it.
    script : Path
        Run on a problem's file; see `reference.peers.job`.
    python : Path
        The interpreter.
    options : callable
        The script's options for a problem.
    own_tol : callable
        The tolerance in its own meaning of the word that is to give the relative accuracy asked.
    missing : callable
        Why it cannot be run on this machine; None if it can.
    refusal : callable
        Why it cannot be run on a problem; None if it can.
    package : str
        Of whose version the results speak.
    """

    name: str
    script: Path
    python: Path
    options: Callable[[Problem], Sequence[str]]
    package: str
    own_tol: Callable[[float], float] = _as_asked
    missing: Callable[[], str | None] = _installed
    refusal: Callable[[Problem], str | None] = _always
    environment: Mapping[str, str] = field(default_factory=dict)


def kind_of(problem: Problem) -> str:
    """Return "gated" or "relu"."""
    return "relu" if isinstance(problem, cr.ConvexReLU) else "gated"


def _function(name: str) -> Solver:
    return Solver(
        name, _HERE / "run_function.py", Path(sys.executable), lambda problem: ["--solver", name], package="cvxrelu"
    )


def _cvxpy(name: str) -> Solver:
    return Solver(
        name,
        _PEERS / "run_cvxpy.py",
        Path(sys.executable),
        lambda problem: ["--solver", kind_of(problem), "--backend", name],
        BACKENDS[name].package,
        own_tol=_hundredth,
        missing=partial(_unavailable, name),
    )


@cache
def _unavailable(name: str) -> str | None:
    return {
        Availability.OK: None,
        Availability.MISSING: f"not installed: pip install {BACKENDS[name].package}",
        Availability.NO_LICENCE: "no licence",
        Availability.SIZE_LIMITED: "no licence for programs of this size",
    }[availability(name)]


def _no_peers() -> str | None:
    return None if PEERS_PYTHON.exists() else "not installed: make peers"


def _plain_only(problem: Problem) -> str | None:
    """Refuse what the scripts of adelie and pyscnn do not pose."""
    if problem.loss.name != "squared":
        return f"not supported: {problem.loss.name} loss"
    if problem.penalty.name != "group_l1":
        return f"not supported: penalty {problem.penalty.name}"
    return None if problem.n_outputs == 1 else "not supported: several outputs"


def _adelie_options(problem: Problem) -> list[str]:
    if kind_of(problem) == "gated":
        return ["--solver", "gated", "--path-size", "10"]
    return ["--solver", "relu", "--path-size", "10", "--constraint-tol", "1e-7"]


def _pyscnn_options(problem: Problem) -> list[str]:
    return ["--solver", "rfista" if kind_of(problem) == "gated" else "al", "--max-iters", "1000000"]


_PEER = {"python": PEERS_PYTHON, "missing": _no_peers}
SOLVERS: Mapping[str, Solver] = {
    **{name: _function(name) for name in NATIVE},
    **{name: _cvxpy(name) for name in BACKENDS if name != "OSQP"},  # which takes no cones
    "adelie": Solver(
        "adelie",
        _PEERS / "run_adelie.py",
        PEERS_PYTHON,
        _adelie_options,
        "adelie",
        # Its tolerance is of the change of the objective: the race needs 1e-9 to 1e-14 for an accuracy of 1e-6.
        own_tol=lambda asked: 1e-4 * asked**1.5,
        missing=_no_peers,
        refusal=_plain_only,
    ),
    "pyscnn": Solver(
        "pyscnn",
        _PEERS / "run_pyscnn.py",
        PEERS_PYTHON,
        _pyscnn_options,
        "pyscnn",
        # Its tolerance is of the squared norm of a subgradient.
        own_tol=lambda asked: 1e-3 * asked**1.5,
        missing=_no_peers,
        refusal=_plain_only,
    ),
}
DEFAULT = tuple(name for name in SOLVERS if name not in ("cvxrelu-RFISTA", "cvxrelu-AL"))


def find(name: str) -> Solver:
    """Return the solver of a name, or that of a user's function, FILE.py:NAME.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name in SOLVERS:
        return SOLVERS[name]
    if ":" in name:
        function(name)
        path, _, called = name.rpartition(":")
        return _function(f"{Path(path).resolve()}:{called}")
    raise ValueError(f"there is no solver {name!r}; choose from {', '.join(SOLVERS)}, or name your own as FILE.py:NAME")


def listing() -> str:
    """Return the solvers with their versions, or why they cannot be run here."""
    lines = []
    for name, solver in SOLVERS.items():
        missing = solver.missing()
        try:
            here = f"version {version(solver.package)}"
        except PackageNotFoundError:
            here = "in the peers' environment"
        lines.append(f"{name:<16} {missing or here}")
    return "\n".join(lines)
