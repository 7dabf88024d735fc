"""Heavy modules that few calls need, imported at the first attribute access.

Importing CVXPY alone takes longer than solving a small problem.
"""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["cp", "machine_code", "numba_kernels"]


class _LazyModule:
    """Proxy that imports a module on attribute access; thread-safe, as imports are."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if TYPE_CHECKING:
    import cvxpy as cp

    from cvxrelu.runtime import machine_code, numba_kernels
else:
    cp = _LazyModule("cvxpy")
    machine_code = _LazyModule("cvxrelu.runtime.machine_code")
    numba_kernels = _LazyModule("cvxrelu.runtime.numba_kernels")
