"""Strip notebooks of outputs, execution counts and machine-specific metadata.

``python notebooks/clean.py [FILE ...]`` cleans the files in place, by default all notebooks in this folder.
"""

import sys
from pathlib import Path

import nbformat

KEPT = {"jp-MarkdownHeadingCollapsed"}  # folds the solution
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def clean(text: str) -> str:
    """Return the notebook's text without outputs, counts and metadata; cell ids are kept."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: value for key, value in cell.metadata.items() if key in KEPT})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def main() -> None:
    """Clean the files named on the command line, or all notebooks."""
    for path in map(Path, sys.argv[1:] or sorted(Path(__file__).parent.glob("*.ipynb"))):
        path.write_text(clean(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
