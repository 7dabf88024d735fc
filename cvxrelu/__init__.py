"""Two-layer ReLU and gated-ReLU networks, trained to certified global optimality by convex programs.

Public names are imported on first use, so that the command line starts quickly. They are listed in the stub
__init__.pyi, which type checkers and editors also read.
"""

import ast
import importlib
import pathlib
from typing import Any


def _read_stub() -> dict[str, str]:
    """Return the module of each public name."""
    stub = ast.parse(pathlib.Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_MODULES = _read_stub()

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
