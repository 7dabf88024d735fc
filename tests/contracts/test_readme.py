"""The README is short and its Python runs; links between the pages of the repository are valid."""

import re
from pathlib import Path

import pytest

import cvxrelu as cr

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "notebooks").glob("*.md"),
    *(ROOT / "reference").rglob("*.md"),
]


def links(text):
    """Return the relative links and images of a page, outside code."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    return [link for link in re.findall(r"\]\(([^()\s]+)\)", prose) if not link.startswith(("http:", "https:"))]


def anchors(text):
    """Return the anchors that code hosts give to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short():
    assert len(README.encode()) <= 8192


def test_readme_snippets_run(capsys):
    assert len(SNIPPETS) == 2
    namespace: dict = {}
    for snippet in SNIPPETS:
        exec(snippet, namespace)
    best, network = namespace["best"], namespace["network"]
    assert best.status == "optimal"
    assert best.certificate.scope == "global"
    assert network.objective(namespace["X"], namespace["y"], lam=0.01) == pytest.approx(best.objective)
    assert namespace["model"].certificate_.rel_gap <= namespace["model"].tol
    printed = capsys.readouterr().out
    assert printed.startswith("optimal ")
    assert "global" in printed


def test_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, flags=re.MULTILINE)[1] == cr.__version__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_are_valid(page):
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_a_broken_link_is_found():
    assert links("[a](docs/nowhere.md) `[b](c.md)` [d](https://e.org) ![f](g.svg)") == ["docs/nowhere.md", "g.svg"]
    assert anchors("# What is proved\n## X, y: shapes\n") == {"what-is-proved", "x-y-shapes"}
