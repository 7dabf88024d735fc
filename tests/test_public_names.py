"""The public names, which are imported at their first use."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import cvxrelu as cr


def run(program):
    """Run a program in a process of its own, which has imported nothing yet."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_every_name_is_there_and_nothing_else():
    stub = ast.parse(Path(cr.__file__).with_suffix(".pyi").read_text())
    (names,) = [ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign)]
    assert sorted(names) == cr.__all__
    assert set(cr.__all__) <= set(dir(cr))
    for name in cr.__all__:
        assert getattr(cr, name).__class__.__name__ != "module", name
    with pytest.raises(AttributeError, match="module 'cvxrelu' has no attribute 'slove'"):
        cr.slove  # noqa: B018


def test_a_module_never_hides_a_name():
    assert run("import cvxrelu.paths, cvxrelu as cr; print(cr.solve.__name__, callable(cr.solve))") == "solve True\n"
    assert run("from cvxrelu import *; print(callable(solve), __version__)") == f"True {cr.__version__}\n"


def test_classes_are_the_same_by_every_way():
    from cvxrelu.networks import ReLUNetwork

    assert cr.ReLUNetwork is ReLUNetwork
    assert pickle.loads(pickle.dumps(cr.ReLUNetwork)) is ReLUNetwork


def test_the_help_imports_nothing_heavy():
    heavy = {"numpy", "scipy", "sklearn", "pandas", "cvxpy", "numba", "torch", "matplotlib"}
    assert run(f"import sys, cvxrelu, cvxrelu.cli; print({heavy} & set(sys.modules))") == "set()\n"
