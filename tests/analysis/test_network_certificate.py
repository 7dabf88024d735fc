import dataclasses

import numpy as np
import pytest

import cvxrelu as cr
from reference.datasets.prepare import breast_cancer
from tests.helpers.random_networks import random_network


def test_a_certificate_holds_for_one_network_only():
    """discopt#1285: a network changed after certification, here by a cast, needs a new certificate."""
    X, y = breast_cancer()
    network = random_network(X, 5, np.random.default_rng(0))
    certificate = cr.certify_network(network, X, y, 1e-2)
    cast = cr.ReLUNetwork(*(a.astype(np.float16).astype(np.float64) for a in (certificate.network.W1, network.w2)))
    other = cr.certify_network(cast, X, y, 1e-2)
    objective = other.network.objective(X, y, 1e-2)
    assert objective <= other.upper == pytest.approx(objective, rel=1e-12)  # rounded up
    assert other.upper != certificate.upper
    assert certificate.improved.objective(X, y, 1e-2) == pytest.approx(certificate.improved_objective, rel=1e-12)
    with pytest.raises(dataclasses.FrozenInstanceError):
        certificate.lower = certificate.upper
    with pytest.raises(ValueError, match="read-only"):
        certificate.network.W1[0] = 0.0
