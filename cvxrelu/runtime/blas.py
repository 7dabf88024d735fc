"""The BLAS and LAPACK routines that kernels call, taken from SciPy.

Machine code refers to them by private symbol names, so that it loads without numba.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cython_blas, cython_lapack

from cvxrelu._validation import FloatArray
from cvxrelu.runtime.lazy_imports import numba_kernels

_PREFIX = "cvxrelu_"


class Routine:
    """A routine of this module or of `vectors`, callable from kernels.

    Parameters
    ----------
    name : str
        Its name in `numba_kernels`.
    function : callable
        NumPy equivalent, used if numba is disabled.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name, self._function = name, function

    def __call__(self, *arguments: Any) -> Any:
        """Call the NumPy equivalent."""
        return self._function(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """Numba type of this object, which numba looks up in compiled callers."""
        return numba_kernels.routine_type(self._name)


inner = Routine("inner", np.dot)  # inner product of two vectors
times = Routine("times", np.dot)  # matrix-vector product, written to the third argument
transposed_times = Routine("transposed_times", lambda matrix, vector, product: np.dot(vector, matrix, product))


def _products_with_rows(points: FloatArray, rows: FloatArray, products: FloatArray) -> None:
    products[: len(points) * len(rows)] = (points @ rows.T).ravel()


# inner products of points with rows, points first, written to the start of a vector, all of one precision
products_with_rows = Routine("products_with_rows", _products_with_rows)


def _row_gram(rows: FloatArray, gram: FloatArray) -> None:
    gram[: len(rows) ** 2] = (rows @ rows.T).ravel()


def _column_gram(rows: FloatArray, gram: FloatArray) -> None:
    gram[: rows.shape[1] ** 2] = (rows.T @ rows).ravel()


def _solve_positive(matrix: FloatArray, right: FloatArray) -> int:
    lower = np.tril(matrix[: len(right) ** 2].reshape(len(right), -1))
    try:
        np.linalg.cholesky(lower + np.tril(lower, -1).T)
    except np.linalg.LinAlgError:
        return 1
    right[:] = np.linalg.solve(lower + np.tril(lower, -1).T, right)
    return 0


# inner products of all rows, or of all columns, of a matrix: the lower triangle, written to the start of a vector
row_gram = Routine("row_gram", _row_gram)
column_gram = Routine("column_gram", _column_gram)
# solution of a system by Cholesky in place, from the entries of the lower triangle; returns 0 unless not definite
solve_positive = Routine("solve_positive", _solve_positive)


def symbol(name: str) -> str:
    """Return the symbol of a routine in machine code."""
    return _PREFIX + name


def addresses() -> dict[str, int]:
    """Return the addresses of the routines by their symbols."""
    api = ctypes.pythonapi
    name, pointer = api.PyCapsule_GetName, api.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsules = {each: cython_blas.__pyx_capi__[each] for each in ("ddot", "dgemv", "dgemm", "sgemm", "dsyrk")}
    capsules["dposv"] = cython_lapack.__pyx_capi__["dposv"]
    return {symbol(each): pointer(capsule, name(capsule)) for each, capsule in capsules.items()}
