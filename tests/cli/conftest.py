"""A run that several files look at."""

import pytest

from cvxrelu.cli.runs.demo import load_demo_split
from cvxrelu.cli.runs.solve import train_on_split
from cvxrelu.cli.settings import Kind, Settings


@pytest.fixture(scope="session")
def demo_run():
    return train_on_split(load_demo_split(0), Settings(Kind.RELU, 2, 1e-2))
