"""The notebooks have no outputs, use only the public interface, follow the plan of a lesson, and run cleanly."""

import ast
import importlib.util
import os
import re
from pathlib import Path

import pytest

import cvxrelu as cr
from tests.helpers.needs import reason

pytest.importorskip("nbclient", reason=reason("nbclient"), exc_type=ImportError)
pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

import nbclient
import nbformat

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MODULES = {"cvxpy", "cvxrelu", "matplotlib", "numpy", "pathlib", "sklearn", "tempfile", "torch", "warnings"}

spec = importlib.util.spec_from_file_location("clean", FOLDER / "clean.py")
cleaner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cleaner)

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def execute(notebook, folder):
    """Run the notebook in its own kernel, with warnings as errors, and return it."""
    run = nbformat.from_dict(notebook)
    first = nbformat.v4.new_code_cell("import warnings\nwarnings.simplefilter('error')")
    last = nbformat.v4.new_code_cell("warnings.resetwarnings()")  # those of the kernel's shutdown are allowed
    run.cells = [first, *run.cells, last]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    client = nbclient.NotebookClient(
        run, timeout=3000, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    run.cells = run.cells[1:-1]
    return run


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def errors(notebook):
    return [output.text for output in outputs(notebook) if output.get("name") == "stderr"]


def pictures(notebook):
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


def test_there_are_ten_and_the_index_lists_them_in_order():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 10
    assert re.findall(r"\]\((\d\d_\w+\.ipynb)\)", index) == [path.name for path in NOTEBOOKS]


@each
def test_is_clean(path):
    text = path.read_text(encoding="utf-8")
    assert text == cleaner.clean(text), "run: python notebooks/clean.py"
    notebook = read(path)
    nbformat.validate(notebook)
    assert all(cell.execution_count is None and not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


@each
def test_follows_the_plan_of_a_lesson(path):
    notebook = read(path)
    title, text = notebook.cells[0].source, prose(notebook)
    assert title.startswith(f"# {int(path.name[:2])}. ")
    assert "**What you will learn**" in title
    assert len(re.findall(r"^- ", title, flags=re.MULTILINE)) == 3
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    positions = [headings.index(name) for name in ("Exercise", "Solution of the exercise", "What to read next")]
    assert positions == sorted(positions)
    assert "<summary>Hint</summary>" in text
    folded = [cell for cell in notebook.cells if cell.metadata.get("jp-MarkdownHeadingCollapsed")]
    assert [cell.source.splitlines()[0] for cell in folded] == ["## Solution of the exercise"]
    solution = notebook.cells[notebook.cells.index(folded[0]) + 1 :]
    assert "assert" in "\n".join(cell.source for cell in solution if cell.cell_type == "code")


@each
def test_uses_the_public_interface_alone(path):
    tree = ast.parse("\n".join(code(read(path))))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert "cvxrelu" in imported
    assert {name.split(".")[0] for name in imported} <= MODULES
    assert not [name for name in imported if name.startswith("cvxrelu.")]
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cr"
    }
    assert used <= set(cr.__all__)


@each
def test_runs(path, tmp_path):
    notebook = read(path)
    run = execute(notebook, tmp_path)
    assert not errors(run)
    assert pictures(run)
    assert cleaner.clean(nbformat.writes(run)) == path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_runs_without_torch(tmp_path):
    (path,) = (path for path in NOTEBOOKS if "torch" in "\n".join(code(read(path))))
    (tmp_path / "torch.py").write_text("raise ImportError")  # the kernel's folder comes first on its path
    run = execute(read(path), tmp_path)
    assert not errors(run)
    assert any("PyTorch is not installed" in output.get("text", "") for output in outputs(run))


@pytest.mark.parametrize("line", ["warnings.warn('look')", "assert 1 + 1 == 3"])
def test_a_notebook_that_warns_or_is_wrong_fails(line, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(line)])
    with pytest.raises(nbclient.exceptions.CellExecutionError):
        execute(notebook, tmp_path)
