"""Kernels: functions that numba compiles at their first call, not before, and caches where a folder can be written.

numba is imported then: what calls no kernel does not need it.
"""

import threading
from collections.abc import Callable
from typing import Any

from cvxrelu.runtime.lazy_imports import numba_kernels

_LOCK = threading.RLock()


class Kernel:
    """A function for numba to compile.

    Parameters
    ----------
    function : callable
        In the part of Python and NumPy that numba knows. It may call other kernels.
    signature : str, optional
        The types of the arguments, of a kernel that is called from Python. It is compiled for these alone: for others
        numba would make another version, which takes seconds that no time limit allows for.
    """

    def __init__(self, function: Callable[..., Any], signature: str | None) -> None:
        self.function, self.signature = function, signature
        self._dispatcher: Any = None
        self._compiled: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the function, compiled."""
        if self._compiled is None:
            self.compile()
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
                self._compiled = numba_kernels.compiled(self.dispatcher, self.signature)

    @property
    def dispatcher(self) -> Any:
        """What numba has in place of the function."""
        with _LOCK:
            if self._dispatcher is None:
                self._dispatcher = numba_kernels.dispatcher(self.function, inner=self.signature is None)
        return self._dispatcher

    @property
    def _numba_type_(self) -> Any:
        """What numba asks of an object that a compiled function calls."""
        return self.dispatcher._numba_type_


def kernel(signature: str | None = None) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a function that numba is to compile: see `Kernel`."""
    return lambda function: Kernel(function, signature)
