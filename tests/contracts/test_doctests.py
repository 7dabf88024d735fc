"""The examples in docstrings and on the pages run, and every public name has one."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import cvxrelu as cr
from tests.helpers.needs import EXTRAS, installed, reason
from tests.helpers.public_names import OBJECTS, is_record

PAGES = Path(__file__).parents[2] / "docs"
MODULES = [
    found.name
    for found in pkgutil.walk_packages(cr.__path__, "cvxrelu.")
    if not found.name.endswith("__main__")  # runs the command line
]


def missing(error, source=""):
    """Return the missing extra for which an import failed, by its message or the source's imports; None if none."""
    modules = [name for name, extra in EXTRAS.items() if f"pip install 'cvxrelu[{extra}]'" in str(error)]
    modules += [name for name in EXTRAS if re.search(rf"^\s*(import|from) {name}\b", source, flags=re.MULTILINE)]
    return next((reason(name) for name in modules if not installed(name)), None)


def docstrings():
    """Yield the examples of each docstring of the package."""
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            if missing(error) is None:
                raise
            yield pytest.param(None, marks=pytest.mark.skip(missing(error)), id=name.removeprefix("cvxrelu."))
            continue
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
            if test.examples:
                yield test


def pages():
    """Yield the examples of each page, which share a namespace, as if typed by a reader."""
    for path in sorted(PAGES.rglob("*.md")):
        code = "\n".join(re.findall(r"^```pycon\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE))
        test = doctest.DocTestParser().get_doctest(code, {}, str(path.relative_to(PAGES)), str(path), 0)
        if test.examples:
            yield test


def run(test):
    try:
        doctest.DebugRunner().run(test)
    except doctest.DocTestFailure as failure:
        pytest.fail(f"{test.name}: {failure.example.source}expected\n{failure.example.want}but got\n{failure.got}")
    except doctest.UnexpectedException as unexpected:
        error = unexpected.exc_info[1]
        source = "".join(example.source for example in test.examples)
        if isinstance(error, ImportError) and (extra := missing(error, source)) is not None:
            pytest.skip(extra)
        raise error from None


def needs_example(obj):
    """Return whether users call the object: not an exception, an abstract class or a result of other calls."""
    if inspect.isclass(obj):
        return not (issubclass(obj, BaseException) or inspect.isabstract(obj) or is_record(obj))
    return inspect.isfunction(obj)


@pytest.mark.parametrize("test", list(docstrings()), ids=lambda test: test.name.removeprefix("cvxrelu."))
def test_examples_of_docstrings(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(test)


@pytest.mark.parametrize("test", list(pages()), ids=lambda test: test.name)
def test_examples_of_pages(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(test)


@pytest.mark.parametrize("name", [name for name, obj in OBJECTS.items() if needs_example(obj)])
def test_what_users_call_has_an_example(name):
    assert doctest.DocTestParser().get_examples(OBJECTS[name].__doc__)


@pytest.mark.parametrize("name", [name for name, obj in OBJECTS.items() if is_record(obj)])
def test_results_are_named_by_the_functions_that_return_them(name):
    others = [inspect.getdoc(obj) for other, obj in OBJECTS.items() if other != name]
    others += [inspect.getdoc(cr.PortableCertificate.verify)]
    assert any(re.search(rf"\b{name}\b", text) for text in others)


def test_a_wrong_example_is_found():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", "wrong", 0)
    with pytest.raises(pytest.fail.Exception, match="expected\n3\nbut got\n2"):
        run(test)
