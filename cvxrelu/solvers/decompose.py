"""Two-step method for C-ReLU: solve C-GReLU, then decompose its solution into the cones."""

import time
from copy import copy
from dataclasses import dataclass

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
    """Fast approximate solver for C-ReLU: solve C-GReLU and decompose its solution into the cones.

    The dual point of C-GReLU is also feasible for the dual of C-ReLU, so the certificate bounds the suboptimality.
    With lam = 0 and non-singular patterns the point is optimal; otherwise a gap of the order of lam remains however
    accurately C-GReLU is solved (see `cvxrelu.approximation_bound`). The weights can warm-start another solver:
    ``solve(problem, start=solution.weights)``. Blocks of singular patterns that have no decomposition are set to zero.

    Parameters
    ----------
    method : str or ApproximateDecomposition
        Decomposition method, as in `cvxrelu.decompose`.
    gated_tol : float, optional
        Relative certified gap for C-GReLU; by default that of the solve.
    max_iter : int
        Iteration limit for C-GReLU, if `cvxrelu.solve` is given none.

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
            raise SolverError(f"Decompose solves ConvexReLU only; got {problem!r}")

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem, with C-GReLU started from V - W of ``start``; see `cvxrelu.solve`."""
        self.check_problem(problem)
        started = time.perf_counter()
        gated = ConvexGatedReLU.of(problem)
        solver = first_able(gated)
        assert solver is not None  # RFISTA supports every gated problem
        difference = None if start is None else problem.blocks(start)[0] - problem.blocks(start)[1]
        inner = copy(limits)  # with its clocks
        inner.tol = self.gated_tol or limits.tol
        raw = solver.run(gated, difference, inner)
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
