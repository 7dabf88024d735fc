"""The commands of ``python -m reference``."""

import argparse

import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

from reference import __main__ as reference
from reference.paper import commands as paper

NAMES = [*((name,) for name in reference.COMMANDS), *(("paper", name) for name in paper.COMMANDS)]


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_every_command_has_a_help(names, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["reference", *names, "--help"])
    with pytest.raises(SystemExit) as end:
        reference.main()
    assert end.value.code == 0
    assert f"usage: python -m reference {' '.join(names)}" in capsys.readouterr().out


def test_the_help_lists_the_commands(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["reference", "--help"])
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit):
        reference.main()
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    told = {line[0]: line[1] for line in lines if len(line) == 2}
    for name, module in reference.COMMANDS.items():
        assert told[name] == module.run.__doc__, name


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["compile-time"], {"gates": 500, "repeats": 3}),
        (["bench"], {"repeats": 5, "threads": 2}),
        (["global", "--cases", "waves-20000, cancer-200x3"], {"cases": ["waves-20000", "cancer-200x3"], "threads": 1}),
        (["race", "relu", "--resume"], {"kind": "relu", "tol": None, "peers": [], "timeout": 150.0, "resume": True}),
        (["race", "gated", "--cases", "a/*,b", "--quick"], {"cases": ["a/*", "b"], "quick": True, "report": False}),
        (["images", "digits.npz"], {"loss": "squared", "gates": "dense", "tol": 1e-3, "threads": 2}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_is_run_with_its_options_and_its_text_printed(words, options, monkeypatch, capsys):
    given = []

    def run(arguments: argparse.Namespace) -> str:
        given.append(vars(arguments))
        return "its text"

    monkeypatch.setattr(reference.COMMANDS[words[0]], "run", run)
    monkeypatch.setattr("sys.argv", ["reference", *words])
    reference.main()
    assert capsys.readouterr().out == "its text\n"
    assert options.items() <= given[0].items()


def test_images_and_races_get_what_the_options_say(monkeypatch):
    for name, words in (
        ("images", ["digits.npz", "--n-gates", "7", "--solver", "RFISTA"]),
        ("race", ["path", "--repeats", "2", "--timeout", "9", "--resume", "--out", "there.json"]),
    ):
        module, plans = reference.COMMANDS[name], []
        parser = argparse.ArgumentParser()
        module.configure(parser)
        monkeypatch.setattr(module, "measure", plans.append)
        module.run(parser.parse_args(words))
        (plan,) = plans
        if name == "images":
            assert (str(plan.path), plan.n_gates, plan.solver, plan.lam_ratio) == ("digits.npz", 7, "RFISTA", 0.1)
        else:
            assert (plan.kind, plan.effort.repeats, plan.effort.timeout, plan.resume) == ("path", 2, 9.0, True)
            assert str(plan.out) == "there.json"
