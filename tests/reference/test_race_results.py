"""Results of the race: ratios, table, summary, file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import reference
from reference.race.cases import CASES
from reference.race.results import (
    Ratio,
    best_entry,
    geometric_mean,
    ratio,
    resume,
    save,
    spread,
    summary,
    table,
)
from tests.helpers.race import entry, ours, result

RESULTS = Path(reference.__file__).parent / "race" / "results"


def test_ratios_say_what_they_bound():
    assert str(ratio(ours(), entry(seconds=2.0))) == "4"
    assert str(ratio(ours(), entry(reached=False))) == ">=4"
    assert str(ratio(ours(reached=False), entry())) == "<=4"
    assert str(ratio(ours(reached=False), entry(reached=False))) == "?4"


def test_geometric_mean():
    assert geometric_mean([Ratio(2.0), Ratio(8.0)]).value == pytest.approx(4.0)
    assert geometric_mean([Ratio(2.0), Ratio(8.0)]).mark == ""
    assert geometric_mean([Ratio(2.0), Ratio(8.0, ">=")]).mark == ">="
    assert geometric_mean([Ratio(2.0, "<="), Ratio(8.0, ">=")]).mark == "?"


def test_the_best_peer_reached_what_was_asked():
    fast, slow = entry("ECOS", 1.0, reached=False), entry("CLARABEL", 30.0)
    loose = entry("pyscnn", 0.1, asked=1e-4)
    assert best_entry([fast, slow, loose]) is slow
    assert best_entry([replace(slow, reached=False), fast]) is fast
    assert best_entry([]) is None


def test_table():
    results = [
        result("one", [entry(), entry("ECOS", 50.0, reached=False, asked=1e-6, compile_seconds=1.5)]),
        replace(result("two", [replace(entry(seconds=0.5), seconds=[0.5, 0.25, 4.0])]), left_out=["QOCO: none"]),
        result("three", reached=False),
    ]
    lines = table(results)
    assert len(lines) == 6
    assert lines[1].split()[:7] == ["one", "208", "61", "500", "1.000e-03", "65", "0.5"]
    assert lines[1].split()[7:11] == ["(0.1-9)", "4.0e-07", "0", "2.0e-09"]
    assert lines[1].split()[11:16] == ["adelie", "2", "5.0e-07", "3.0e-05", "4"]
    assert lines[1].endswith("  path 5, tol 1e-9")
    assert lines[2].split()[:5] == ["ECOS", ">=50", "5.0e-07", "3.0e-05", ">=100"]
    assert lines[2].endswith("path 5, tol 1e-9; 1e-06 not reached; compiled in 1.5 s")
    assert lines[1].index("adelie") == lines[2].index("ECOS") == lines[0].index("peer")
    assert "0.5 (0.25-4)" in lines[3]
    assert lines[4] == "    left out: QOCO: none"
    assert "4.0e-07!" in lines[5]
    assert spread([0.123456]) == "0.123"


def test_summary_lists_the_losses():
    """Bounds count too: a peer that missed its accuracy is not ahead, one is where only ours missed it."""
    results = [
        result("won", [entry(), entry("ECOS", 50.0, reached=False)]),
        result("even", [entry(seconds=0.5)]),
        result("lost", [entry(seconds=0.25), entry("celer", 0.125)]),
        result("not reached", [entry(seconds=0.25, reached=False)]),
        result("alone"),
        result("path", [entry(seconds=2.0)], group="path, squared", reached=False),
    ]
    lines = [" ".join(line.split()) for line in summary(results)]
    assert lines == [
        "gated, squared:",
        "adelie / ours geometric mean >=1 of 4; smallest 0.5 (lost); lost 1",
        "ECOS / ours geometric mean >=100 of 1; smallest >=100 (won); lost 0",
        "celer / ours geometric mean 0.25 of 1; smallest 0.25 (lost); lost 1",
        "best interior point / ours geometric mean >=100 of 1; smallest >=100 (won); lost 0",
        "best peer / ours geometric mean >=0.841 of 4; smallest 0.25 (lost); lost 1",
        "path, squared:",
        "adelie / ours geometric mean <=4 of 1; smallest <=4 (path); lost 1",
        "best peer / ours geometric mean <=4 of 1; smallest <=4 (path); lost 1",
        "lost: 2 of 5",
        "gated, squared lost 0.25 celer: path 5, tol 1e-9",
        "path, squared path <=4 adelie: path 5, tol 1e-9",
    ]
    assert summary([result("won", [entry()])])[-1] == "lost: 0 of 1"


def test_a_race_goes_on_from_its_file_and_no_other(tmp_path):
    path = tmp_path / "new" / "race.json"
    assert resume(path, {"threads": 1}) == ({"threads": 1}, [])
    with pytest.raises(FileNotFoundError):
        resume(path, None)
    results = [result("one", [entry(), entry("SCS", accuracy=None, note="stopped")]), result("two")]
    save(path, {"threads": 1}, results)
    assert resume(path, {"threads": 1}) == ({"threads": 1}, results)
    assert resume(path, None) == ({"threads": 1}, results)
    assert json.loads(path.read_text())["header"] == {"threads": 1}
    with pytest.raises(ValueError, match="threads: 1 in the file, 2 now"):
        resume(path, {"threads": 2})


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_of_the_documentation_are_those_of_cases_of_the_race(path):
    header, results = resume(path, None)
    assert header["versions"]["cvxrelu"]
    known = {case.name for case in CASES if case.kind == header["kind"]}
    assert {each.case for each in results} <= known
    assert all(each.ours.reached and each.entries for each in results)
