"""Rounds of coordinate descent for small C-GReLU programs with l1 and one output, in the kernel of block descent.

An entry of the weights is a block of one feature: the kernel is given ones as the data and the columns D_i x_j in place
of the patterns, in which it is linear.
"""

from collections.abc import Callable, Iterator

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.weighted import unweighted
from cvxrelu.numerics.gated_rounds import CYCLES, LIMITED, OUTCOME, WORK, gated_rounds, work_arrays
from cvxrelu.penalties.group_norms import L1
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.solvers.interface import Iterate, Limits
from cvxrelu.solvers.working_set.compiled_rounds import KINDS, SAVINGS, loss_arguments
from cvxrelu.solvers.working_set.gated_rounds import counted

_LARGEST, _MOST_COLUMNS = 1e6, 4000  # entries of all columns: 8 MB; columns of the Gram matrix
_CALL, _MOST_WORK = 1e7, 5e8  # operations between two looks at the clock, and in all: about ten small Newton steps


def takes_entries(problem: ConvexProblem) -> bool:
    """Return whether a problem is of the kind and size for coordinate descent."""
    return (
        type(problem.penalty) is L1
        and problem.n_outputs == 1
        and type(unweighted(problem.loss)) in KINDS
        and problem.X.dtype == np.float64
        and problem.X.size * len(problem.patterns) <= _LARGEST
    )


def entry_candidates(
    problem: ConvexProblem,
    blocks: FloatArray,
    limits: Limits,
    workspace: DualWorkspace,
    newton: Callable[[FloatArray, int], Iterator[Iterate]],
) -> Iterator[Iterate]:
    """Yield the weights after rounds of coordinate descent, if their kernel is ready, and iterates of Newton steps.

    Parameters
    ----------
    problem : ConvexProblem
        C-GReLU problem that `takes_entries` accepts.
    blocks : ndarray of shape (1, P, d)
        Initial weights.
    limits : Limits
        Tolerance and limits.
    workspace : DualWorkspace
        Dual state on the whole problem.
    newton : callable
        Returns the iterates of Newton steps from given weights, after a number of iterations.
    """
    if not gated_rounds.is_ready():
        yield from counted(newton(blocks, 0), [SAVINGS])
        return
    (columns, masks), n = problem.operator.as_floats(), problem.n
    entries = (masks[:, None, :] * columns).reshape(-1, n)
    data = np.ones((1, n)), entries, *loss_arguments(problem)
    u, f = blocks.reshape(-1, 1).copy(), problem.predict(problem.weights(blocks))[:, 0].copy()
    work = work_arrays(n, len(entries), 1, min(len(entries), _MOST_COLUMNS))
    state, expired = work[-1], limits.rounds()
    most_cycles = (limits.max_iter + 1) // 2  # the rest is for Newton steps
    while state[OUTCOME] == LIMITED and state[WORK] < _MOST_WORK and state[CYCLES] < most_cycles:
        gated_rounds(*data, problem.lam, limits.tol, most_cycles, state[WORK] + _CALL, u, f, *work)
        if expired():
            break
    blocks, n_cycles = u.reshape(blocks.shape), int(state[CYCLES])
    objective, t = problem.objective_and_gradient(problem.weights(blocks))
    dual = problem.dual_point(t, workspace=workspace)
    del data, entries, columns, masks, work, state  # as large as the expanded matrix, and its Gram matrix
    yield Iterate(weights=blocks, n_iter=n_cycles, step=None, objective=objective, dual=dual)
    yield from newton(blocks, n_cycles)
