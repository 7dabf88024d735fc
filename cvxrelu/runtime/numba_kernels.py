"""What `compilation` does with numba: only this module imports it."""

import contextlib
import hashlib
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core import sigutils
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock

from cvxrelu.exceptions import CompilationCacheWarning

_warned = False


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """A cache whose failures cost time and nothing else: unreadable files are replaced, unwritable folders left.

    numba looks whether the file of the function has changed, this also at the files of the kernels that it calls.
    """

    def __init__(self, py_func: Callable[..., Any]) -> None:
        super().__init__(py_func)
        files = sorted({function.__code__.co_filename for function in _with_callees(py_func)})
        self._sources = tuple(hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest() for file in files)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return super()._index_key(sig, codegen), self._sources

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of whatever kind the contents of the file raise
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn(error)


def dispatcher(function: Callable[..., Any], *, inner: bool) -> Any:
    """Return what numba makes of a function, or the function itself where the user has turned numba off.

    Parameters
    ----------
    function : callable
        The function.
    inner : bool
        Whether it is only called by compiled functions, and never from Python.
    """
    if numba.config.DISABLE_JIT:
        return function
    made = numba.njit(no_cpython_wrapper=inner, no_cfunc_wrapper=True)(function)
    find = made.get_call_template

    def get_call_template(types: Any, names: Any) -> Any:
        # For a number that the code names, 0 say, numba would compile another version than for a variable.
        types = [numba.types.unliteral(each) for each in types]
        with _unoptimized():
            return find(types, names)

    made.get_call_template = get_call_template
    return made


@contextlib.contextmanager
def _unoptimized() -> Iterator[None]:
    """Let LLVM not optimise what is compiled: it does so with the function that calls it, whose module has it too."""
    with global_compiler_lock:  # other threads compile before or after
        level = numba.config.OPT
        numba.config.OPT = type(level)(0)
        try:
            yield
        finally:
            numba.config.OPT = level


def compiled(dispatcher: Any, signature: str | None) -> Any:
    """Return the dispatcher with its signature compiled, or loaded from the cache, and no others."""
    if signature is None or numba.config.DISABLE_JIT:
        return dispatcher
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except (OSError, RuntimeError) as error:  # numba's word for: no folder can be written
        _warn(error)
    dispatcher.compile(sigutils.normalize_signature(signature)[0])
    dispatcher.disable_compile()
    return dispatcher


def _with_callees(function: Callable[..., Any]) -> set[Callable[..., Any]]:
    """Return a function and all kernels that it calls, by the names of their modules."""
    found, new = set(), {function}
    while new:
        found |= new
        named: list[Any] = [one.__globals__.get(name) for one in new for name in one.__code__.co_names]
        new = {each.function for each in named if hasattr(type(each), "_numba_type_")} - found
    return found


def _warn(error: Exception) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "kernels are compiled again in each process, which takes seconds, because they cannot be cached: set the "
            f"environment variable NUMBA_CACHE_DIR to a folder that can be written ({error})",
            CompilationCacheWarning,
            stacklevel=2,
        )
