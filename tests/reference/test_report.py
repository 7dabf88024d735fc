"""Reports of a comparison: profiles against hand-computed ones, their properties, the page and the figures."""

import argparse
import html
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

from matplotlib.figure import Figure

from reference.compare import report_command as report
from reference.compare.findings import findings
from reference.compare.plots import draw_curves, draw_ratios
from reference.compare.profiles import (
    ACCURACIES,
    behind,
    mean_ratios,
    profile,
    ratios,
    solved_fractions,
    supported,
    times,
    unsolved,
)
from reference.compare.results import COLUMNS, append, hold_settings, read
from reference.instances import CATALOGUE


def row(instance, solver, asked=1e-6, **values):
    base = dict.fromkeys(COLUMNS, "") | dict.fromkeys(("version", "n", "d", "n_patterns", "n_outputs", "threads"), 1)
    base |= {"size": "small", "kind": "gated", "loss": "squared", "lam": 0.1, "lower": 1.0, "timeout": 20.0}
    base |= {
        "status": "answered",
        "seconds": 1.0,
        "accuracy": 1e-9,
        "objective": 1.0,
        "certified_gap": 1e-9,
        "claimed": "optimal",
    }
    return base | {"instance": instance, "solver": solver, "asked": asked} | values


ROWS = [
    row("one", "cvxrelu", 1e-2, seconds=1.0, accuracy=5e-3),
    row("one", "cvxrelu", 1e-6, seconds=2.0, accuracy=5e-7),
    row("one", "fast", 1e-6, seconds=0.5, accuracy=1e-3),
    row("one", "liar", seconds=0.1, accuracy=3.0),
    row("two", "cvxrelu", seconds=4.0),
    row("two", "fast", seconds=1.0, compile_seconds=9.0),
    row("two", "liar", status="timeout", seconds=20.0, accuracy="", note="stopped, 20 s allowed"),
    row("three <&>", "cvxrelu", seconds=2.0),
    row("three <&>", "fast", status="not_run", seconds="", accuracy="", note="not supported: softmax loss"),
    row("three <&>", "liar", status="failed", seconds="", accuracy="", note="<script>alert('no')</script>"),
    *(
        row(name, "MOSEK", status="not_run", seconds="", accuracy="", claimed="", note="no licence")
        for name in ("one", "two", "three <&>")
    ),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("comparison") / "results.csv"
    hold_settings(path, {"machine": "a machine", "n_jobs": 2, "versions": {"numpy": "2.0"}}, ())
    append(path, ROWS)
    return path


@pytest.fixture(scope="module")
def table(results):
    return read(results)


@pytest.fixture(scope="module")
def reported(results):
    """The command's text and its output folder."""
    out = results.parent / "out"
    return report.run(_arguments(results, out)), out


@pytest.fixture
def unrendered(monkeypatch):
    """Draw figures without rendering, which takes most of the time."""
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: file.write(b"PNG"))


def test_what_is_written_is_read(table):
    assert list(table.columns) == list(COLUMNS)
    assert table["note"].iloc[-1] == "no licence"
    assert np.isnan(table["seconds"].iloc[-1])


def test_times_by_hand(table):
    loose = times(table, 1e-2)
    assert list(loose.columns) == ["cvxrelu", "fast", "liar"]
    assert loose.loc["one"].tolist() == [1.0, 0.5, np.inf]
    assert times(table, 1e-4).loc["one"].tolist() == [2.0, np.inf, np.inf]
    assert loose.loc["two"].tolist() == [4.0, 1.0, np.inf]
    assert times(table, 1e-2, total=True).loc["two"].tolist() == [4.0, 10.0, np.inf]
    assert loose.loc["three <&>"].tolist() == [2.0, np.inf, np.inf]


def test_profiles_by_hand(table):
    quotients = ratios(times(table, 1e-2))
    assert quotients["cvxrelu"].tolist() == [2.0, 4.0, 1.0]
    x, fraction = profile(quotients["cvxrelu"])
    assert x.tolist() == [1.0, 2.0, 4.0]
    assert fraction.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    x, fraction = profile(quotients["fast"])
    assert (x.tolist(), fraction.tolist()) == ([1.0], [pytest.approx(2 / 3)])
    assert profile(quotients["liar"])[0].size == 0


