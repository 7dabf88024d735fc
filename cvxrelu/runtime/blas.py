"""The BLAS routines that kernels call, taken from SciPy.

Machine code refers to them by private symbol names, so that it loads without numba.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cython_blas

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


def symbol(name: str) -> str:
    """Return the symbol of a BLAS routine in machine code."""
    return _PREFIX + name


def addresses() -> dict[str, int]:
    """Return the addresses of the routines by their symbols."""
    api = ctypes.pythonapi
    name, pointer = api.PyCapsule_GetName, api.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsules = {each: cython_blas.__pyx_capi__[each] for each in ("ddot", "dgemv", "dgemm", "sgemm")}
    return {symbol(each): pointer(capsule, name(capsule)) for each, capsule in capsules.items()}
