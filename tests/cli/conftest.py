"""A run that several files look at, and a demonstration that takes less time."""

from dataclasses import replace

import pytest

from cvxrelu.cli.data.tables import split_table
from cvxrelu.cli.runs import demo
from cvxrelu.cli.runs.solve import train_on_split
from cvxrelu.cli.settings import Kind, Settings


@pytest.fixture(scope="session")
def demo_run():
    return train_on_split(demo.load_demo_split(0), Settings(Kind.RELU, 2, 1e-2))


@pytest.fixture
def small_demo(monkeypatch):
    """A demonstration of 80 rows of 4 features."""
    table = demo.load_demo_split(0).table
    few = replace(table, X=table.X[:80, :4], y=table.y[:80], features=table.features[:4])
    monkeypatch.setattr(demo, "load_demo_split", lambda seed: split_table(few, 0.2, seed))
