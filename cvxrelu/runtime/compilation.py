"""Kernels: functions that numba compiles at their first call, not before, where no earlier process has done so.

Their machine code is called as it is. Where it is cached numba is not even imported, which takes as long as a small
problem to solve.
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
_TYPE = re.compile(r"\w+(?:\[[^]]*])?")  # float64[:, ::1], say
_DONE = (0, -2)  # what numba's functions give back that return something, and nothing


class Kernel:
    """A function for numba to compile.

    Parameters
    ----------
    function : callable
        In the part of Python and NumPy that numba knows. It may call other kernels, and routines of `blas`. It must not
        allocate arrays, raise exceptions or, if it is called from Python, return anything: what it needs and what it
        finds is in its arguments.
    signature : str, optional
        numba's types of the arguments, of a kernel that is called from Python: arrays in C order, float64 and int64.
    """

    def __init__(self, function: Callable[..., Any], signature: str | None) -> None:
        self.function, self.signature = function, signature
        self._dispatcher: Any = None
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the function, compiled."""
        if self._compiled is None:
            self.compile()
        assert self._compiled is not None
        return self._compiled(*arguments)

    def compile(self) -> None:
        """Compile the function for its signature, or load it from the cache, unless this process has done so.

        Other threads that need a kernel wait.

        Warns
        -----
        CompilationCacheWarning
            Once in a process, if no folder can be written to cache it.
        """
        with _LOCK:
            if self._compiled is None:
                self._compiled = self.function if _turned_off() else self._load()

    def _load(self) -> Callable[..., Any]:
        if self.signature is None:
            raise TypeError(f"{self.function.__name__} has no signature: it is for other kernels to call")
        return _caller(self.signature, machine_code.load(self, self.signature))

    @property
    def dispatcher(self) -> Any:
        """What numba has in place of the function."""
        with _LOCK:
            if self._dispatcher is None:
                self._dispatcher = numba_kernels.dispatcher(self.function, inner=self.signature is None)
        return self._dispatcher

    @property
    def callees(self) -> set["Kernel"]:
        """All kernels that it calls, itself among them, by their names in its module."""
        found: set[Kernel] = set()
        new = {self}
        while new:
            found |= new
            named = [one.function.__globals__.get(name) for one in new for name in one.function.__code__.co_names]
            new = {each for each in named if isinstance(each, Kernel)} - found
        return found

    @property
    def _numba_type_(self) -> Any:
        """What numba asks of an object that a compiled function calls."""
        return self.dispatcher._numba_type_


def kernel(signature: str | None = None) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a function that numba is to compile: see `Kernel`."""
    return lambda function: Kernel(function, signature)


def _turned_off() -> bool:
    """Return whether the user has turned numba off, as its documentation says."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _caller(signature: str, address: int) -> Callable[..., Any]:
    """Return a function that calls machine code of numba's for arrays and numbers of a signature.

    First go addresses for what it returns and for its errors: nothing, from kernels. Each array goes there as its
    owners (none), size, bytes of an entry, address, shape and strides.
    """
    kinds = [_kind(each) for each in _TYPE.findall(signature)]
    pointer, integer = ctypes.c_void_p, ctypes.c_ssize_t
    types: list[Any] = [pointer, pointer]
    for kind, n_axes in kinds:
        types += [pointer, pointer, integer, integer, pointer, *[integer] * 2 * n_axes] if n_axes else [kind]
    code = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(address)

    def call(*given: Any) -> None:
        flat: list[Any] = [ctypes.byref(ctypes.c_void_p()), ctypes.byref(ctypes.c_void_p())]
        for value, (kind, n_axes) in zip(given, kinds, strict=True):
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
    """Return the type of an argument, of NumPy for arrays and of ctypes for numbers, and the number of its axes."""
    entry, _, axes = name.partition("[")
    return (np.dtype("bool" if entry == "boolean" else entry), axes.count(":") - 1) if axes else (_SCALARS[entry], 0)


def _in_order(array: NDArray[Any]) -> bool:
    return bool(array.flags.c_contiguous and array.flags.aligned)
