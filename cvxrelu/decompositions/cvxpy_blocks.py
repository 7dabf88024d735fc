"""Cone decompositions of single blocks as CVXPY programs, compiled once and solved block by block."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rows import row_norms
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone


def _norms(v: Any, w: Any) -> Any:
    return cp.norm(v) + cp.norm(w)


def _squares(v: Any, w: Any) -> Any:
    return cp.sum_squares(v) + cp.sum_squares(w)


def _absolute_values(v: Any, w: Any) -> Any:
    return cp.norm1(v) + cp.norm1(w)


def _zero(v: Any, w: Any) -> Any:
    return cp.Constant(0.0)


OBJECTIVES: dict[str, Callable[[Any, Any], Any]] = {
    "socp": _norms,
    "l2": _squares,
    "l1": _absolute_values,
    "feasible": _zero,
}


class BlockProgram:
    """Minimise OBJECTIVES[method](u + w, w) over w with (2 D_j - 1) x_j'w >= max(0, -(2 D_j - 1) x_j'u) for all j.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data; rows are normalised in the program.
    method : str
        A key of `OBJECTIVES`.
    solver : str
        As CVXPY spells it.
    """

    @cvxpy_alone()
    def __init__(self, X: FloatArray, method: str, solver: str) -> None:
        norms = row_norms(X)
        self._rows = np.flatnonzero(norms)
        self._norms = norms[self._rows]
        self._solver = solver
        self._w = cp.Variable(X.shape[1], name="w")
        self._u = cp.Parameter(X.shape[1], name="u")
        self._signs = cp.Parameter(len(self._rows), name="signs")
        self._offsets = cp.Parameter(len(self._rows), nonneg=True, name="offsets")
        products = cp.Variable(len(self._rows))  # a variable, as parameters times all of X are slow to compile
        self._program = cp.Problem(
            cp.Minimize(OBJECTIVES[method](self._u + self._w, self._w)),
            [
                products == (X[self._rows] / self._norms[:, None]) @ self._w,
                cp.multiply(self._signs, products) >= self._offsets,
            ],
        )

    @cvxpy_alone()
    def solve(self, u: FloatArray, signs: FloatArray, offsets: FloatArray) -> FloatArray:
        """Return the solver's w (d,) for one block, or zeros if it has none; a projection makes either feasible."""
        self._u.value = u
        self._signs.value = signs[self._rows]
        self._offsets.value = offsets[self._rows] / self._norms
        try:
            self._program.solve(solver=self._solver)
        except cp.error.SolverError:
            return np.zeros_like(u)
        value = self._w.value
        return np.zeros_like(u) if value is None or not np.isfinite(value).all() else np.asarray(value)
