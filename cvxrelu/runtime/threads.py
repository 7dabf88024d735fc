"""Thread safety around global state of Python and CVXPY.

``warnings.catch_warnings`` swaps the filters of the whole process, and CVXPY numbers its variables by a counter
without a lock.
"""

import contextlib
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any, ParamSpec, TypeVar, cast

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_silenced: ContextVar[tuple[type[Warning], ...]] = ContextVar("silenced", default=())
_cvxpy = threading.RLock()
_INACCURATE = ("ignore", re.compile("Solution may be inaccurate"), UserWarning, None, 0)


def warn(message: str, category: type[Warning], stacklevel: int) -> None:
    """Warn as `warnings.warn` does, unless the category is silenced in this context."""
    if not issubclass(category, _silenced.get()):
        warnings.warn(message, category, stacklevel=stacklevel + 1)


def silenced(function: Callable[_Parameters, _Result], *categories: type[Warning]) -> Callable[_Parameters, _Result]:
    """Return a function whose calls do not issue the package's own warnings of these categories."""

    def call(*arguments: _Parameters.args, **keywords: _Parameters.kwargs) -> _Result:
        context = copy_context()  # discarded after the call, even if interrupted
        context.run(_silenced.set, (*_silenced.get(), *categories))
        return context.run(function, *arguments, **keywords)

    return call


@contextlib.contextmanager
def cvxpy_alone() -> Iterator[None]:
    """Hold the lock around CVXPY and ignore its warning of inaccurate solutions, which certificates measure."""
    with _cvxpy:
        filters = cast("list[Any]", warnings.filters)
        try:
            filters.insert(0, _INACCURATE)
            yield
        finally:
            if _INACCURATE in filters:  # in this list: another thread may have replaced `warnings.filters` by a copy
                filters.remove(_INACCURATE)
