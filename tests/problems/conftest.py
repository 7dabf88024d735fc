"""Shared fixtures."""

import pytest

import cvxrelu as cr
from tests.helpers.cases import make_data, make_targets


@pytest.fixture
def data():
    X = make_data("tall")
    return X, make_targets("squared", X, 1)[:, 0], cr.sample_patterns(X, 5)
