"""The one-way order of the modules, read from their imports."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "cvxrelu"
LAYERS = [
    {"_version", "_validation", "exceptions", "status", "settings", "checker", "lazy_imports", "threads", "interrupts"},
    {"compilation", "numba_kernels"},
    {"loss_base", "files", "packed", "active_set", "arrangements", "rigor", "cone_bound", "row_space", "memory"},
    {"normalization", "patterns", "losses", "penalties", "backends", "enclosures", "neuron_form"},
    {"gates", "enumeration", "operators", "cone_projection", "polyhedron_projection", "global_bound", "cone_stack"},
    {"annihilation", "weighted_loss", "cones", "rounded_losses", "cone_search", "relaxation"},
    {"dual_workspace"},
    {"polar", "convex_problem", "neuron_proof"},
    {"problems"},
    {"portable", "rounded"},
    {"programs", "certificates"},
    {"decomposition_blocks", "decomposition_programs", "advice"},
    {"decompositions"},
    {"bounds"},
    {"solvers"},
    {"rotation"},
    {"minimum_norm"},
    {"networks", "pruning"},
    {"scaling", "standardization", "pricing", "biases", "network_files"},
    {"network_input", "torch_export", "onnx_export"},
    {"baselines", "neuron_bound"},
    {"solution", "progress"},
    {"solve"},
    {"paths", "nested", "column_generation"},
    {"network_certificates", "training"},
    {"estimator_base"},
    {"estimators"},
    {"estimators_cv"},
    {"plotting"},
    {"__init__"},
    {"table_files"},
    {"tables"},
    {"experiments", "certification"},
    {"demo", "path_experiments", "comparison", "environment"},
    {"report"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules():
    return sorted([*PACKAGE.rglob("*.py"), PACKAGE / "__init__.pyi"])


def room(path):
    """The module, or the folder it is in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Modules of the package imported at module level (a function's own import may point back)."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cvxrelu":
            yield node.module.split(".")[1] if "." in node.module else "__init__"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "cvxrelu":
                    yield "__init__"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = room(path)
    for imported in imports(path):
        assert RANK[imported] < RANK[own] or (imported == own and path.parent != PACKAGE), imported


@pytest.mark.parametrize("own", ["programs", "certificates", "problems"])
def test_views_of_a_problem_are_independent(own):
    names = set(imports(PACKAGE / f"{own}.py"))
    assert names
    assert not names & {"solvers", "solve"} | (names & {"programs"} if own == "certificates" else set())


def test_modules_are_short():
    long = {path.name: n for path in modules() if (n := len(path.read_text().splitlines())) > 450}
    assert set(long) <= {"checker.py"}  # a file of its own, to be read and run alone
    assert long["checker.py"] < 900


def test_the_checker_imports_nothing_of_the_package():
    tree = ast.walk(ast.parse((PACKAGE / "checker.py").read_text()))
    names = {node.module for node in tree if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    outside = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert outside <= {"numpy", "numpy.typing"}