def test_fractions_and_means_by_hand(table):
    solved = solved_fractions(table)
    assert solved.loc["cvxrelu"].tolist() == [1.0] * 6
    assert solved.loc["fast"].tolist() == pytest.approx([2 / 3] * 4 + [1 / 3] * 2)
    assert solved.loc["liar"].tolist() == [0.0] * 6
    assert supported(table).to_dict() == pytest.approx({"cvxrelu": 1.0, "fast": 2 / 3, "liar": 1.0})
    means = mean_ratios(table)
    assert means.loc["fast", (1e-2, "ratio")] == pytest.approx(np.sqrt(0.5 * 0.25))
    assert means.loc["fast", (1e-2, "both")] == 2
    whole = mean_ratios(table, total=True)
    assert whole.loc["fast", (1e-2, "ratio")] == pytest.approx(np.sqrt(0.5 * 2.5))


def test_a_solver_that_needs_no_time_leaves_ratios_to_the_others(table, recwarn):
    quick = table.copy()
    quick.loc[quick["solver"] == "fast", "seconds"] = 0.0
    assert times(quick, 1e-2).loc["two"].tolist()[:2] == [4.0, 1e-3]
    assert np.isfinite(ratios(times(quick, 1e-2)).loc["two", "cvxrelu"])
    draw_curves(quick, ["one", "two"])
    assert not recwarn.list


def test_who_was_faster_by_hand(table):
    lost = behind(table, 1e-2)
    assert lost.to_numpy().tolist() == [["two", "fast", 4.0], ["one", "fast", 2.0]]
    slow = table.copy()
    slow.loc[slow["solver"] == "cvxrelu", "accuracy"] = 0.3  # solves at 0.5 only
    slow.loc[slow["solver"] == "liar", ["status", "seconds", "accuracy"]] = ["answered", 0.2, 1e-9]
    assert behind(slow, 0.5).to_numpy().tolist() == [
        ["two", "liar", 20.0],
        ["three <&>", "liar", 10.0],
        ["one", "liar", 5.0],
        ["two", "fast", 4.0],
        ["one", "fast", 2.0],
    ]
    assert np.isinf(behind(slow, 0.1)["factor"]).all()
    assert sorted(behind(slow, 0.1)["instance"]) == ["one", "one", "three <&>", "two", "two"]
    assert unsolved(slow, 0.1) == ["one", "two", "three <&>"]
    assert unsolved(slow, 0.5) == []


def test_networks_of_other_patterns_are_not_faster(table):
    """They count as solved, as in the paper's figure, but answer another problem."""
    other = table.copy()
    other.loc[other["solver"] == "fast", "certified_gap"] = np.nan
    assert times(other, 1e-2).equals(times(table, 1e-2))
    assert solved_fractions(other).equals(solved_fractions(table))
    assert behind(other, 1e-2).empty
    assert "fast" not in mean_ratios(other).index
    said = list(findings(other))
    assert "the best of the others, fast, 2; it was the fastest on 3, another on 0." in said[3]


def test_the_words_hide_nothing(table):
    said = list(findings(table))
    assert said[3].startswith(
        "Accuracy 0.01: cvxrelu solved 3 of 3 instances, the best of the others, fast, 2; it was the fastest on 1, "
        "another on 2; faster on average, where both solved: fast (0.35 of its time, 2 instances)."
    )
    worse = table.copy()
    worse.loc[worse["instance"] == "two", "accuracy"] = 1e-3
    assert "cvxrelu did not reach 1e-06 on two." in list(findings(worse))
    fewer = table.drop(index=table.index[(table["solver"] == "fast") & (table["instance"] == "two")])
    assert next(findings(fewer)) == ("The file lacks runs on some instances, which count as not solved: fast 1.")


