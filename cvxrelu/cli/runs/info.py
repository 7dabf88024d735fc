"""What is installed here: versions, solvers and their licences, linear algebra, threads."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata

import threadpoolctl

from cvxrelu._version import __version__
from cvxrelu.problems.cvxpy_backends import BACKENDS, Availability, availability, solver_names
from cvxrelu.solvers.registry import NATIVE_SOLVERS

_REQUIRED = ("numpy", "scipy", "scikit-learn", "numba", "cvxpy")
_OPTIONAL = {
    "pandas": "tables",
    "matplotlib": "plots",
    "pyarrow": "Parquet files",
    "torch": "training by SGD, networks of PyTorch",
    "onnx": "ONNX files",
}
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class SolverState:
    """A CVXPY solver.

    Attributes
    ----------
    name : str
        As CVXPY spells it.
    availability : Availability
        Whether it can be used here.
    version : str or None
        Of its package, where that is known.
    licensed : bool
        Whether it needs a licence.
    package : str or None
        What to install for it, where that is known.
    """

    name: str
    availability: Availability
    version: str | None
    licensed: bool
    package: str | None


@dataclass(frozen=True)
class ThreadPool:
    """A library with threads of its own, which has been loaded: its interface, name, version and number of threads."""

    api: str
    name: str
    version: str | None
    threads: int


@dataclass(frozen=True)
class Environment:
    """What is installed here.

    Attributes
    ----------
    versions : dict
        Of Python, the system, this package and those it needs.
    optional : dict
        Package to its version, None where it is not installed, and what it is for.
    native : tuple of str
        The package's own solvers.
    solvers : tuple of SolverState
        CVXPY's solvers.
    cpus : int
        Cores that this process may use.
    pools : tuple of ThreadPool
        BLAS, OpenMP and their threads.
    variables : dict
        Environment variables that set numbers of threads.
    """

    versions: dict[str, str | None]
    optional: dict[str, tuple[str | None, str]]
    native: tuple[str, ...]
    solvers: tuple[SolverState, ...]
    cpus: int
    pools: tuple[ThreadPool, ...]
    variables: dict[str, str]


def inspect_environment() -> Environment:
    """Return what is installed here; solvers that need a licence are tried on small programs."""
    machine = f"{platform.system()} {platform.release()}, {platform.machine()}"
    system: dict[str, str | None] = {
        "cvxrelu": __version__,
        "Python": platform.python_version(),
        "system": machine,
    }
    return Environment(
        versions=system | {name: _version(name) for name in _REQUIRED},
        optional={name: (_version(name), use) for name, use in _OPTIONAL.items()},
        native=tuple(NATIVE_SOLVERS),
        solvers=tuple(sorted((_state(name) for name in solver_names()), key=_usable_first)),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        pools=tuple(
            ThreadPool(pool["user_api"], pool["internal_api"], pool["version"], pool["num_threads"])
            for pool in threadpoolctl.threadpool_info()
        ),
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )


def _state(name: str) -> SolverState:
    backend = BACKENDS.get(name)
    package = None if backend is None else backend.package
    return SolverState(
        name=name,
        availability=availability(name),
        version=None if package is None else _version(package),
        licensed=backend is not None and backend.licensed,
        package=package,
    )


def _usable_first(state: SolverState) -> tuple[int, str]:
    return list(Availability).index(state.availability), state.name


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
