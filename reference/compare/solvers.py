"""Solvers of the comparison: cvxrelu, CVXPY's solvers, the peers, and functions of users."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cvxrelu as cr
from cvxrelu.problems.cvxpy_backends import BACKENDS, Availability, availability
from reference.compare.run_function import function
from reference.compare.tolerances import as_requested, decades, hundredth
from reference.instances.instance import Problem
from reference.peers import PEERS_PYTHON, PEERS_SCRIPTS

_HERE = Path(__file__).parent


def _supported(problem: Problem) -> str | None:
    return None


def _installed() -> str | None:
    return None


@dataclass(frozen=True)
class Solver:
    """A solver and how to run it.

    Attributes
    ----------
    name : str
        Name on the command line and in the results.
    script : Path
        Script that solves a problem's file; see `reference.peers.job`.
    python : Path
        Interpreter that runs the script.
    options : callable
        Options of the script for a problem.
    tols : callable
        Tolerances, descending, for a kind of problem and the requested relative accuracies.
    searched : bool
        Whether the tolerances are tried in turn until each accuracy is reached, instead of one for each accuracy.
    missing : callable
        Why it cannot run on this machine; None if it can.
    refusal : callable
        Why it cannot run on a problem; None if it can.
    package : str
        Package whose version is recorded.
    compiles : bool
        Whether the script's clock includes building and compiling a program, which is not counted as solving.
    file : Path, optional
        File of a user's function; the first digits of its SHA-256 are the version.
    """

    name: str
    script: Path
    python: Path
    options: Callable[[Problem], Sequence[str]]
    package: str
    tols: Callable[[str, Sequence[float]], list[float]] = as_requested
    searched: bool = False
    missing: Callable[[], str | None] = _installed
    refusal: Callable[[Problem], str | None] = _supported
    compiles: bool = False
    file: Path | None = None

    def version(self) -> str:
        """Return the version of its package in its environment; empty if it is not installed."""
        if self.file is not None:
            return hashlib.sha256(self.file.read_bytes()).hexdigest()[:12]
        if Path(sys.executable) != self.python:
            return _version_in(self.python, self.package) if self.python.exists() else ""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return ""


def kind_of(problem: Problem) -> str:
    """Return "gated" or "relu"."""
    return "relu" if isinstance(problem, cr.ConvexReLU) else "gated"


def _function(name: str, solver: str, file: Path | None = None) -> Solver:
    options = ["--solver", solver]
    script = _HERE / "run_function.py"
    return Solver(name, script, Path(sys.executable), lambda problem: options, package="cvxrelu", file=file)


def _cvxpy(name: str) -> Solver:
    return Solver(
        name,
        PEERS_SCRIPTS / "run_cvxpy.py",
        Path(sys.executable),
        lambda problem: ["--solver", kind_of(problem), "--backend", name],
        BACKENDS[name].package,
        tols=hundredth,
        missing=partial(_unavailable, name),
        compiles=True,
    )


def _peer(
    name: str,
    script: str,
    options: Callable[[Problem], Sequence[str]],
    losses: Sequence[str],
    package: str | None = None,
) -> Solver:
    return Solver(
        name,
        PEERS_SCRIPTS / script,
        PEERS_PYTHON,
        options,
        package or name,
        tols=as_requested if package else partial(decades, name),
        searched=package is None,
        missing=_no_peers,
        refusal=partial(_refusal, losses),
    )


@cache
def _unavailable(name: str) -> str | None:
    """Return why a CVXPY solver cannot run; one whose licence limits the size of programs is tried."""
    return {
        Availability.MISSING: f"not installed: pip install {BACKENDS[name].package}",
        Availability.NO_LICENCE: "no licence",
    }.get(availability(name))


def _no_peers() -> str | None:
    return None if PEERS_PYTHON.exists() else "not installed: make peers"


def _other_kind(kind: str, problem: Problem) -> str | None:
    return None if kind_of(problem) == kind else f"not supported: {kind_of(problem)} problems"


def _refusal(losses: Sequence[str], problem: Problem) -> str | None:
    """Return why a peer's script does not support a problem."""
    if problem.loss.name not in losses:
        return f"not supported: {problem.loss.name} loss"
    return None if problem.penalty.name == "group_l1" else f"not supported: penalty {problem.penalty.name}"


def _adelie_options(problem: Problem) -> list[str]:
    if kind_of(problem) == "gated":
        return ["--solver", "gated", "--path-size", "10"]
    return ["--solver", "relu", "--path-size", "10", "--constraint-tol", "1e-7"]


def _pyscnn_options(problem: Problem) -> list[str]:
    return ["--solver", "rfista" if kind_of(problem) == "gated" else "al", "--max-iters", "1000000"]


def _torch(optimizer: str, problem: Problem) -> list[str]:
    return ["--solver", kind_of(problem), "--optimizer", optimizer]


_LOSSES = ("squared", "huber", "logistic", "softmax")
SOLVERS: Mapping[str, Solver] = {
    "cvxrelu": _function("cvxrelu", "cvxrelu"),
    "cvxrelu-RFISTA": replace(_function("cvxrelu-RFISTA", "cvxrelu-RFISTA"), refusal=partial(_other_kind, "gated")),
    "cvxrelu-AL": replace(_function("cvxrelu-AL", "cvxrelu-AL"), refusal=partial(_other_kind, "relu")),
    **{name: _cvxpy(name) for name in BACKENDS if name != "OSQP"},  # it supports no cones
    "adelie": _peer(
        "adelie",
        "run_adelie.py",
        _adelie_options,
        ("squared", "logistic"),
    ),
    "pyscnn": _peer(
        "pyscnn",
        "run_pyscnn.py",
        _pyscnn_options,
        ("squared",),
    ),
    **{name: _peer(name, "run_torch.py", partial(_torch, name), _LOSSES, package="torch") for name in ("SGD", "Adam")},
}
DEFAULT = tuple(name for name in SOLVERS if name not in ("cvxrelu-RFISTA", "cvxrelu-AL"))


def find(name: str) -> Solver:
    """Return the solver of this name, or that of a user's function, FILE.py:NAME.

    Raises
    ------
    ValueError
        If there is no such solver.
    """
    if name in SOLVERS:
        return SOLVERS[name]
    if ":" in name:
        function(name)
        path, _, solver = name.rpartition(":")
        file = Path(path).resolve()
        return _function(f"{file.name}:{solver}", f"{file}:{solver}", file)
    raise ValueError(f"there is no solver {name!r}; choose from {', '.join(SOLVERS)}, or give your own as FILE.py:NAME")


def listing() -> str:
    """Return the solvers with their versions, or why they cannot run here."""
    return "\n".join(
        f"{name:<16} {solver.missing() or f'{solver.package} {solver.version()}'}" for name, solver in SOLVERS.items()
    )


@cache
def _version_in(python: Path, package: str) -> str:
    """Return the version of a package in the environment of an interpreter; empty if it is not installed."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    process = subprocess.run([str(python), "-c", code, package], capture_output=True, text=True, check=False)
    return process.stdout.strip()
