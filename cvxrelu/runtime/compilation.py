"""Kernels: functions compiled by numba at their first call, or loaded from a cache of earlier processes.

Their machine code is called directly. If it is cached, numba is not imported, which takes as long as solving a small
problem.
"""

import contextlib
import ctypes
import os
import re
import struct
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvxrelu.runtime.lazy_imports import machine_code, numba_kernels
from cvxrelu.runtime.threads import warn

_LOCK = threading.RLock()
_SCALARS = {"float64": "d", "int64": "q"}
_TYPE = re.compile(r"\w+(?:\[[^]]*])?")  # for example float64[:, ::1]
COMPILATION = 2.0  # seconds
_may_compile: ContextVar[bool] = ContextVar("may_compile", default=True)
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
        self._looked_up = False

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
                self._compiled = self._interpreted if _numba_disabled() else self._load()

    def _interpreted(self, *arguments: Any) -> Any:
        return self.function(*(each.array if isinstance(each, PreparedArray) else each for each in arguments))

    def _load(self) -> Callable[..., Any]:
        if self.signature is None:
            raise TypeError(f"{self.function.__name__} has no signature: only other kernels can call it")
        return _caller(self.signature, machine_code.load(self, self.signature))

    def is_ready(self) -> bool:
        """Return whether calls run machine code without compiling it: it is loaded, now or from the cache.

        The cache is read once. False if numba is disabled, or if what is cached cannot be loaded.
        """
        if not self._looked_up:
            with _LOCK, contextlib.suppress(Exception):  # `compile` tells what fails, if it is called
                if self._compiled is None and not _numba_disabled() and self._is_cached():
                    self.compile()
            self._looked_up = True
        return self._compiled is not None and self._compiled != self._interpreted

    def _is_cached(self) -> bool:
        return self.signature is not None and machine_code.is_cached(self, self.signature)

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


class Savings:
    """CPU seconds that a kernel would have saved had it been compiled.

    Compiling once they reach what that takes costs at most twice as much as the better of compiling at the first call
    and never.

    Parameters
    ----------
    kernel : Kernel
        The kernel.
    compilation : float
        Seconds that compiling it takes.
    """

    def __init__(self, kernel: Kernel, compilation: float = COMPILATION) -> None:
        self._kernel = kernel
        self._compilation = compilation
        self._seconds = 0.0
        self._failed = False

    def add(self, seconds: float) -> None:
        """Count CPU seconds, measured or predicted."""
        with _LOCK:
            self._seconds += seconds

    def spend(self) -> None:
        """Compile the kernel if that pays, unless within `compiling` it is not allowed.

        Warns
        -----
        RuntimeWarning
            Once, if it fails to compile; callers go on without it.
        """
        if self._seconds < self._compilation or self._failed or not _may_compile.get() or _numba_disabled():
            return
        try:
            self._kernel.compile()
        except Exception as error:
            self._failed = True
            warn(f"{self._kernel.function.__name__} is not used, as it fails to compile: {error}", RuntimeWarning, 2)


@contextlib.contextmanager
def compiling(allowed: bool) -> Iterator[None]:
    """Allow savings to be spent on compilation, or not, in this thread."""
    token = _may_compile.set(allowed)
    try:
        yield
    finally:
        _may_compile.reset(token)


def kernel(signature: str | None = None) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a function to be compiled by numba; see `Kernel`."""
    return lambda function: Kernel(function, signature)


def _numba_disabled() -> bool:
    """Return whether numba is disabled by its environment variable."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _caller(signature: str, address: int) -> Callable[..., Any]:
    """Return a function that calls machine code with arrays and numbers of a signature, packed into bytes.

    Arrays are passed as numba's functions take them: meminfo and parent (null), size, itemsize, address, shape and
    strides. Packing takes a tenth of the time that `ctypes` takes to convert as many arguments.
    """
    kinds = [_kind(each) for each in _TYPE.findall(signature)]
    packing = struct.Struct("=" + "".join(f"{5 + 2 * n_axes}q" if n_axes else str(kind) for kind, n_axes in kinds))
    code = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_char_p)(address)

    def call(*arguments: Any) -> None:
        flat: list[Any] = []
        for value, kind in zip(arguments, kinds, strict=True):
            if type(value) is PreparedArray and value.kind == kind:
                flat += value.arguments
            elif not kind[1]:
                flat.append(value)
            elif isinstance(value, np.ndarray) and (value.dtype, value.ndim) == kind and _in_order(value):
                flat += _arguments(value)
            else:
                raise TypeError(f"a kernel for {signature} was called with {value!r}")
        if code(packing.pack(*flat)) not in _DONE:
            raise RuntimeError(f"a kernel for {signature} has failed")

    return call


class PreparedArray:
    """An array whose arguments for kernels are computed once, which takes as long as a small product.

    Parameters
    ----------
    array : ndarray
        C-ordered array. Its data must not move.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        if not _in_order(array):
            raise ValueError("array must be C-ordered and aligned")
        self.array = array
        self.kind = array.dtype, array.ndim
        self.arguments = _arguments(array)

    def __reduce__(self) -> tuple[type["PreparedArray"], tuple[NDArray[Any]]]:
        """Copy and pickle the array alone: a copy has another address."""
        return PreparedArray, (self.array,)


def _arguments(array: NDArray[Any]) -> tuple[Any, ...]:
    """Return an array as numba's functions take it."""
    try:
        address = ctypes.addressof(ctypes.c_char.from_buffer(array.data))  # 3 times as fast as `array.ctypes`
    except (TypeError, ValueError):  # read-only or empty
        address = array.ctypes.data
    return 0, 0, array.size, array.itemsize, address, *array.shape, *array.strides


def _kind(name: str) -> tuple[Any, int]:
    """Return the type of an argument (NumPy for arrays, `struct` for numbers) and its number of axes."""
    entry, _, axes = name.partition("[")
    return (np.dtype("bool" if entry == "boolean" else entry), axes.count(":") - 1) if axes else (_SCALARS[entry], 0)


def _in_order(array: NDArray[Any]) -> bool:
    flags = array.flags
    return bool(flags.c_contiguous and flags.aligned)
