"""Hypothesis profiles, and options that count skipped tests by reason and run only those.

Continuous integration draws the same hypothesis examples in each run; other runs draw new ones.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from cvxrelu.numerics.gated_rounds import gated_rounds
from cvxrelu.numerics.group_lasso import descend
from cvxrelu.numerics.row_descent import descend_on_rows
from cvxrelu.runtime import interrupts

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
# The first failure kills a mutant (tests/mutants), so examples are not shrunk.
settings.register_profile("mutants", derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate])
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(autouse=True, scope="session")
def compiled_descent():
    """Compile block descent first, as solves differ, within tol, before and after."""
    descend.compile()
    descend_on_rows.compile()
    gated_rounds.compile()


@pytest.fixture(autouse=True)
def no_interrupt_before(monkeypatch):
    """Forget the Ctrl-C of earlier tests, so that each test's first counts as the first."""
    monkeypatch.setattr(interrupts._seen, "moment", float("-inf"))


def pytest_addoption(parser):
    group = parser.getgroup("skipped tests")
    group.addoption("--save-skipped", metavar="FILE", help="write the skipped tests to FILE")
    group.addoption("--only-skipped", metavar="FILE", help="run only the tests listed in FILE")


def pytest_collection_modifyitems(config, items):
    if config.option.only_skipped is None:
        return
    try:
        skipped = set(json.loads(Path(config.option.only_skipped).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise pytest.UsageError(f"there is no {config.option.only_skipped}: run 'make test' first") from None
    chosen = [item for item in items if {item.nodeid, item.nodeid.partition("::")[0]} & skipped]  # a test, or its file
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_terminal_summary(terminalreporter, config):
    reports = terminalreporter.stats.get("skipped", [])
    if config.option.save_skipped is not None:
        path = Path(config.option.save_skipped)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([report.nodeid for report in reports], indent=1), encoding="utf-8")
    if reports:
        counts = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
        terminalreporter.section(f"{len(reports)} skipped")
        for reason, count in counts.most_common():
            terminalreporter.write_line(f"{count:4d} {reason}")
