"""CVXPY's solvers: their option names for tolerance and limits, and their availability."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cvxrelu.exceptions import SolverNotAvailableError
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone


@dataclass(frozen=True)
class Backend:
    """A CVXPY solver: its package and its option names for `tol`, `max_iter` and `time_limit`.

    ``floor`` is the smallest tolerance accepted, ``nested`` the keyword that takes a dictionary of options, if any,
    ``licensed`` whether it needs a licence, ``always`` options that are always set, and ``wheels`` the versions of
    Python with wheels, if not all.
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
        """Return the keywords for CVXPY's solve; ``limits`` are options of the solver."""
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
        # By default CVXPY looks for redundant rows by ARPACK, which fails on badly scaled data.
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
    """Availability of a solver on this machine."""

    OK = "ok"
    MISSING = "missing"
    NO_LICENCE = "no_licence"
    SIZE_LIMITED = "size_limited"


def solver_names() -> list[str]:
    """Return the names of the CVXPY solvers in the table and of all that are installed."""
    return sorted(set(BACKENDS) | set(cp.installed_solvers()))


def availability(solver: str) -> Availability:
    """Return the availability of a CVXPY solver; solvers that need a licence are tried on small programs.

    These have 3 and 1,200 variables, as the licences that come with pip packages allow a few hundred.
    """
    if solver not in cp.installed_solvers():
        return Availability.MISSING
    if solver not in BACKENDS or not BACKENDS[solver].licensed:
        return Availability.OK
    if not _solves(solver, 3):
        return Availability.NO_LICENCE
    return Availability.OK if _solves(solver, 1200) else Availability.SIZE_LIMITED


def require_available(solver: str) -> None:
    """Raise SolverNotAvailableError, which names the package to install, if a solver is not installed."""
    if solver not in cp.installed_solvers():
        backend = BACKENDS[solver]
        compiler = f" (needs a C compiler: its wheels are for Python {backend.wheels})" if backend.wheels else ""
        installed = [name for name in BACKENDS if name in cp.installed_solvers()]
        raise SolverNotAvailableError(
            f"solver {solver} is not installed: run 'pip install {backend.package}'{compiler}, or choose an installed "
            f"one: {', '.join(installed)}"
        )


def failure_reason(solver: str) -> str | None:
    """Return why a solver that raised an exception is unavailable, with the remedy; None if it is available."""
    remedies = {
        Availability.NO_LICENCE: f"solver {solver} is installed but does not run, most likely because it has no "
        "licence: set one up, or use CLARABEL",
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
    except Exception:  # each solver has its own class of licence errors
        return False
    return program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)
