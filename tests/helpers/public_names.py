"""Public names and the kinds of their docstrings, for the tests of the documentation."""

import dataclasses
import inspect
import re

import cvxrelu as cr

OBJECTS = {name: getattr(cr, name) for name in cr.__all__ if name != "__version__"}


def is_own(obj):
    """Return whether a class, function or property is defined in this package, not inherited or re-exported."""
    function = getattr(obj, "fget", None) or getattr(obj, "func", None) or obj
    return (getattr(function, "__module__", None) or "").split(".")[0] == "cvxrelu"


def sections(obj):
    """Return the section headings of a NumPy-style docstring."""
    return re.findall(r"^([A-Z][A-Za-z ]+)\n-+$", inspect.getdoc(obj) or "", flags=re.MULTILINE)


def is_record(obj):
    """Return whether a dataclass is a result, which documents attributes and no parameters."""
    return dataclasses.is_dataclass(obj) and bool(dataclasses.fields(obj)) and "Parameters" not in sections(obj)
