"""Programs that fall apart over the outputs: one program for each, and one sequence of iterates of the whole.

If loss and penalty are sums over the outputs, so are objective and dual, and absolute gaps add up. Each output then has
its own working set, proximal-point parameter and step lengths, and drops out once its gap is small enough.
"""

from collections.abc import Callable, Iterator
from copy import copy

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.weighted import unweighted
from cvxrelu.numerics.rounding import TINY
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.solvers.interface import Iterate, Limits

# Takes the program of one output, initial blocks, limits and a workspace; yields iterates.
OutputSolver = Callable[[ConvexProblem, FloatArray, Limits, DualWorkspace], Iterator[Iterate]]

_LEAST_SHARE = 0.1  # of the allowed gap, for all outputs whose gap is not final
_LOOSEST = 0.1  # relative gap to which each output is solved, however small its share of the objective


def separates_outputs(problem: ConvexProblem) -> bool:
    """Return whether the program is a sum of programs of one output each, to be solved one by one.

    C-ReLU is not split: its projections are batched over all blocks, and few of its Newton steps are saved.
    """
    penalty = problem.penalty
    return (
        problem.n_outputs > 1
        and not problem.has_cones
        and unweighted(problem.loss).sums_over_entries
        and isinstance(penalty, PatternNorm)
        and not penalty.couples_outputs
    )


def separate_candidates(
    problem: ConvexProblem, blocks: FloatArray, limits: Limits, workspace: DualWorkspace, solve: OutputSolver
) -> Iterator[Iterate]:
    """Yield iterates of the whole program, each after as many iterates of outputs as have gaps above their shares.

    The next output is that whose gap is farthest above its share. Outputs with a small share of the objective come
    first, until their gap is a tenth of their own objective. Each has announced the products that it will take next, to
    be computed together; see `PairProducts`.

    ``n_iter`` is the largest number of iterations of an output, as an iteration of the whole is one of each output; it
    reaches the limit once no output is left that may take more.

    Parameters
    ----------
    problem : ConvexProblem
        Program that `separates_outputs`.
    blocks : ndarray of shape (c, P, d)
        Initial blocks.
    limits : Limits
        Tolerance and limits of the whole.
    workspace : DualWorkspace
        Workspace of the whole.
    solve : callable
        Solver of the program of one output.
    """
    workspace.remember(problem.operator, *problem.at_zero)
    _ = problem.native_operator  # computed once for all outputs
    expired = limits.rounds()
    outputs = []
    for k in range(problem.n_outputs):
        outputs.append(_Output(problem, k, blocks[[k]], limits, solve))
        if expired():
            outputs[-1].keep(blocks[[k]])
        else:
            outputs[-1].begin()
    pending = _pending(problem, outputs, limits)
    if any(output.n_iter for output in outputs):  # compiled rounds solve an output at once
        yield _whole(problem, outputs, limits.max_iter - 1 if pending else limits.max_iter)
    while pending:
        expired = limits.rounds()
        for _ in range(len(pending)):
            output, target = max(pending, key=lambda pair: (pair[0].is_rough, pair[0].gap / pair[1]))
            output.advance(target, limits.patience)
            pending = _pending(problem, outputs, limits)
            if expired() or all(each.gap <= share for each, share in pending):
                break
        yield _whole(problem, outputs, limits.max_iter - 1 if pending else limits.max_iter)


