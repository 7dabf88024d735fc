"""The environment as tables and a JSON record."""

from typing import Any

from rich.table import Table as Grid

from cvxrelu.cli.runs.info import Environment, SolverState
from cvxrelu.cli.views.format import pairs_grid
from cvxrelu.problems.cvxpy_backends import Availability

_DESCRIPTIONS = {
    Availability.OK: "ok",
    Availability.SIZE_LIMITED: "ok for small programs: the licence limits their size",
    Availability.NO_LICENCE: "installed, but does not run, most likely without a licence",
    Availability.MISSING: "not installed",
}


def environment_grids(found: Environment) -> list[Grid]:
    """Return tables of solvers, packages, and threads."""
    known = [state for state in found.solvers if state.package is not None]
    others = [state.name for state in found.solvers if state.package is None]
    rows = {"native": f"ok: {', '.join(found.native)}"}
    rows |= {state.name: _state(state) for state in known}
    rows["others"] = f"{', '.join(others) or 'none'} (CVXPY solvers for other kinds of programs)"
    solvers = pairs_grid(rows, "solvers")
    rows = {name: version or "not installed" for name, version in found.versions.items()}
    rows |= {name: f"{version or 'not installed'} (optional: {use})" for name, (version, use) in found.optional.items()}
    packages = pairs_grid(rows, "versions")
    threads = {"cores": f"{found.cpus} available to this process"}
    for pool in found.pools:
        name = pool.name if pool.version is None else f"{pool.name} {pool.version}"
        threads[name] = f"{pool.api.upper().replace('OPENMP', 'OpenMP')}, {pool.threads} thread(s)"
    return [solvers, packages, pairs_grid(threads | found.variables, "threads")]


def environment_record(found: Environment) -> dict[str, Any]:
    """Return the environment in JSON types."""
    return {
        "versions": found.versions,
        "optional": {name: version for name, (version, _) in found.optional.items()},
        "native_solvers": list(found.native),
        "solvers": [
            {
                "name": state.name,
                "availability": state.availability.value,
                "version": state.version,
                "licensed": state.licensed,
                "package": state.package,
            }
            for state in found.solvers
        ],
        "cores": found.cpus,
        "threads": [
            {"library": pool.name, "version": pool.version, "api": pool.api, "threads": pool.threads}
            for pool in found.pools
        ],
        "variables": found.variables,
    }


def _state(state: SolverState) -> str:
    text = _DESCRIPTIONS[state.availability]
    if state.version is not None:
        text += f", version {state.version}"
    if state.availability is Availability.MISSING and state.package is not None:
        text += f": pip install {state.package}"
    return text + (", and a licence" if state.availability is Availability.MISSING and state.licensed else "")
