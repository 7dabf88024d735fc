"""The three routines of BLAS that kernels call: SciPy's, so that they are as fast as in NumPy, and nothing is compiled.

Machine code refers to them by names of their own, so that it can be loaded where numba is not.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from cvxrelu.runtime.lazy_imports import numba_kernels

_PREFIX = "cvxrelu_"


class Routine:
    """A routine of BLAS as kernels call it.

    Parameters
    ----------
    name : str
        What it is called in `numba_kernels`.
    function : callable
        What it does, where the user has turned numba off.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name, self._function = name, function

    def __call__(self, *arguments: Any) -> Any:
        """Call NumPy's function."""
        return self._function(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """What numba asks of an object that a compiled function calls."""
        return numba_kernels.routine_type(self._name)


inner = Routine("inner", np.dot)  # of two vectors
times = Routine("times", np.dot)  # a matrix times a vector, written to the third
transposed_times = Routine("transposed_times", lambda matrix, vector, product: np.dot(vector, matrix, product))


def symbol(name: str) -> str:
    """Return what machine code calls a routine of BLAS."""
    return _PREFIX + name


def addresses() -> dict[str, int]:
    """Return the addresses of the routines by their symbols."""
    from scipy.linalg import cython_blas

    api = ctypes.pythonapi
    name, pointer = api.PyCapsule_GetName, api.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsules = {each: cython_blas.__pyx_capi__[each] for each in ("ddot", "dgemv")}
    return {symbol(each): pointer(capsule, name(capsule)) for each, capsule in capsules.items()}
