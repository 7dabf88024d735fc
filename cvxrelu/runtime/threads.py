"""What keeps calls in several threads apart where Python and CVXPY hold one state for all of them.

``warnings.catch_warnings`` swaps the filters of the whole process, and CVXPY numbers its variables by a counter that
two threads may read at once.
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
    """Warn as `warnings.warn` does, unless the category is silenced for this call."""
    if not issubclass(category, _silenced.get()):
        warnings.warn(message, category, stacklevel=stacklevel + 1)


def silenced(function: Callable[_Parameters, _Result], *categories: type[Warning]) -> Callable[_Parameters, _Result]:
    """Return the function without the package's own warnings of these categories, for its calls alone."""

    def call(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        context = copy_context()  # what is set in it ends with it, whatever interrupts the call
        context.run(_silenced.set, (*_silenced.get(), *categories))
        return context.run(function, *arguments, **named)

    return call


@contextlib.contextmanager
def cvxpy_alone() -> Iterator[None]:
    """Be the only thread of the package in CVXPY, which does not say that its answers may be inaccurate.

    How accurate an answer is, the certificate measures.
    """
    with _cvxpy:
        filters = cast("list[Any]", warnings.filters)
        try:
            filters.insert(0, _INACCURATE)
            yield
        finally:
            if _INACCURATE in filters:  # the list itself: another thread may have put a copy in its place meanwhile
                filters.remove(_INACCURATE)