@st.composite
def any_table(draw):
    rows = []
    for instance in ("a", "b", "c", "d"):
        for solver in ("cvxrelu", "x", "y"):
            status = draw(st.sampled_from(["answered", "answered", "timeout", "failed"]))
            seconds, accuracy = draw(st.floats(0.1, 1e3)), 10.0 ** draw(st.floats(-9, 1))
            rows.append(row(instance, solver, status=status, seconds=seconds, accuracy=accuracy))
    return pd.DataFrame(rows).replace({"compile_seconds": {"": np.nan}})


@settings(max_examples=15, deadline=None)
@given(any_table(), st.floats(1e-2, 1e2), st.randoms())
def test_laws_of_profiles(table, factor, random):
    for tight, loose in zip(ACCURACIES[1:], ACCURACIES, strict=False):
        assert (times(table, tight) >= times(table, loose)).all(axis=None)
    seconds = times(table, 1e-2)
    quotients = ratios(seconds)
    assert (quotients >= 1.0).all(axis=None)
    solved = np.isfinite(seconds).any(axis=1)
    assert (quotients[solved].min(axis=1) == 1.0).all()
    fraction_solved = solved_fractions(table)[1e-2]
    for name in quotients:
        x, fraction = profile(quotients[name])
        assert np.all(np.diff(x) > 0.0)
        assert np.all(np.diff(fraction) > 0.0)
        assert fraction.max(initial=0.0) == pytest.approx(fraction_solved[name])
    slower = table.assign(seconds=table["seconds"] * factor)
    assert np.allclose(ratios(times(slower, 1e-2)), quotients, rtol=1e-9)
    order = list(range(len(table)))
    random.shuffle(order)
    assert times(table.iloc[order], 1e-2).reindex(index=seconds.index).equals(seconds)


def test_curves_show_runs_and_time_outs(table):
    late = table.copy()
    late.loc[(late["instance"] == "one") & (late["seconds"] == 2.0), "status"] = "timeout"
    one, two = draw_curves(late, ["one", "two"]).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in one.lines}
    assert lines["cvxrelu"] == [[1.0, 5e-3]]
    assert [[1.0, 5e-3], [20.0, 5e-3]] in lines.values()  # no better answer up to the limit
    assert lines["liar"] == [[0.1, 3.0]]
    marks = [line.get_xdata().tolist() for line in two.lines if line.get_marker() == "x"]
    assert marks == [[20.0]]
    assert two.get_xlim()[1] > 20.0


def test_ratios_show_what_ours_did_not_solve(table):
    worse = table.copy()
    worse.loc[(worse["instance"] == "two") & (worse["solver"] == "cvxrelu"), "accuracy"] = 0.3
    axis = draw_ratios(worse, 1e-2).axes[0]
    cells = axis.images[0].get_array()
    assert [label.get_text() for label in axis.get_xticklabels()] == ["fast", "liar"]
    assert cells.mask.tolist() == [[False, True], [False, True], [True, True]]
    assert cells[0, 0] == pytest.approx(np.log10(0.5))
    assert axis.collections[0].get_offsets().tolist() == [[0, 1]]


