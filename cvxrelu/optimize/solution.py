"""Solution of a convex program: weights, certificate, status and network."""

from dataclasses import dataclass

from cvxrelu._validation import Weights
from cvxrelu.certificates.certificate import Certificate
from cvxrelu.networks.convert import to_network
from cvxrelu.networks.network import Network
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.solvers.interface import Attempt, Record
from cvxrelu.status import Status


@dataclass(frozen=True, eq=False)
class Solution:
    """A feasible point of a convex program with its certificate.

    Attributes
    ----------
    weights : ndarray (c, P, d), or pair of ndarrays (c, P, d)
        U of C-GReLU, or (V, W) of C-ReLU: feasible, repaired if the solver's point violates its cones.
    status : Status
        "optimal" if and only if the gap of the certificate, as float64 computes it, is within the tolerance; else the
        reason for stopping. ``certificate.rigor`` says whether the bounds hold in spite of rounding.
    solver : str
        Name of the solver that found the weights.
    solver_status : str
        Status string reported by that solver, for information only.
    certificate : Certificate
        The bounds, recomputed from weights and data: estimates of rigor "floating_point" from `cvxrelu.solve`, bounds
        of rigor "rounded" from `cvxrelu.solve_global` wherever the loss allows it.
    n_iter : int or None
        Iterations of the run that found the weights; None if the solver does not report them.
    time : float
        Total seconds, certificates included.
    compile_time : float
        Seconds for building and compiling the CVXPY program.
    solve_time : float or None
        Seconds of that run reported by the solver; None if it does not report them.
    history : tuple of Record
        A record for each check of the gap, with the solver that was running; one record for each run of a CVXPY solver.
    problem : ConvexGatedReLU or ConvexReLU
        The problem that was solved.
    attempts : tuple of Attempt
        Result of each solver that was tried, in order; ``str(solution)`` includes them as a table.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> solution = cr.solve(cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01))
    >>> solution.status == "optimal", solution.gap <= 1e-6 * solution.objective
    (True, True)
    >>> V, W = solution.weights
    >>> V.shape  # (c, P, d)
    (1, 16, 2)
    >>> solution.network().predict([[0.5, 1.0]]).round(2)
    array([0.51])
    """

    weights: Weights
    status: Status
    solver: str
    solver_status: str
    certificate: Certificate
    n_iter: int | None
    time: float
    compile_time: float
    solve_time: float | None
    history: tuple[Record, ...]
    problem: ConvexProblem
    attempts: tuple[Attempt, ...] = ()

    @property
    def objective(self) -> float:
        """Objective of the weights, recomputed: an upper bound of the optimal value."""
        return self.certificate.upper

    @property
    def lower(self) -> float:
        """Certified lower bound of the optimal value."""
        return self.certificate.lower

    @property
    def gap(self) -> float:
        """Certified gap, objective - lower."""
        return self.certificate.gap

    @property
    def dual(self) -> DualPoint:
        """Dual feasible point whose objective is ``lower``."""
        return self.certificate.dual

    def network(self) -> Network:
        """Return the network of the weights; see `cvxrelu.networks.convert.to_network`."""
        return to_network(self.problem, self.weights)

    def __repr__(self) -> str:
        return (
            f"Solution(status={self.status.value!r}, objective={self.objective:.8g}, lower={self.lower:.8g}, "
            f"rel_gap={self.certificate.rel_gap:.1e}, n_active={self.certificate.n_active}, "
            f"solver={self.solver!r}, time={self.time:.2f})"
        )

    def __str__(self) -> str:
        certificate = self.certificate
        lines = [
            ("problem", repr(self.problem)),
            ("status", f"{self.status.value}: {self.status.advice}"),
            ("objective", f"{self.objective:.10g}"),
            ("lower bound", f"{self.lower:.10g}"),
            ("gap", f"{self.gap:.3e}  (relative {certificate.rel_gap:.3e})"),
            ("active blocks", f"{certificate.n_active}"),
            ("solver", f"{self.solver}, {self.time:.2f} s in all"),
        ]
        text = "\n".join(f"{name:<15} {value}" for name, value in lines)
        if not self.attempts:
            return text
        heads = ("attempt", "status", "objective", "lower bound", "rel. gap", "iterations", "seconds")
        rows = [
            (
                attempt.solver,
                attempt.status.value,
                f"{attempt.objective:.8g}",
                f"{attempt.lower:.8g}",
                f"{attempt.rel_gap:.1e}",
                "-" if attempt.n_iter is None else str(attempt.n_iter),
                f"{attempt.time:.2f}",
            )
            for attempt in self.attempts
        ]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        table = [
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, "<<>>>>>", widths, strict=True))
            for row in (heads, *rows)
        ]
        return "\n".join([text, "", *table])
