"""Column generation for C-ReLU with the squared loss: the program on the cones that some rays of each K_i span.

The blocks u_b = sum_j c_j v_j, c >= 0, of unit vectors v_j in K_i are in their cones without any constraint of a row,
and sum_j c_j bounds their norms from above, with equality at the optimum for the rays u_b / ||u_b||. What remains is a
non-negative lasso of few columns A_b v_j. Projections of -A_b't, the subgradients of the dual constraint values, are
the next rays. Points near the central path in place of solutions keep t from oscillating, as in the primal-dual column
generation of Gondzio, Gonzalez-Brevis and Munari (2013).

Unlike faces of the cones, of which cones of many rows have very many, rays are few: about as many as the free
dimensions of all faces at the optimum.
"""

from collections.abc import Callable

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.active_set import IndexArray
from cvxrelu.numerics.nonnegative_lasso import nonnegative_lasso
from cvxrelu.numerics.rows import row_norms
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks

_MOST_IDLE = 2  # programs in a row with a coefficient near zero, after which a ray is dropped


class RayProgram:
    """The program on the rays found so far, with their coefficients.

    Memory: 24 m^2 bytes for m rays, 8 n for each block that has had any, and a second copy of X.

    Parameters
    ----------
    problem : ConvexReLU
        Problem with the squared loss and group_l1 penalty.
    X : ndarray of shape (n, d)
        Its data.
    blocks : ndarray of shape (B, d)
        Initial blocks, in their cones.
    """

    def __init__(self, problem: ConvexReLU, X: FloatArray, blocks: FloatArray) -> None:
        self._problem = problem
        self._X = X
        self._shape = blocks.shape
        self._owners: IndexArray = np.empty(0, dtype=np.intp)
        self._rays = np.empty((0, X.shape[1]))
        self._coefficients: FloatArray = np.empty(0)
        self._idle: IndexArray = np.empty(0, dtype=np.intp)
        self._gram = np.empty((0, 0))
        self._correlations = np.empty(0)
        self._blocks = WorkingBlocks(X, problem.cones.D, problem.n_outputs, self._owners)
        active = np.flatnonzero(blocks.any(axis=1))
        if len(active):
            self.add(active, blocks[active])
            self._coefficients = row_norms(blocks[active])

    def __len__(self) -> int:
        return len(self._rays)

    def add(self, owners: IndexArray, points: FloatArray) -> None:
        """Add the rays through points (k, d) of the cones of the blocks ``owners`` (k,)."""
        kept = np.flatnonzero(self._idle <= _MOST_IDLE)
        known, zeros = len(kept), np.zeros(len(owners))
        self._owners = np.concatenate([self._owners[kept], owners])
        self._rays = np.concatenate([self._rays[kept], points / row_norms(points)[:, None]])
        self._coefficients = np.concatenate([self._coefficients[kept], zeros])
        self._idle = np.concatenate([self._idle[kept], zeros.astype(np.intp)])
        ids = np.unique(self._owners)
        if len(np.setdiff1d(ids, self._blocks.ids, assume_unique=True)):
            self._blocks = WorkingBlocks(self._X, self._problem.cones.D, self._problem.n_outputs, ids)
        columns = self._blocks.gram(self._index, self._rays, known)
        gram = np.empty((len(self), len(self)))
        gram[:known, :known] = self._gram[np.ix_(kept, kept)]
        gram[:, known:] = columns
        gram[known:, :known] = columns[:known].T
        self._gram = gram
        products = self._blocks.adjoint(self._problem.Y)
        self._correlations = np.vecdot(products[self._index], self._rays)

    def minimise(self, gap_tol: float, expired: Callable[[], bool]) -> tuple[FloatArray, FloatArray]:
        """Return blocks u (B, d) and t (n, c) with a duality gap of at most ``gap_tol`` on the rays, unless expired."""
        problem, n = self._problem, len(self._X)
        if not len(self):
            return np.zeros(self._shape), -problem.Y / n
        c, slacks = nonnegative_lasso(
            self._gram,
            self._correlations,
            n * problem.lam,
            float(np.vdot(problem.Y, problem.Y)),
            self._coefficients,
            n * gap_tol,
            expired,
        )
        used = c * self._gram.diagonal() > slacks
        self._idle = np.where(used, 0, self._idle + 1)
        self._coefficients = c
        u = np.zeros(self._shape)
        np.add.at(u, self._owners, c[:, None] * self._rays)
        prediction = self._blocks.forward(np.arange(len(self._blocks.ids)), u[self._blocks.ids])
        return u, (prediction - problem.Y) / n

    @property
    def _index(self) -> IndexArray:
        return np.searchsorted(self._blocks.ids, self._owners)