class Page(HTMLParser):
    """Check that tags are closed and nothing is loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.images = [], "", 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
        self.images += tag == "img"
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_and_figures(reported):
    said, out = reported
    assert re.search(r"^fast +67% +67% +67% +67% +33% +33%$", said, re.MULTILINE)
    assert re.search(r"^fast +0.354 +0.354 +0.354 +0.354 +0.25 +0.25$", said, re.MULTILINE)
    assert str(out / "results.html") in said
    source = (out / "results.html").read_text()
    page = Page()
    page.feed(source)
    assert page.open == []
    assert page.images == 4
    assert "$" not in page.text
    assert "MOSEK: not run: no licence" in page.text
    assert "time-out" in page.text
    assert "numpy 2.0" in page.text
    assert "3 of 4 solvers run" in page.text
    assert "reference compare" not in page.text  # these are no instances of the catalogue
    assert "<td>67% <small>(100%)</small></td>" in source  # fast was run on two instances and solved both
    assert "<tr><td>two</td>" + "<td>fast 4</td>" * 6 + "</tr>" in source
    assert "<tr><td>one</td>" + "<td>fast 2</td>" * 4 + "<td></td>" * 2 + "</tr>" in source
    assert "<script>alert" not in source  # notes are escaped
    assert "three &lt;&amp;&gt;" in source
    assert "https://" not in source
    names = {f"results-{name}.png" for name in ("profiles", "seconds", "curves", "ratios")}
    assert {path.name for path in out.glob("*.png")} == names
    assert all(path.stat().st_size > 10_000 for path in out.glob("*.png"))


def test_columns_sort_as_numbers(reported):
    values = re.findall('data-value="([^"]*)"', (reported[1] / "results.html").read_text())
    assert sorted(map(float, values)) == [1.0, 2.0, 2.0, 4.0, *[1e99] * 5]


ODD = {
    "another alone": [row("one", "mine"), row("two", "mine", seconds=2.0)],
    "ours alone": [row("one", "cvxrelu"), row("two", "cvxrelu", seconds=2.0)],
    "ours not run": [row("one", "mine"), row("one", "cvxrelu", status="not_run", seconds="", accuracy="")],
    "all failed": [row("one", name, status="failed", seconds="", accuracy="") for name in ("mine", "cvxrelu")],
}


@pytest.mark.usefixtures("unrendered")
def test_the_page_tells_how_to_make_it(tmp_path):
    path = tmp_path / "my results.csv"
    names = [*(each.name for each in CATALOGUE if each.size == "small"), "magic/relu/squared/P100/0.01"]
    append(path, [row(name, "cvxrelu", asked=asked) for name in names for asked in (1e-1, 1e-4)])
    report.run(_arguments(path, tmp_path))
    assert (
        "python -m reference compare --instances small magic/relu/squared/P100/0.01 --solvers cvxrelu "
        "--asked 0.1 0.0001 --threads 1 --timeout 20 --out 'my results.csv'\n"
        "python -m reference report 'my results.csv'</code>"
    ) in html.unescape((tmp_path / "my results.html").read_text())


@pytest.mark.parametrize(("name", "rows"), ODD.items(), ids=ODD)
@pytest.mark.usefixtures("unrendered")
def test_odd_files_are_reported(name, rows, tmp_path):
    path = tmp_path / "results.csv"
    append(path, rows)
    said = report.run(_arguments(path, tmp_path))
    ours_ran = name in ("ours alone", "all failed")
    assert ("cvxrelu was not run, so there are no findings." in said) != ours_ran
    assert (tmp_path / "results-ratios.png").exists() == (name == "all failed")
    assert (tmp_path / "results-curves.png").exists() == (name != "all failed")


@pytest.mark.usefixtures("unrendered")
def test_order_of_the_file_says_nothing(tmp_path):
    held = [*ROWS, row("old", "cvxrelu", size="large"), row("old", "fast", size="large", version=0)]
    pages = []
    for name, rows in (("a", held), ("b", held[::-1])):
        path = tmp_path / name / "results.csv"
        append(path, rows)
        report.run(_arguments(path, path.parent))
        pages.append((path.parent / "results.html").read_text())
    assert pages[0] == pages[1]
    names = re.findall("<tr><td>([^<]*)</td><td>(?:small|large)</td>", pages[0])
    assert names == ["one", "three &lt;&amp;&gt;", "two", "old"]
    assert "The file lacks runs on some instances, which count as not solved: fast 1, liar 1." in pages[0]


def test_nothing_to_report(tmp_path):
    with pytest.raises(SystemExit, match="there is no file"):
        report.run(_arguments(tmp_path / "missing.csv", tmp_path))
    path = tmp_path / "results.csv"
    append(path, [])
    with pytest.raises(SystemExit, match="holds no results yet$"):
        report.run(_arguments(path, tmp_path))
    append(path, [row("one", "MOSEK", status="not_run", seconds="", accuracy="", note="no licence")])
    with pytest.raises(SystemExit, match=r"no solver was run \(MOSEK: no licence\)"):
        report.run(_arguments(path, tmp_path))


def _arguments(results, out):
    parser = argparse.ArgumentParser()
    report.configure(parser)
    return parser.parse_args([str(results), "--out", str(out)])
