"""The literal cone decompositions: optimal at their objectives, closed forms, singular patterns."""

import math

import numpy as np
import pytest

from reference import programs as ref
from tests.helpers.literal_programs import solve

EXACT = {"socp": ref.cd_socp, "l2": ref.cd_l2, "l1": ref.cd_l1, "feasible": ref.cd_feasible}


def block_outside_its_cone(n=9, d=3, seed=3):
    """X, the pattern of a gate, and a block u that is neither in its cone nor in the opposite one."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    gate, u = rng.standard_normal((2, d))
    pattern = X @ gate >= 0
    Xt = np.where(pattern, 1, -1)[:, np.newaxis] * X
    assert (Xt @ u).min() < -0.1
    assert (Xt @ -u).min() < -0.1
    return X, pattern, u, Xt


def test_exact_decompositions_lie_in_the_cone_and_each_is_best_at_its_own_objective():
    X, pattern, u, Xt = block_outside_its_cone()
    points = {}
    for name, build in EXACT.items():
        program = solve(build(X, pattern, u))
        v, w = program.v.value, program.w.value
        np.testing.assert_allclose(v - w, u, atol=1e-7)
        assert min((Xt @ v).min(), (Xt @ w).min()) > -1e-7
        points[name] = v, w
    objectives = {
        "socp": lambda v, w: np.linalg.norm(v) + np.linalg.norm(w),
        "l2": lambda v, w: v @ v + w @ w,
        "l1": lambda v, w: np.abs(v).sum() + np.abs(w).sum(),
    }
    for name, objective in objectives.items():
        best = objective(*points[name])
        assert solve(EXACT[name](X, pattern, u)).value == pytest.approx(best, rel=1e-6)
        for other in points.values():
            assert best <= objective(*other) + 1e-6


def test_a_block_in_its_cone_is_left_alone():
    X, pattern, _, _ = block_outside_its_cone()
    u = np.random.default_rng(3).standard_normal((9 + 1, 3))[9]  # the gate that made the pattern
    program = solve(ref.cd_socp(X, pattern, u))
    assert program.value == pytest.approx(np.linalg.norm(u), rel=1e-6)
    np.testing.assert_allclose(program.w.value, 0, atol=1e-6)


def test_a_singular_pattern_has_no_decomposition():
    X, pattern, u = np.array([[1.0, 0.5], [-1.0, -0.5]]), np.array([True, True]), np.array([1.0, 0.0])
    for build in EXACT.values():
        problem = build(X, pattern, u).problem
        problem.solve(solver="CLARABEL")
        assert problem.status == "infeasible"


def test_full_row_rank_closed_form_is_feasible_for_cd_socp():
    X, pattern, u, Xt = block_outside_its_cone(n=4, d=5, seed=1)
    w = np.linalg.pinv(Xt) @ np.maximum(-Xt @ u, 0)
    v = u + w
    assert min((Xt @ v).min(), (Xt @ w).min()) > -1e-12
    best = solve(ref.cd_socp(X, pattern, u)).value
    assert np.linalg.norm(u) < best <= np.linalg.norm(v) + np.linalg.norm(w) + 1e-7


def test_approximate_decomposition_reaches_the_cone_as_rho_vanishes():
    X, pattern, u, Xt = block_outside_its_cone()
    size = np.linalg.norm(solve(ref.cd_socp(X, pattern, u)).w.value)
    violations = []
    for rho in (1e3, 1e-2, 1e-4):
        program = solve(ref.cd_approximate(X, pattern, u, rho))
        v, w = program.v.value, program.w.value
        np.testing.assert_allclose(v - w, u, atol=1e-12)
        squares = sum((np.maximum(-Xt @ z, 0) ** 2).sum() for z in (v, w))
        assert program.value == pytest.approx(squares / 2 + rho * np.linalg.norm(w), rel=1e-5, abs=1e-8)
        assert program.value <= rho * size + 1e-8  # the exact decomposition is one candidate
        violations.append(math.sqrt(squares))
        if rho == 1e3:
            np.testing.assert_allclose(w, 0, atol=1e-7)
    assert violations[0] > 10 * violations[1] > 100 * violations[2] > 0
