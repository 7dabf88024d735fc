"""Public names are imported on first use."""

import ast
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cvxrelu as cr


def run(program):
    """Run a program in a new process."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_the_public_names_are_those_of_the_stub():
    stub = ast.parse(Path(cr.__file__).with_suffix(".pyi").read_text())
    (names,) = [ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign)]
    assert sorted(names) == cr.__all__
    assert set(cr.__all__) <= set(dir(cr))
    for name in cr.__all__:
        assert getattr(cr, name).__class__.__name__ != "module", name
    with pytest.raises(AttributeError, match="module 'cvxrelu' has no attribute 'slove'"):
        cr.slove  # noqa: B018


def test_a_module_never_hides_a_name():
    imported = "import cvxrelu.optimize.solve, cvxrelu.decompositions.decompose, cvxrelu as cr; "
    assert run(imported + "print(callable(cr.solve), callable(cr.decompose))") == "True True\n"
    assert run("from cvxrelu import *; print(callable(solve), __version__)") == f"True {cr.__version__}\n"
    modules = {module.name for module in pkgutil.iter_modules(cr.__path__)}
    assert not modules & set(cr.__all__)


def test_classes_are_the_same_by_every_way():
    from cvxrelu.networks.network import ReLUNetwork

    assert cr.ReLUNetwork is ReLUNetwork
    assert pickle.loads(pickle.dumps(cr.ReLUNetwork)) is ReLUNetwork


# None of these, and of `others`, can be imported.
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pandas", "torch", "matplotlib", "onnx", "pyarrow", "ecos", *others}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Absent())
"""
SOLVE = """
import numpy as np
import cvxrelu as cr
X = np.random.default_rng(0).standard_normal((20, 3))
given = X, np.abs(X[:, 0]), cr.sample_patterns(X, 4, seed=0)
for problem in (cr.ConvexReLU(*given, lam=0.01), cr.ConvexGatedReLU(*given, lam=0.01), cr.ConvexReLU(*given, lam=0.0)):
    for solver in ("auto", "CLARABEL", *(["decompose"] if problem.lam == 0.0 else [])):
        solution = cr.solve(problem, solver)
        assert solution.lower <= solution.objective
print("solved")
"""
DEMONSTRATION = """
from cvxrelu.cli.runs.demo import load_demo_split
print(len(load_demo_split(0).y_test))
"""


def test_solving_needs_no_optional_package():
    assert run("others = ['typer', 'rich']\n" + ABSENT + SOLVE) == "solved\n"


def test_the_data_of_the_demonstration_need_no_tables():
    assert run("others = []\n" + ABSENT + DEMONSTRATION) == "114\n"


def test_the_help_imports_nothing_heavy():
    heavy = {"numpy", "scipy", "sklearn", "pandas", "cvxpy", "numba", "torch", "matplotlib"}
    assert run(f"import sys, cvxrelu, cvxrelu.cli; print({heavy} & set(sys.modules))") == "set()\n"


IMPORTED = """
import sys
import numpy as np
import cvxrelu as cr

X = np.column_stack([np.linspace(-1.0, 1.0, 8), np.ones(8)])
patterns = cr.sample_patterns(X, 4, seed=0)
solution = cr.solve(cr.{form}(X, np.abs(X[:, 0]), patterns, lam=0.01))
print(solution.status, *sorted({heavy} & set(sys.modules)))
"""
HEAVY = {"cvxpy", "sklearn", "pandas", "joblib", "typer", "rich", "matplotlib", "torch"} | {
    "scipy.optimize",
    "scipy.stats",
}


@pytest.mark.parametrize(("form", "more"), [("ConvexGatedReLU", {"numba"}), ("ConvexReLU", set())])
def test_a_solve_imports_what_it_needs_alone(form, more):
    assert run(IMPORTED.format(form=form, heavy=HEAVY | more)) == "optimal\n"


IMPORTED_BY_A_SEARCH = """
import sys
import numpy as np
import cvxrelu as cr

X = np.column_stack([np.linspace(-1.0, 1.0, 8), np.ones(8)])
print(cr.solve_global(X, np.abs(X[:, 0]), lam=0.01).status, *sorted({heavy} & set(sys.modules)))
"""


def test_a_global_search_imports_what_it_needs_alone():
    assert run(IMPORTED_BY_A_SEARCH.format(heavy=HEAVY)) == "optimal\n"
