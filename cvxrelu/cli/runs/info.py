"""Inspect the environment: versions, solvers and their licences, linear algebra, threads."""

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
    "torch": "training by SGD, PyTorch networks",
    "onnx": "ONNX files",
}
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class SolverState:
    """A CVXPY solver.

    Attributes
    ----------
    name : str
        CVXPY's name.
    availability : Availability
        Whether it can be used here.
    version : str or None
        Version of its package, if known.
    licensed : bool
        Whether it needs a licence.
    package : str or None
        Package to install, if known.
    """

    name: str
    availability: Availability
    version: str | None
    licensed: bool
    package: str | None


@dataclass(frozen=True)
class ThreadPool:
    """A loaded library with its own threads: interface, name, version and number of threads."""

    api: str
    name: str
    version: str | None
    threads: int


@dataclass(frozen=True)
class Environment:
    """Versions, solvers and threads of the environment.

    Attributes
    ----------
    versions : dict
        Versions of Python, the system, this package and its dependencies.
    optional : dict
        For each optional package its version, None if it is not installed, and its use.
    native : tuple of str
        Names of the native solvers.
    solvers : tuple of SolverState
        CVXPY's solvers.
    cpus : int
        Number of cores available to this process.
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
    """Return the environment; solvers that need a licence are tested on small programs."""
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
