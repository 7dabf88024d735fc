"""Sphinx settings of the documentation: ``python -m sphinx -b html -W --keep-going docs build/docs``."""

import importlib
import inspect
import os
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from numpydoc.xref import DEFAULT_LINKS  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import cvxrelu

_ROOT = Path(__file__).parents[1]

project = "cvxrelu"
author = "The cvxrelu authors"
copyright = f"2026, {author}"
release = version = cvxrelu.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx-mathjax-offline",  # typeset formulas offline
]
default_role = "py:obj"
add_module_names = False
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings have types, with shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": True}
autosummary_generate = False  # pages list groups of names
numpydoc_show_class_members = False  # autodoc lists them
numpydoc_xref_param_type = True  # link public names in types, and nothing else
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {word: word for word in DEFAULT_LINKS} | {name: f"cvxrelu.{name}" for name in cvxrelu.__all__}
myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # run a notebook again only if its code has changed
nb_execution_cache_path = str(_ROOT / "build" / "notebooks")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
exclude_patterns = ["images"]
smartquotes = False  # apostrophes mean transposition, and quotes are Python's

# Kernels of the notebooks import the package of this checkout.
os.environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])

html_theme = "furo"
html_title = f"cvxrelu {release}"
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["cvxrelu.css"]


class Api(SphinxDirective):
    """Directive ``.. api::`` with public names as its lines: a summary table, then the documentation of each name.

    The names are those of the package, or of the module given as argument.
    """

    has_content = True
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes that autosummary and autodoc generate for the names."""
        module = importlib.import_module(self.arguments[0] if self.arguments else "cvxrelu")
        lines = [f".. currentmodule:: {module.__name__}", "", ".. autosummary::", ""]
        lines += [f"   {name}" for name in self.content]
        for name in self.content:
            lines += ["", f".. {_directive(getattr(module, name))}:: {name}"]
        return self.parse_text_to_nodes("\n".join(lines))


def _directive(obj: Any) -> str:
    if inspect.isclass(obj):
        return "autoexception" if issubclass(obj, BaseException) else "autoclass"
    return "autofunction"


def _plain_text_as_rest(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Protect formulas in docstrings, which are written for the terminal, from being parsed as markup.

    Paragraphs that begin with "minimise over" become literal blocks. Elsewhere, outside code, the bars of |x| and ||x||
    are escaped, since reStructuredText would take them for substitutions.
    """
    paragraphs: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        if paragraph.startswith("minimise over "):
            paragraphs += ["::", textwrap.indent(paragraph, "    ")]
        elif ">>>" in paragraph:
            paragraphs.append(paragraph)
        else:
            parts = re.split(r"(``.*?``)", paragraph, flags=re.DOTALL)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            paragraphs.append("".join(parts))
    lines[:] = "\n\n".join(paragraphs).split("\n")


def _is_foreign(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Skip members that classes inherit from other packages; leave the rest to autodoc."""
    function = getattr(obj, "fget", None) or getattr(obj, "func", None) or obj
    own = (getattr(function, "__module__", None) or "").split(".")[0] == "cvxrelu"
    return None if own else True


def _copy_notebooks(app: Sphinx, config: Any) -> None:
    """Copy the notebooks and their index into docs/, with their modification times, for Sphinx to read."""
    folder = Path(app.srcdir) / "notebooks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in [*(_ROOT / "notebooks").glob("*.ipynb"), _ROOT / "notebooks" / "README.md"]:
        shutil.copy2(path, folder)


def _link_names(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn public names in single backticks on Markdown pages, outside code blocks, into links.

    Links to the notebooks are redirected to their copies.
    """
    if app.env.doc2path(page).suffix != ".md":
        return
    names = "|".join(cvxrelu.__all__)
    parts = re.split(r"(^```.*?^```$)", source[0], flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [re.sub(rf"(?<![`\w])`({names})`", r"{py:obj}`\1 <cvxrelu.\1>`", part) for part in parts[::2]]
    source[0] = "".join(parts).replace("](../notebooks/", "](notebooks/")


def setup(app: Sphinx) -> None:
    """Register the directive and the hooks."""
    app.add_directive("api", Api)
    app.connect("autodoc-process-docstring", _plain_text_as_rest)
    app.connect("autodoc-skip-member", _is_foreign)
    app.connect("config-inited", _copy_notebooks)
    app.connect("source-read", _link_names)
