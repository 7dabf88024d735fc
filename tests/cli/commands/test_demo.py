"""``cvxrelu demo``."""

import pytest

from tests.helpers.command import invoke


def test_demo_proves_and_says_for_what():
    result = invoke("demo", "--gated-patterns", 6, "--relu-patterns", 2, "--lam", 0.01)
    assert result.exit_code == 0, result.output
    for words in (
        "gated ReLU",
        "dual value",
        "relative gap",
        "accuracy, test",
        "native solver",
        "relative gap of",
    ):
        assert words in result.stdout
    text = " ".join(result.stdout.split())
    assert "optimal among all two-layer networks of its kind, of any width, whose neurons have the given" in text
    assert "Not claimed: anything about networks with other patterns" in text
    assert "Proved, verified in exact arithmetic: to a relative gap of" in text
    assert text.count("verified in exact arithmetic by checker.py") == 2
    assert result.stderr == ""


@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize("solvers", [["CLARABEL", "SCS"], ["CLARABEL", "ECOS", "SCS"]])
def test_demo_says_when_ecos_is_missing(solvers, monkeypatch):
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: solvers)
    result = invoke("demo", "--gated-patterns", 3, "--relu-patterns", 1, "--lam", 0.1, columns=80)
    assert result.exit_code == 0, result.output
    said = [line for line in result.stdout.splitlines() if "ECOS is not installed (pip install ecos)" in line]
    assert len(said) == ("ECOS" not in solvers)


@pytest.mark.usefixtures("small_demo")
def test_demo_fails_when_the_gap_is_above_the_tolerance():
    result = invoke("demo", "--gated-patterns", 3, "--relu-patterns", 1, "--tol", 1e-17)
    assert result.exit_code == 3
    assert "check failed: gated ReLU: the certified relative gap" in result.stderr
    assert "Proved" not in result.stdout


def test_the_same_errors_from_the_demo():
    for options, word in ([("--lam", "nan"), "lam must be"], [("--solver", "simplex"), "solver must be one of"]):
        result = invoke("demo", "--relu-patterns", 1, *options)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert word in result.stderr