class _Output:
    """One output: its program and iterates, with the best feasible point and the best dual point so far."""

    def __init__(
        self, problem: ConvexProblem, index: int, blocks: FloatArray, limits: Limits, solve: OutputSolver
    ) -> None:
        t, products = problem.at_zero
        # Without another normalization, which would change the share of its objective.
        self.problem = problem.replace(y=problem.y[:, index], at_zero=(t[:, [index]], products[[index]]), _far=False)
        self._limits = copy(limits)  # with the clocks of the whole, but its own tolerance
        workspace = DualWorkspace()
        workspace.remember(self.problem.operator, *self.problem.at_zero)
        self.blocks = np.zeros_like(blocks)
        self.upper = self.problem.value_at_zero
        self.dual = self.problem.dual_point(t[:, [index]], workspace=workspace)
        self.step: float | None = None
        self.n_iter, self._exhausted = 0, self.gap <= 0.0
        self._candidates = solve(self.problem, blocks, self._limits, workspace)

    def keep(self, blocks: FloatArray) -> None:
        """Take the start if it is better than zero, without an iterate."""
        upper = self.problem.objective(self.problem.weights(blocks)) if blocks.any() else np.inf
        if upper <= self.upper:
            self.blocks, self.upper = blocks, upper

    def begin(self) -> None:
        """Take the first iterate, for the whole tolerance."""
        if not self._exhausted:
            self._take(next(self._candidates, None))

    @property
    def gap(self) -> float:
        """Gap of the best points."""
        return self.upper - self.dual.value

    @property
    def is_rough(self) -> bool:
        """Whether the gap is large relative to the objective of the output, whatever its share of the whole."""
        return self.gap > _LOOSEST * self.upper

    @property
    def stuck(self) -> bool:
        """Whether the gap is final: exact, limited by rounding, or at the limit of iterations."""
        return self._exhausted or self.n_iter >= self._limits.max_iter

    def advance(self, target: float, patience: float | None) -> None:
        """Take the next iterate, on the way to a gap of ``target``."""
        self._limits.tol = target / max(abs(self.upper), TINY)
        self._limits.patience = patience
        self._take(next(self._candidates, None))

    def _take(self, candidate: Iterate | None) -> None:
        """Take an iterate."""
        if candidate is None:
            self._exhausted = True
            return
        self.n_iter, self.step, objective = candidate.n_iter, candidate.step, candidate.objective
        if objective is None:
            objective = self.problem.objective(candidate.weights)
        if objective <= self.upper:
            self.blocks, self.upper = self.problem.blocks(candidate.weights), objective
        if candidate.dual is not None and candidate.dual.value > self.dual.value:
            self.dual = candidate.dual


def _pending(problem: ConvexProblem, outputs: list[_Output], limits: Limits) -> list[tuple[_Output, float]]:
    """Return the outputs that still have to reduce their gaps, with their targets.

    Equal shares of the allowed gap are the cheapest if each further digit of an output costs about the same. Smaller
    gaps, and those that are final, leave the others more, or less.
    """
    allowed = max(limits.tol * abs(sum(output.upper for output in outputs)), problem.resolution)
    able = sorted((output for output in outputs if not output.stuck), key=lambda output: output.gap)
    final = sum(output.gap for output in outputs if output.stuck)
    left = max(allowed - final, _LEAST_SHARE * allowed, TINY)
    share = 0.0
    for place, output in enumerate(able):
        share = left / (len(able) - place)
        if output.gap > share:
            break
        left -= max(output.gap, 0.0)
    targets = [(output, max(min(share, _LOOSEST * output.upper), TINY)) for output in able]
    pending = [(output, target) for output, target in targets if output.gap > target]
    # With all gaps within their shares, rounding of the sums may be left; it helps only if the final gaps allow it.
    return pending or (targets if final <= allowed else [])


def _whole(problem: ConvexProblem, outputs: list[_Output], most_steps: int) -> Iterate:
    """Return the iterate of the whole program, at the best points of all outputs, with at most ``most_steps`` steps."""
    return Iterate(
        weights=problem.weights(np.concatenate([output.blocks for output in outputs])),
        n_iter=min(max(output.n_iter for output in outputs), most_steps),
        step=max((output.step for output in outputs if output.step is not None), default=None),
        objective=sum(output.upper for output in outputs),
        dual=DualPoint(
            np.concatenate([output.dual.t for output in outputs], axis=1),
            None,
            sum(output.dual.value for output in outputs),
        ),
    )
