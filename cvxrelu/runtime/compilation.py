"""Kernels: functions compiled by numba at their first call, or loaded from a cache of earlier processes.

Their machine code is called directly. If it is cached, numba is not imported, which takes as long as solving a small
problem.
"""

import ctypes
import os
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu.runtime.lazy_imports import machine_code, numba_kernels

_LOCK = threading.RLock()
_SCALARS = {"float64": ctypes.c_double, "int64": ctypes.c_int64}
_TYPE = re.compile(r"\w+(?:\[[^]]*])?")  # for example float64[:, ::1]
_DONE = (0, -2)  # return codes of numba's functions with and without a value


class Kernel:
    """A function to be compiled by numba.

    Parameters
    ----------
    function : callable
        Function in numba's subset of Python and NumPy. It may call other kernels and routines of `blas`. It must not
        allocate arrays, raise exceptions or, if called from Python, return a value: work arrays and results are
        arguments.
    signature : str, optional
        Numba types of the arguments, for kernels called from Python: C-ordered arrays, float64 and int64.
    """

    def __init__(self, function: Callable[..., Any], signature: str | None) -> None:
        self.function, self.signature = function, signature
        self._dispatcher: Any = None
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        if self._compiled is None:
            self.compile()
        assert self._compiled is not None
        return self._compiled(*arguments)

    def compile(self) -> None:
        """Compile the function for its signature or load it from the cache, once in a process.

        Other threads that need a kernel wait.

        Warns
        -----
        CompilationCacheWarning
            Once in a process, if no cache folder is writable.
        """
        with _LOCK:
            if self._compiled is None:
                self._compiled = self.function if _numba_disabled() else self._load()

    def _load(self) -> Callable[..., Any]:
        if self.signature is None:
            raise TypeError(f"{self.function.__name__} has no signature: only other kernels can call it")
        return _caller(self.signature, machine_code.load(self, self.signature))

    @property
    def dispatcher(self) -> Any:
        """Numba dispatcher of the function."""
        with _LOCK:
            if self._dispatcher is None:
                self._dispatcher = numba_kernels.dispatcher(self.function, inner=self.signature is None)
        return self._dispatcher

    @property
    def callees(self) -> set["Kernel"]:
        """The kernel itself and all kernels that it calls, found by their names in its module."""
        found: set[Kernel] = set()
        new = {self}
        while new:
            found |= new
            named = [each.function.__globals__.get(name) for each in new for name in each.function.__code__.co_names]
            new = {each for each in named if isinstance(each, Kernel)} - found
        return found

    @property
    def _numba_type_(self) -> Any:
        """Numba type of this object, which numba looks up in compiled callers."""
        return self.dispatcher._numba_type_


def kernel(signature: str | None = None) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a function to be compiled by numba; see `Kernel`."""
    return lambda function: Kernel(function, signature)


def _numba_disabled() -> bool:
    """Return whether numba is disabled by its environment variable."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _caller(signature: str, address: int) -> Callable[..., Any]:
    """Return a function that calls numba's machine code with arrays and numbers of a signature.

    The first two arguments are addresses of the return value and of errors, unused by kernels. Each array is passed as
    meminfo and parent (null), size, itemsize, address, shape and strides.
    """
    kinds = [_kind(each) for each in _TYPE.findall(signature)]
    pointer, integer = ctypes.c_void_p, ctypes.c_ssize_t
    types: list[Any] = [pointer, pointer]
    for kind, n_axes in kinds:
        types += [pointer, pointer, integer, integer, pointer, *[integer] * 2 * n_axes] if n_axes else [kind]
    code = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(address)

    def call(*arguments: Any) -> None:
        flat: list[Any] = [ctypes.byref(ctypes.c_void_p()), ctypes.byref(ctypes.c_void_p())]
        for value, (kind, n_axes) in zip(arguments, kinds, strict=True):
            if not n_axes:
                flat.append(value)
            elif isinstance(value, np.ndarray) and value.dtype == kind and value.ndim == n_axes and _in_order(value):
                flat += (None, None, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
            else:
                raise TypeError(f"a kernel for {signature} was called with {value!r}")
        if code(*flat) not in _DONE:
            raise RuntimeError(f"a kernel for {signature} has failed")

    return call


def _kind(name: str) -> tuple[Any, int]:
    """Return the type of an argument (NumPy for arrays, ctypes for numbers) and its number of axes."""
    entry, _, axes = name.partition("[")
    return (np.dtype("bool" if entry == "boolean" else entry), axes.count(":") - 1) if axes else (_SCALARS[entry], 0)


def _in_order(array: NDArray[Any]) -> bool:
    return bool(array.flags.c_contiguous and array.flags.aligned)
