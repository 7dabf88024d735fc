"""WorkingSet: second-order solver on working sets of patterns."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import cast

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_integer, defines
from cvxrelu.exceptions import SolverError
from cvxrelu.losses.base import dual_term, offers_dual_term
from cvxrelu.losses.registry import LOSSES
from cvxrelu.losses.squared import Squared
from cvxrelu.losses.weighted import unweighted
from cvxrelu.numerics.gated_rounds import gated_rounds
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.penalties.group_norms import GroupL1
from cvxrelu.penalties.quadratic import SquaredL2
from cvxrelu.penalties.registry import PENALTIES
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.memory import require
from cvxrelu.solvers.interface import Iterate, Limits, SolverResult
from cvxrelu.solvers.monitor import monitor
from cvxrelu.solvers.working_set.compiled_rounds import CompiledRounds
from cvxrelu.solvers.working_set.continuation import Continuation
from cvxrelu.solvers.working_set.entry_rounds import entry_candidates, takes_entries
from cvxrelu.solvers.working_set.gated_rounds import gated_candidates
from cvxrelu.solvers.working_set.outputs import separate_candidates, separates_outputs
from cvxrelu.solvers.working_set.relu_ridge import MOST_ENTRIES, ridge_candidates
from cvxrelu.solvers.working_set.relu_rounds import relu_candidates

_MOST_UNSHARED = 1e6  # n P d c
_MOST_BYTES = 2.0**28  # of the states of compiled rounds of all outputs


@dataclass(frozen=True, kw_only=True)
class WorkingSet:
    """Working-set method with a semismooth Newton solver on the dual of proximal-point steps.

    Solves `ConvexGatedReLU` with lam > 0, the norms separable over patterns (group_l1, l1, nuclear) and every loss of
    the package. Each outer iteration prices all patterns with one masked product, drops those proved to be zero
    (gap-safe rule), and solves on the active ones and those with the largest dual constraint values to a fraction of
    the gap. Products are computed in the precision of X. With group_l1 it first takes block coordinate descent on a
    cached Gram matrix of at most 4,000 columns (64 MB) or, with few rows and many columns, on the rows of the patterns
    (128 MB), until Newton steps are predicted to be faster. Kernels are loaded from a cache, or compiled once what is
    done in their place has taken two or five seconds in a process; until then, solutions differ, within tol. Factors
    of Newton systems in the columns take up to 512 MB.

    Solves `ConvexReLU` with group_l1 or squared_l2 and the losses that are sums over entries (squared, Huber, logistic)
    by the same method with exact projections onto the cones, in float64 but for large Newton systems, which are solved
    in float32 while their residuals are small enough. Small problems are solved on all blocks at once, with compiled
    steps once their kernel is cached; large ones of many rows with the squared loss by column generation on rays of the
    cones. Each block keeps the active rows of its last projection, whose multipliers bound its norm from above until it
    is projected again. With squared_l2 one proximal-point step, on all blocks, solves the program, unless its Newton
    systems are too ill-conditioned. Memory: 8 r^2 bytes for each projected block, at most 2 c P of them, with
    r = min(n, d), as `cvxrelu.solve` solves data with n < d in their row space; with squared_l2 8 n more.

    If loss and penalty of C-GReLU are sums over the outputs (squared, Huber, logistic; group_l1, l1), outputs are
    solved one by one, to gaps that add up to the tolerance of the whole.

    Iterations are Newton steps, programs on rays, and cycles of block descent: five sweeps and an extrapolation; of
    outputs solved one by one, the largest number that one has taken.

    Parameters
    ----------
    max_iter : int
        Limit of iterations, if `cvxrelu.solve` is given none.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> solution = cr.solve(problem, cr.WorkingSet(), tol=1e-10)
    >>> print(solution.status, problem.violation(solution.weights))
    optimal 0.0
    """

    max_iter: int = 2_000

    def __post_init__(self) -> None:
        check_integer("max_iter", self.max_iter, minimum=1)

    def check_problem(self, problem: ConvexProblem) -> None:
        """Raise SolverError for an unsupported problem, InsufficientMemoryError if it does not fit in memory."""
        cones = isinstance(problem, ConvexReLU)
        kind = GroupL1 | SquaredL2 if cones else PatternNorm
        separable = unweighted(problem.loss).sums_over_entries
        known = dual_term(problem.loss, problem.Y) is not None and (separable or not cones)
        known = known and isinstance(problem.penalty, kind)
        known = known and (type(problem.penalty) is SquaredL2 or defines(type(problem.penalty), "prox_jacobian"))
        if problem.lam == 0.0 or not known:
            losses = [loss for loss in LOSSES.values() if offers_dual_term(loss)]
            names = ", ".join(loss.name for loss in losses if loss.sums_over_entries or not cones)
            penalties = ", ".join(name for name, penalty in PENALTIES.items() if issubclass(penalty, kind))
            other = "CLARABEL or AugmentedLagrangian" if cones else "RFISTA"
            raise SolverError(
                f"WorkingSet solves {type(problem).__name__} with lam > 0, penalty {penalties} and loss "
                f"{names}; got {problem!r}: use {other}"
            )
        if cones:
            blocks, d = 2 * problem.n_outputs * len(problem.patterns), problem.solved_columns
            ridge = type(problem.penalty) is SquaredL2
            if ridge and blocks * problem.X.size > MOST_ENTRIES:
                raise SolverError(
                    f"WorkingSet solves ConvexReLU with squared_l2 on all {blocks} blocks at once, for at most "
                    f"{MOST_ENTRIES:g} entries of X in all; got {problem!r}: use CLARABEL or AugmentedLagrangian"
                )
            rows = problem.n if ridge else 0  # of the masks of all blocks
            require(
                8.0 * blocks * (d**2 + rows),
                f"WorkingSet, with a basis of {d} x {d} for each of {blocks} cones,",
                "take fewer gates, or AugmentedLagrangian",
            )

    def run(self, problem: ConvexProblem, start: Weights | None, limits: Limits) -> SolverResult:
        """Solve the problem from ``start`` (zero by default); see `cvxrelu.solve`."""
        self.check_problem(problem)
        blocks = problem.blocks(problem.zero_weights() if start is None else start)
        workspace = DualWorkspace()
        separate = separates_outputs(problem)
        continuation = limits.continuation or Continuation(keeps_pairs=separate and not _compiles_outputs(problem))
        solve = partial(_candidates, continuation=continuation)
        if separate:
            candidates = separate_candidates(problem, blocks, limits, workspace, solve)
        else:
            candidates = _but_zero(solve(problem, blocks, limits, workspace))
        return monitor(problem, candidates, limits, "WorkingSet", workspace)


def _compiles_outputs(problem: ConvexProblem) -> bool:
    """Return whether outputs are to be solved in compiled rounds, which do not share the products of pairs.

    Only with the squared loss are these the same for all outputs, and on larger data they take most of the time.
    """
    work = float(problem.X.size) * len(problem.patterns) * problem.n_outputs
    shares = type(problem.loss) is Squared and work > _MOST_UNSHARED
    fits = problem.n_outputs * CompiledRounds.bytes_needed(problem) <= _MOST_BYTES
    if shares or not fits or not gated_rounds.is_ready():
        return False
    return CompiledRounds.supports(problem.replace(y=problem.y[:, 0], _far=False))


def _candidates(
    problem: ConvexProblem, blocks: FloatArray, limits: Limits, workspace: DualWorkspace, *, continuation: Continuation
) -> Iterator[Iterate]:
    """Return the iterates of the method for the kind of problem."""
    if isinstance(problem, ConvexReLU):
        method = ridge_candidates if type(problem.penalty) is SquaredL2 else relu_candidates
        return method(problem, blocks, limits, workspace)
    penalty = cast(PatternNorm, problem.penalty)  # ensured by `check_problem`

    def rounds(blocks: FloatArray, n_iter: int) -> Iterator[Iterate]:
        return gated_candidates(problem, penalty, blocks, limits, workspace, continuation.trail(problem), n_iter)

    if takes_entries(problem):
        return entry_candidates(problem, blocks, limits, workspace, rounds)
    return rounds(blocks, 0)


def _but_zero(candidates: Iterator[Iterate]) -> Iterator[Iterate]:
    """Yield the iterates, but not zero weights as the first: their bounds are known."""
    for first in islice(candidates, 1):
        if first.n_iter or np.any(first.weights):
            yield first
    yield from candidates
