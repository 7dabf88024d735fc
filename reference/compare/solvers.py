"""Who is compared: cvxrelu, CVXPY's solvers, the peers of an environment of their own, and functions of users."""

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
from reference.compare.tolerances import as_asked, decades, hundredth
from reference.instances.instance import Problem

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
_HERE, _PEERS = ROOT / "reference" / "compare", ROOT / "reference" / "peers"


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
    tols : callable
        Its tolerances, descending, by the kind of the problem and the relative accuracies asked.
    searched : bool
        Whether these are not one for each accuracy, but to be tried in turn until what is asked is reached.
    missing : callable
        Why it cannot be run on this machine; None if it can.
    refusal : callable
        Why it cannot be run on a problem; None if it can.
    package : str
        Of whose version the results speak.
    compiles : bool
        Whether the script's clock includes building and compiling a program, which is not the solver's time.
    file : Path, optional
        Of a user's function: its version is the beginning of this file's SHA-256.
    """

    name: str
    script: Path
    python: Path
    options: Callable[[Problem], Sequence[str]]
    package: str
    tols: Callable[[str, Sequence[float]], list[float]] = as_asked
    searched: bool = False
    missing: Callable[[], str | None] = _installed
    refusal: Callable[[Problem], str | None] = _always
    compiles: bool = False
    file: Path | None = None

    def version(self) -> str:
        """Return its version, that of its package in its environment; empty if it is not installed."""
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


def _function(name: str, called: str, file: Path | None = None) -> Solver:
    options = ["--solver", called]
    script = _HERE / "run_function.py"
    return Solver(name, script, Path(sys.executable), lambda problem: options, package="cvxrelu", file=file)


def _cvxpy(name: str) -> Solver:
    return Solver(
        name,
        _PEERS / "run_cvxpy.py",
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
        _PEERS / script,
        PEERS_PYTHON,
        options,
        package or name,
        tols=as_asked if package else partial(decades, name),
        searched=package is None,
        missing=_no_peers,
        refusal=partial(_refusal, losses),
    )


@cache
def _unavailable(name: str) -> str | None:
    """Return why a solver of CVXPY's cannot be run; one whose licence limits the size of programs is tried."""
    return {
        Availability.MISSING: f"not installed: pip install {BACKENDS[name].package}",
        Availability.NO_LICENCE: "no licence",
    }.get(availability(name))


def _no_peers() -> str | None:
    return None if PEERS_PYTHON.exists() else "not installed: make peers"


def _other_kind(kind: str, problem: Problem) -> str | None:
    return None if kind_of(problem) == kind else f"not supported: {kind_of(problem)} problems"


def _refusal(losses: Sequence[str], problem: Problem) -> str | None:
    """Refuse what a script of the peers does not pose."""
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
    **{name: _cvxpy(name) for name in BACKENDS if name != "OSQP"},  # which takes no cones
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
        file = Path(path).resolve()
        return _function(f"{file.name}:{called}", f"{file}:{called}", file)
    raise ValueError(f"there is no solver {name!r}; choose from {', '.join(SOLVERS)}, or name your own as FILE.py:NAME")


def listing() -> str:
    """Return the solvers with their versions, or why they cannot be run here."""
    return "\n".join(
        f"{name:<16} {solver.missing() or f'{solver.package} {solver.version()}'}" for name, solver in SOLVERS.items()
    )


@cache
def _version_in(python: Path, package: str) -> str:
    """Return the version of a package in the environment of an interpreter; empty if it is not there."""
    ask = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    done = subprocess.run([str(python), "-c", ask, package], capture_output=True, text=True, check=False)
    return done.stdout.strip()
