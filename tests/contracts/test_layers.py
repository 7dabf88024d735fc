"""Files and functions are short, and the checker of certificates stands alone, which import-linter does not check."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cvxrelu"
FILES = sorted([*PACKAGE.rglob("*.py"), PACKAGE / "__init__.pyi"])
CHECKER = PACKAGE / "certificates" / "checker.py"
# Imports inside functions are allowed for PyTorch, and in commands, whose help must be quick.
LATE = {
    "networks/formats/torch.py",
    "cli/terminal.py",
    *(f"cli/commands/{path.name}" for path in PACKAGE.glob("cli/commands/*.py")),
}


def imported(tree):
    """Return the names of the modules that are imported anywhere in a tree."""
    nodes = list(ast.walk(tree))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return names | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}


@pytest.mark.parametrize("folder", ["cvxrelu", "reference", "tests"])
def test_files_are_short(folder):
    paths = [path for path in (ROOT / folder).rglob("*.py*") if path.suffix in (".py", ".pyi")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert len(lengths) > 50
    assert {path: length for path, length in lengths.items() if length > 450 and path != CHECKER} == {}
    assert lengths.get(CHECKER, 0) < 950


def lines_of_body(function):
    """Return the number of lines of a function without its head and its docstring."""
    first, *others = function.body
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    body = others if documented else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("folder", ["cvxrelu", "reference"])
def test_functions_are_short(folder):
    functions = [
        (str(path.relative_to(ROOT)), node.name, lines_of_body(node))
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 100
    assert [function for function in functions if function[2] > 60] == []


def test_the_root_is_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_import_nothing_of_the_package(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    late = {name for node in functions for name in imported(node) if name.split(".")[0] == "cvxrelu"}
    assert not late or str(path.relative_to(PACKAGE)) in LATE, late


def test_functions_import_optional_packages_alone():
    """Solving does not need rich, which shows progress."""
    late = {
        name.split(".")[0]
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for name in imported(node)
    }
    assert late <= {"cvxrelu", "matplotlib", "onnx", "pandas", "rich", "torch"}


def test_the_checker_imports_nothing_of_the_package():
    outside = {
        name for name in imported(ast.parse(CHECKER.read_text())) if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert outside <= {"numpy", "numpy.typing"}
