"""What is public, what other calls return, and what comes from elsewhere: for the tests of the documentation."""

import dataclasses
import inspect
import re

import cvxrelu as cr

OBJECTS = {name: getattr(cr, name) for name in cr.__all__ if name != "__version__"}


def is_own(obj):
    """Whether a class, function or property is this package's, not inherited or exported from another."""
    function = getattr(obj, "fget", None) or getattr(obj, "func", None) or obj
    return (getattr(function, "__module__", None) or "").split(".")[0] == "cvxrelu"


def sections(obj):
    """The headings of a docstring in NumPy style."""
    return re.findall(r"^([A-Z][A-Za-z ]+)\n-+$", inspect.getdoc(obj) or "", flags=re.MULTILINE)


def is_record(obj):
    """Whether it documents its fields as attributes, which other calls set, and no parameters."""
    return dataclasses.is_dataclass(obj) and bool(dataclasses.fields(obj)) and "Parameters" not in sections(obj)
