"""The two steps of the paper for C-ReLU: solve C-GReLU, then split its solution into the cones."""

import time
from dataclasses import dataclass, replace

from cvxrelu._validation import Weights, check_number
from cvxrelu.decompositions.decompose import check_method, split
from cvxrelu.decompositions.native import ApproximateDecomposition
from cvxrelu.exceptions import SolverError
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.solvers.interface import Limits, SolverResult
from cvxrelu.solvers.selection import first_able
from cvxrelu.status import Status


@dataclass(frozen=True, kw_only=True)
class Decompose:
    """C-GReLU to the accuracy asked for, and a cone decomposition: a feasible point of C-ReLU, fast.

    The dual point of C-GReLU is dual feasible for C-ReLU too: the certificate says how far the point can be from
    optimal. At lam = 0 and with non-singular patterns it is optimal; else the gap has a part that no accuracy of
    C-GReLU removes, of the order of lam (see `cvxrelu.approximation_bound`). The weights are a start for the other
    solvers: ``solve(problem, start=solution.weights)``. Blocks of singular patterns that have no decomposition are left
    zero.

    Parameters
    ----------
    method : str or ApproximateDecomposition
        As `cvxrelu.decompose` takes it.
    gated_tol : float, optional
        Relative certified gap of C-GReLU; by default the tolerance of the solve.
    max_iter : int
        Limit of the iterations for C-GReLU, where `cvxrelu.solve` is given none.

    References
    ----------
    Mishkin, Sahiner & Pilanci, ICML 2022, arXiv 2202.01331: training by C-GReLU and cone decomposition.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.001)
    >>> solution = cr.solve(problem, cr.Decompose(method="l2"), tol=1.0)
    >>> problem.violation(solution.weights)
    0.0
    >>> best = cr.solve(problem)
    >>> solution.lower <= best.objective < solution.objective
    True
    """

    method: str | ApproximateDecomposition = "socp"
    gated_tol: float | None = None
    max_iter: int = 100_000

    def __post_init__(self) -> None:
        check_method(self.method)
        if self.gated_tol is not None:
            check_number("gated_tol", self.gated_tol, minimum=0.0, strict=True)

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError if the problem has no cones."""
        if not isinstance(problem, ConvexReLU):
            raise SolverError(f"Decompose solves ConvexReLU by way of ConvexGatedReLU; got {problem!r}")

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem, C-GReLU from the difference of the start. See `cvxrelu.solve`."""
        self.check_problem(problem)
        started = time.perf_counter()
        gated = ConvexGatedReLU.of(problem)
        solver = first_able(gated)
        assert solver is not None  # RFISTA takes all of them
        difference = None if start is None else problem.blocks(start)[0] - problem.blocks(start)[1]
        raw = solver.run(gated, difference, replace(limits, tol=self.gated_tol or limits.tol))
        result = split(problem, raw.weights, self.method)
        left_out = int(result.failed.sum())
        return SolverResult(
            weights=(result.V, result.W),
            t=raw.t,
            status=Status.INACCURATE if raw.status is Status.OPTIMAL else raw.status,
            solver_status=f"Decompose: C-GReLU by {raw.solver_status}"
            + (f"; {left_out} block(s) of singular patterns have no decomposition" if left_out else ""),
            n_iter=raw.n_iter,
            solve_time=time.perf_counter() - started,
        )
