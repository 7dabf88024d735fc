"""Proximal-point steps for small C-ReLU programs on all blocks, in one kernel."""

from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.losses.huber import Huber
from cvxrelu.numerics.cone_newton import OBJECTIVE, OUTCOME, STEPS, cone_step, work_arrays
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.runtime.compilation import PreparedArray, Savings
from cvxrelu.solvers.working_set.compiled_rounds import COMPILATION, KINDS

SMALL = 5e5  # entries of all A_b, of which smaller problems are solved on all blocks at once
_MOST_BLOCKS = 2e4
_CALL = 1e8  # operations between two looks at the clock

SAVINGS = Savings(cone_step, COMPILATION)


class CompiledSteps:
    """Arrays for the steps on a problem, of at most 20 MB.

    Parameters
    ----------
    problem : ConvexProblem
        C-ReLU problem that `supports` accepts.
    X : ndarray of shape (n, d)
        Its data.
    projector : ConeProjector
        Projector onto the cones of all blocks.

    Attributes
    ----------
    u : ndarray of shape (B, d)
        Blocks at the end of the last step.
    objective : float
        Their objective.
    """

    objective = np.inf

    def __init__(self, problem: ConvexProblem, X: FloatArray, projector: ConeProjector) -> None:
        (n, d), c, P = X.shape, problem.n_outputs, len(problem.patterns)
        loss = problem.loss
        columns, mask = problem.operator.as_floats()
        self.u = np.zeros((projector.n_blocks, d))
        self._t, self._shift = np.empty((c, n)), np.zeros((c, n))
        work = work_arrays(n, d, c, P)
        self._state = work[-1]
        delta = loss.delta if isinstance(loss, Huber) else 0.0
        self._first = *_prepared(X, columns, mask, problem.Y.T), KINDS[type(loss)], delta, problem.lam
        self._last = *_prepared(self._shift, self._t, self.u), *projector.state(), *_prepared(*work)
        self._most = max(1, int(_CALL / (2.0 * P * d * n * c * min(n, 2 * P * d))))  # at least, as faces are smaller

    @staticmethod
    def supports(problem: ConvexProblem) -> bool:
        """Return whether a problem is of the kind and size that it solves."""
        blocks = 2.0 * problem.n_outputs * len(problem.patterns)
        small = blocks <= _MOST_BLOCKS and blocks * problem.X.size <= SMALL
        return type(problem.loss) in KINDS and problem.operator.X.dtype == np.float64 and small

    @property
    def t(self) -> FloatArray:
        """The dual variable (n, c) at the end of the last step."""
        return np.ascontiguousarray(self._t.T)

    def take(
        self, centre: FloatArray, shift: FloatArray | None, t: FloatArray, sigma: float, tol: float, most: int
    ) -> tuple[int, int]:
        """Take some of the Newton steps of a proximal-point step; return the outcome and their number.

        Parameters
        ----------
        centre : ndarray of shape (B, d)
            Its centre.
        shift : ndarray of shape (n, c), optional
            Centre of the loss's own block.
        t : ndarray of shape (n, c)
            Dual variable at the start.
        sigma, tol : float
            Proximal-point parameter, and the relative gap to reach.
        most : int
            Limit of the number of Newton steps.
        """
        self._t[:] = t.T
        if shift is not None:
            self._shift[:] = shift.T
        most = max(0, min(most, self._most))
        cone_step(*self._first, sigma, tol, most, np.ascontiguousarray(centre), *self._last)
        self.objective = float(self._state[OBJECTIVE])
        return int(self._state[OUTCOME]), int(self._state[STEPS])


def _prepared(*arrays: Any) -> tuple[PreparedArray, ...]:
    return tuple(PreparedArray(np.ascontiguousarray(each)) for each in arrays)
