"""The judge of rounded certificates accepts honest ones and refuses those that are wrong in the last digits."""

import argparse
from dataclasses import replace

import numpy as np
import pytest

import cvxrelu as cr
from reference.rounded import run as command
from reference.rounded.judge import faults
from tests.helpers.cases import make_problem


@pytest.mark.parametrize("scope", ["patterns", "global"])
def test_certificates_that_are_wrong_by_rounding_are_refused(scope):
    if scope == "global":
        rng = np.random.default_rng(0)
        certificate = cr.solve_global(rng.standard_normal((6, 2)), rng.standard_normal(6), 0.1).certificate
    else:
        problem = make_problem("relu")
        certificate = cr.certify(problem, cr.solve(problem), rigor="rounded")
    assert faults(certificate) == []
    dual = certificate.dual
    wrong = {
        "lower bound": {"lower": certificate.upper * (1 + 1e-9)},
        "upper bound": {"upper": certificate.upper * (1 - 1e-12)},
        "largest" if scope == "global" else "infeasible": {"dual": replace(dual, t=dual.t * (1 + 1e-6))},
        "rigor": {"rigor": "floating_point"},
    }
    for word, changes in wrong.items():
        assert any(word in fault for fault in faults(replace(certificate, **changes))), word


def test_rounded_bounds_hold_in_exact_arithmetic():
    text = command.run(argparse.Namespace(cases=20, first=10**6, n_jobs=1))
    assert "total" in text


def test_a_broken_bound_ends_the_command(monkeypatch):
    monkeypatch.setattr(command, "faults", lambda certificate: ["lower bound is above"])
    with pytest.raises(SystemExit, match="lower bound is above"):
        command.run(argparse.Namespace(cases=2, first=0, n_jobs=1))
