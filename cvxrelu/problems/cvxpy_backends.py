"""CVXPY's solvers: their names for tolerance and limits, and whether they can be used here."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cvxrelu.exceptions import SolverNotAvailableError
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone


@dataclass(frozen=True)
class Backend:
    """A CVXPY solver: its package and its own names for `tol`, `max_iter` and `time_limit`.

    ``floor`` is the smallest tolerance that it accepts, ``nested`` the keyword under which it takes its options,
    if any, ``licensed`` says that it needs a licence, ``always`` holds options that are always set, ``wheels`` says for
    which versions of Python there are wheels, if not for all.
    """

    package: str
    tol: tuple[str, ...] = ()
    max_iter: str | None = None
    time_limit: str | None = None
    floor: float = 1e-12
    nested: str | None = None
    licensed: bool = False
    always: dict[str, Any] = field(default_factory=dict)
    wheels: str = ""

    def settings(self, tol: float, limits: dict[str, Any]) -> dict[str, Any]:
        """Return the keywords for CVXPY's solve, with ``limits`` under the solver's own names."""
        settings = dict.fromkeys(self.tol, max(tol, self.floor)) | limits
        return ({self.nested: settings} if self.nested is not None else settings) | self.always


BACKENDS = {
    "CLARABEL": Backend(
        "clarabel",
        ("tol_gap_abs", "tol_gap_rel", "tol_feas"),
        "max_iter",
        "time_limit",
        always={"accept_unknown": True},
    ),
    "ECOS": Backend("ecos", ("abstol", "reltol", "feastol"), "max_iters", wheels="up to 3.12"),
    "SCS": Backend("scs", ("eps_abs", "eps_rel"), "max_iters", "time_limit_secs"),
    "CVXOPT": Backend(
        "cvxopt",
        ("abstol", "reltol", "feastol"),
        "max_iters",
        # Before CVXOPT's own choice, CVXPY looks for redundant rows by ARPACK, which breaks down on bad scales.
        always={"kktsolver": "qr"},
    ),
    "QOCO": Backend("qoco", ("abstol", "reltol"), "max_iters"),
    "OSQP": Backend("osqp", ("eps_abs", "eps_rel"), "max_iter", "time_limit"),
    "MOSEK": Backend(
        "mosek",
        (
            "MSK_DPAR_INTPNT_CO_TOL_REL_GAP",
            "MSK_DPAR_INTPNT_CO_TOL_PFEAS",
            "MSK_DPAR_INTPNT_CO_TOL_DFEAS",
            "MSK_DPAR_INTPNT_QO_TOL_REL_GAP",
            "MSK_DPAR_INTPNT_QO_TOL_PFEAS",
            "MSK_DPAR_INTPNT_QO_TOL_DFEAS",
        ),
        "MSK_IPAR_INTPNT_MAX_ITERATIONS",
        "MSK_DPAR_OPTIMIZER_MAX_TIME",
        nested="mosek_params",
        licensed=True,
        always={"accept_unknown": True},
    ),
    "GUROBI": Backend(
        "gurobipy",
        ("BarConvTol", "BarQCPConvTol", "FeasibilityTol", "OptimalityTol"),
        "BarIterLimit",
        "TimeLimit",
        floor=1e-9,
        licensed=True,
    ),
    "COPT": Backend("coptpy", ("RelGap", "FeasTol", "DualTol"), "BarIterLimit", "TimeLimit", floor=1e-9, licensed=True),
    "XPRESS": Backend(
        "xpress",
        ("BARGAPSTOP", "BARPRIMALSTOP", "BARDUALSTOP"),
        "BARITERLIMIT",
        "TIMELIMIT",
        licensed=True,
    ),
}


class Availability(StrEnum):
    """Whether a solver can be used on this machine."""

    OK = "ok"
    MISSING = "missing"
    NO_LICENCE = "no_licence"
    SIZE_LIMITED = "size_limited"


def solver_names() -> list[str]:
    """Return the CVXPY solvers that have a name here: those in the table, and all that are installed."""
    return sorted(set(BACKENDS) | set(cp.installed_solvers()))


def availability(solver: str) -> Availability:
    """Return whether a CVXPY solver can be used; those that need a licence are tried on small programs.

    They are tried with 3 variables and, as the licences that come with pip packages allow a few hundred, with
    1,200.
    """
    if solver not in cp.installed_solvers():
        return Availability.MISSING
    if solver not in BACKENDS or not BACKENDS[solver].licensed:
        return Availability.OK
    if not _solves(solver, 3):
        return Availability.NO_LICENCE
    return Availability.OK if _solves(solver, 1200) else Availability.SIZE_LIMITED


def require_available(solver: str) -> None:
    """Raise if a solver is known to be missing.

    Raises
    ------
    SolverNotAvailableError
        Naming the package to install.
    """
    if solver not in cp.installed_solvers():
        backend = BACKENDS[solver]
        compiler = f" (needs a C compiler: its wheels are for Python {backend.wheels})" if backend.wheels else ""
        installed = [name for name in BACKENDS if name in cp.installed_solvers()]
        raise SolverNotAvailableError(
            f"solver {solver} is not installed: run 'pip install {backend.package}'{compiler}, or choose one that is "
            f"installed: {', '.join(installed)}"
        )


def failure_reason(solver: str) -> str | None:
    """Return why a solver that raised cannot be used here, with the remedy; None if it can be."""
    remedies = {
        Availability.NO_LICENCE: f"solver {solver} is installed but does not run, most likely for want of a licence: "
        "set one up, or use CLARABEL",
        Availability.SIZE_LIMITED: f"the licence of solver {solver} limits the size of programs, and this one is "
        "larger: get a full licence, or use CLARABEL",
    }
    return remedies.get(availability(solver))


@cvxpy_alone()
def _solves(solver: str, n: int) -> bool:
    x = cp.Variable(n)
    program = cp.Problem(cp.Minimize(cp.sum_squares(x - 1) + cp.norm(x)), [x >= 0])
    try:
        program.solve(solver=solver)
    except Exception:  # each solver raises licence errors of a class of its own
        return False
    return program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)
