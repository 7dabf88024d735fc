"""Docstrings match the signatures, and the API reference lists every public name once."""

import ast
import dataclasses
import inspect
import re
from enum import EnumType
from functools import cached_property
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc, NumpyDocString
from numpydoc.validate import validate

import cvxrelu as cr
from cvxrelu import plotting
from tests.helpers.needs import needs
from tests.helpers.public_names import OBJECTS, is_own, is_record, sections

DOCS = Path(__file__).parents[2] / "docs"
NOT_ASKED = {
    "ES01",  # an extended summary, if one line is enough
    "EX01",  # examples: required by test_doctests
    "SA01",  # a "See Also" section
    "SA03",  # capitals
    "SA04",  # and descriptions there
    "RT03",  # a description of the return value, if the type is enough
}
OWN = {name: obj for name, obj in OBJECTS.items() if is_own(obj)}  # without scikit-learn's warning
CLASSES = {name: obj for name, obj in OWN.items() if inspect.isclass(obj)}


def errors(name, *, ignored=()):
    return {code: text for code, text in validate(f"cvxrelu.{name}")["errors"] if code not in {*NOT_ASKED, *ignored}}


def documented_parameters(name):
    """Return the parameters of a docstring and of those it refers to."""
    text = inspect.getdoc(OWN[name])
    names = {entry for item in NumpyDocString(text)["Parameters"] for entry in item.name.replace("*", "").split(", ")}
    for other in re.findall(r"[Pp]arameters[^.]*\bthose\s+of\s+`(\w+)`", text):
        names |= documented_parameters(other)
    return names


def members():
    """Yield the public methods and properties that this package defines."""
    for name, cls in CLASSES.items():
        for member, value in inspect.getmembers(cls):
            documented = callable(value) or isinstance(value, property | cached_property)
            if documented and is_own(value) and not member.startswith("_"):
                yield f"{name}.{member}"


@pytest.mark.parametrize("name", OWN)
def test_parameters_are_those_of_the_signature(name):
    found = errors(name)
    # The signature of an enumeration is Enum's; the fields of records are tested below.
    elsewhere = is_record(OWN[name]) or isinstance(OWN[name], EnumType)
    if elsewhere or ("PR01" in found and set(inspect.signature(OWN[name]).parameters) <= documented_parameters(name)):
        found.pop("PR01", None)
    assert not found


@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if is_record(cls)])
def test_attributes_of_records_are_their_fields(name):
    attributes = ClassDoc(CLASSES[name], config={"show_class_members": False})["Attributes"]
    documented = [entry for item in attributes for entry in item.name.split(", ")]
    assert sorted(documented) == sorted(field.name for field in dataclasses.fields(CLASSES[name]))


def test_a_docstring_of_another_signature_is_found(monkeypatch):
    wrong = cr.count_patterns.__doc__.replace("rank : int", "ranks : int")
    monkeypatch.setattr(cr.count_patterns, "__doc__", wrong)
    assert set(errors("count_patterns")) == {"PR01", "PR02"}
    assert documented_parameters("count_patterns") == {"n", "ranks"}


def test_parameters_may_be_those_of_another(monkeypatch):
    monkeypatch.setattr(cr.prune, "__doc__", "Parameters and errors are else those of `count_patterns`.")
    assert documented_parameters("prune") == {"n", "rank"}


@pytest.mark.parametrize("name", list(members()))
def test_methods_are_documented(name):
    owner, member = name.split(".")
    # One line may be enough; a docstring with a section for parameters must list all of them.
    complete = "Parameters" in sections(getattr(CLASSES[owner], member))
    assert not errors(name, ignored=() if complete else {"PR01", "RT01", "YD01"})


def themes():
    """Return the titles of the pages of the reference in order, each with the names on its page."""
    api = DOCS / "api"
    pages = re.findall(r"^   (\w+)$", (api / "index.rst").read_text(), flags=re.MULTILINE)
    assert sorted(pages) == sorted(page.stem for page in api.glob("*.rst") if page.stem != "index")
    found = {}
    for page in pages:
        text = (api / f"{page}.rst").read_text()
        (title,) = re.findall(r"^(.+)\n=+\n", text, flags=re.MULTILINE)
        blocks = re.findall(r"^\.\. api::.*\n\n((?:    \S+\n)+)", text, flags=re.MULTILINE)
        found[title] = "".join(blocks).split()
    return found


def test_the_reference_has_each_public_name_once_in_the_order_of_the_stub():
    stub = Path(cr.__file__).with_suffix(".pyi").read_text()
    imports, _, listed = stub.partition("__all__")
    pages = themes()
    plots = [name for name, obj in vars(plotting).items() if inspect.isfunction(obj) and name.startswith("plot_")]
    assert sorted(pages.pop("Plots")) == sorted(plots)
    names = [name for own in pages.values() for name in own]
    assert sorted(OBJECTS) == sorted(names)
    for part, pattern in ((imports, r"^# (.*)$"), (listed, r"^    # (.*)$")):
        assert re.findall(pattern, part, flags=re.MULTILINE) == list(pages)
    assert re.findall(r'^    "(\w+)",$', listed, flags=re.MULTILINE) == ["__version__", *names]
    for title, own in pages.items():
        section = imports.partition(f"# {title}\n")[2].partition("\n# ")[0]
        imported = [alias.name for node in ast.parse(section).body for alias in node.names]
        assert sorted(imported) == sorted(own), title


GALLERY = "\n".join(
    re.findall(
        r"^```\{code-cell\} python\n(.*?)^```", (DOCS / "gallery.md").read_text(), flags=re.DOTALL | re.MULTILINE
    )
)


def test_the_gallery_shows_every_plot():
    shown = re.findall(r"plotting\.(plot_\w+)\(", GALLERY)
    assert sorted(shown) == sorted(themes()["Plots"])


@pytest.mark.slow
@needs("matplotlib")
def test_the_gallery_runs():
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    exec(GALLERY, {})
    assert len(plt.get_fignums()) == 6
    assert all(axes.has_data() for number in plt.get_fignums() for axes in plt.figure(number).axes[:1])
    plt.close("all")
