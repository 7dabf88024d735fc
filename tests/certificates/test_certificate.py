import functools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.certificates import certificate as certificates
from cvxrelu.certificates.certificate import with_dual_point
from cvxrelu.certificates.rounded_bounds import is_exact, value_below
from cvxrelu.numerics.gaps import contradict
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.normalization import Normalized, normalize
from tests.helpers.cases import all_cases, make_problem, random_weights

CASES = list(all_cases())


@pytest.fixture(scope="module")
def solved():
    """A gated and a ReLU problem with their solutions, certified to 1e-7."""
    problems = [make_problem(kind, shape="collinear", ratio=0.05) for kind in ("gated", "relu")]
    return [(problem, cr.solve(problem, "CLARABEL", tol=1e-7)) for problem in problems]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_certificate_from_weights_alone(case):
    """Weights and data suffice for a small gap, without the solver's dual."""
    problem = case.build()
    solution = cr.solve(problem, "CLARABEL", tol=1e-6 if case.penalty == "none" else 1e-8)
    certificate = cr.certify(problem, solution.weights)
    assert certificate.upper == solution.objective
    assert certificate.lower <= solution.objective
    assert certificate.rel_gap <= 1e-3
    assert certificate.kkt_residual <= 1e-4


@functools.cache
def with_reference(case):
    problem = case.build()
    return problem, cr.solve(problem)


@settings(max_examples=50)
@given(st.sampled_from(CASES), st.integers(0, 2**32 - 1))
def test_bounds_hold_for_random_weights_and_duals(case, seed):
    rng = np.random.default_rng(seed)
    problem, reference = with_reference(case)
    blocks = rng.standard_normal(problem.blocks(problem.zero_weights()).shape) * 10.0 ** rng.integers(-8, 2)
    weights = problem.weights(blocks + rng.integers(2) * problem.blocks(reference.weights))
    t = reference.dual.t * rng.choice([-1.0, 1.0, 50.0]) + 1e-3 * rng.standard_normal(problem.Y.shape)
    certificate = cr.certify(problem, weights, t)
    rounding = 1e-10 * max(1.0, abs(certificate.upper))
    assert certificate.lower <= reference.objective + rounding
    assert certificate.upper >= reference.lower - rounding
    assert certificate.lower <= certificate.upper
    assert problem.violation(certificate.weights) <= 1e-12 * max(1.0, np.abs(blocks).max())
    point = certificate.dual
    assert problem.dual_objective(point.t, point.multipliers) >= certificate.lower - rounding


def test_a_perturbed_solution_is_not_optimal(solved):
    rng = np.random.default_rng(0)
    for problem, solution in solved:
        blocks = problem.blocks(solution.weights)
        perturbed = problem.weights(blocks + 0.05 * np.abs(blocks).max() * rng.standard_normal(blocks.shape))
        certificate = cr.certify(problem, perturbed, solution.dual)
        assert certificate.upper > solution.objective
        assert certificate.rel_gap > 1e-4
        assert certificate.lower == pytest.approx(solution.lower, rel=1e-9)
        assert certificate.kkt_residual > 1e-3


def test_small_perturbations_widen_the_gap(solved):
    for problem, solution in solved:
        for size in (1e-1, 1e-2, 1e-3):
            blocks = problem.blocks(solution.weights)
            scaled = problem.weights(blocks * (1 + size))
            certificate = cr.certify(problem, scaled, solution.dual)
            assert certificate.gap >= problem.objective(scaled) - solution.objective > 0.0


def test_a_violated_cone_is_measured_and_repaired(solved):
    problem, solution = solved[1]
    V, W = (part.copy() for part in solution.weights)
    i = int(np.argmax(np.linalg.norm(V[0], axis=1)))
    V[0, i] = -V[0, i]
    certificate = cr.certify(problem, (V, W))
    assert certificate.max_violation == problem.violation((V, W)) > 0.01
    assert problem.violation(certificate.weights) == 0.0
    # The objective of the infeasible point may be below the optimum, so it is not the upper bound.
    assert certificate.upper == problem.objective(certificate.weights) > solution.objective


def test_an_infeasible_point_below_the_optimum_is_repaired():
    problem = make_problem("relu", ratio=0.02)
    gated = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam)
    U = cr.solve(gated).weights
    fake = (np.maximum(U, 0.0), np.maximum(-U, 0.0))
    fake = (U, np.zeros_like(U))  # feasible for the relaxation only
    optimum = cr.solve(problem)
    assert problem.objective(fake) < optimum.lower
    certificate = cr.certify(problem, fake)
    assert certificate.max_violation > 1e-3
    assert certificate.upper >= optimum.lower
    assert certificate.lower <= optimum.objective


def test_an_infeasible_dual_point_is_scaled(solved):
    for problem, solution in solved:
        inflated = 1.5 * solution.dual.t
        assert problem.dual_objective(inflated) == -np.inf
        assert -problem.loss.conjugate(inflated, problem.Y) > -np.inf
        certificate = cr.certify(problem, solution.weights, inflated)
        assert certificate.lower <= solution.objective
        assert certificate.lower == pytest.approx(solution.lower, rel=1e-6)


def test_a_forged_dual_value_is_ignored(solved):
    for problem, solution in solved:
        forged = cr.DualPoint(solution.dual.t, solution.dual.multipliers, value=1e9)
        certificate = cr.certify(problem, solution.weights, forged)
        assert certificate.lower <= certificate.upper
        useless = cr.DualPoint(np.ones((problem.n, 1)), solution.dual.multipliers, value=solution.objective)
        assert cr.certify(problem, problem.zero_weights(), useless).lower < 0.9 * solution.objective


def test_a_solution_is_certified_by_its_weights(solved):
    for problem, solution in solved:
        harder = problem.with_lam(2 * problem.lam)
        certificate = cr.certify(harder, solution)
        assert certificate.upper == harder.objective(solution.weights)
        assert certificate.rel_gap > 1e-3


def test_bad_weights_and_duals(solved):
    problem, solution = solved[0]
    with pytest.raises(ValueError, match="U must be finite"):
        cr.certify(problem, np.full_like(solution.weights, np.nan))
    with pytest.raises(ValueError, match="U must have shape"):
        cr.certify(problem, solution.weights[:, :-1])
    with pytest.raises(ValueError, match="t must be finite"):
        cr.certify(problem, solution.weights, np.full(problem.n, np.inf))
    with pytest.raises(TypeError, match=r"pair \(V, W\)"):
        cr.certify(solved[1][0], solution)


def test_contradicting_bounds_raise(solved, monkeypatch):
    problem, solution = solved[0]
    understated = 0.5 * solution.objective
    monkeypatch.setattr(
        type(problem), "objective_and_gradient", lambda self, weights: (understated, self.gradient_point(weights))
    )
    with pytest.raises(cr.CertificateError, match="exceeds upper bound"):
        cr.certify(problem, solution)


def test_kkt_residual_vanishes_only_at_the_optimum(solved):
    for problem, solution in solved:
        assert solution.certificate.kkt_residual < 1e-4
        assert cr.certify(problem, problem.zero_weights()).kkt_residual > 1e-2


def test_kkt_residual_includes_complementarity():
    """Multipliers of rows with positive activation count even if the prox residual is zero."""
    problem = make_problem("relu")
    weights = random_weights(problem, np.random.default_rng(0))
    blocks = problem.blocks(weights)
    argument = problem.lam * blocks / np.maximum(np.linalg.norm(blocks, axis=-1, keepdims=True), 1e-300)
    none = problem.check_multipliers(np.zeros((blocks[..., 0].size, problem.n)))
    some = problem.check_multipliers(np.full((blocks[..., 0].size, problem.n), 0.1))
    assert certificates._kkt_residual(problem, weights, argument, none) <= 1e-12
    assert certificates._kkt_residual(problem, weights, argument, some) > 1e-3


def test_a_certificate_states_what_it_proves(solved):
    certificate = solved[1][1].certificate
    assert certificate.scope == "patterns"
    assert certificate.rigor == "floating_point"
    assert certificate.gap == certificate.upper - certificate.lower
    assert certificate.rel_gap == certificate.gap / certificate.upper
    text = str(certificate)
    for word in ("upper bound", "lower bound", "gap", "violation", "KKT", "scope", "given patterns"):
        assert word in text


def test_relative_gap_of_zero_problems():
    problem = make_problem("gated")
    zero = type(problem)(problem.X, 0 * problem.y, problem.patterns, problem.lam)
    certificate = cr.certify(zero, zero.zero_weights())
    assert (certificate.lower, certificate.upper, certificate.rel_gap) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_contradicting_bounds_are_detected_in_any_unit_of_the_targets(unit):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), unit * rng.standard_normal(20)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 5, seed=0), 0.01 * unit)
    certificate = cr.solve(problem).certificate
    above = replace(certificate.dual, value=certificate.upper * (1 + 1e-6))
    with pytest.raises(cr.CertificateError, match="exceeds upper bound"):
        with_dual_point(certificate, above)
    assert with_dual_point(certificate, certificate.dual).lower == certificate.lower


def test_within_a_tolerance(solved):
    """A relative gap of 1/2 is within 1/2 and nothing smaller; a gap below the resolution is within any tolerance."""
    certificate = cr.certify(solved[0][0], solved[0][1])
    wide = replace(certificate, lower=1.0, upper=2.0)
    assert not wide.within(0.49)
    assert wide.within(0.5)
    resolution = certificate.problem.resolution
    assert 0.0 < resolution < 1e-15
    near = replace(certificate, lower=0.0, upper=resolution)
    assert near.rel_gap == 1.0
    assert near.within(1e-9)
    assert not replace(near, upper=4.0 * resolution).within(1e-9)


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_bounds_contradict_each_other_beyond_rounding_of_the_objective_at_zero(size):
    problem = make_problem("gated")
    problem = cr.ConvexGatedReLU(problem.X, size * problem.y, problem.patterns, 1.0)
    at_zero = problem.objective(problem.zero_weights())
    assert problem.value_at_zero == at_zero
    assert not contradict(0.5e-6 * at_zero, 0.0, problem.value_at_zero, rounding=1e-6)
    assert contradict(2e-6 * at_zero, 0.0, problem.value_at_zero, rounding=1e-6)


def test_the_solvers_workspace_is_used(solved):
    asked = []

    class Noted(DualWorkspace):
        def adjoint(self, *arguments):
            asked.append(arguments)
            return super().adjoint(*arguments)

    problem, solution = solved[1]
    certificate = certificates.certify_solved(problem, solution.weights, solution.dual, Noted())
    assert asked
    assert certificate.upper == cr.certify(problem, solution.weights).upper


@pytest.mark.parametrize("exponent", [3, -3, -530])
@pytest.mark.parametrize("value", [1.0 + 2.0**-52, 1.0 / 3.0, -1.0 / 3.0, 0.0])
def test_a_bound_in_the_units_of_the_data_is_the_largest_number_below(exponent, value):
    """At 2^-1060 most digits are lost; elsewhere none."""
    exact = Fraction(value) * Fraction(4) ** exponent
    bound = value_below(Normalized(make_problem("gated"), 0, exponent), value)
    assert Fraction(bound) <= exact < Fraction(np.nextafter(bound, np.inf))


def test_what_is_rounded_on_the_way_to_ordinary_data_is_noticed():
    """A number that is lost beside a large one, in X, in y or in the weights of either."""
    ones, D = np.ones((2, 2)), np.ones((2, 1), dtype=bool)
    spread = np.array([[1e300, 1e-300], [1e300, 1e300]])
    for X, y, U, exact in (
        (ones, ones[0], ones[:1], True),
        (1e200 * ones, 1e-200 * ones[0], 1e-300 * ones[:1], True),
        (spread, ones[0], ones[:1], False),
        (ones, spread[0], ones[:1], False),
        (ones, 1e200 * ones[0], spread[:1], False),
    ):
        problem = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(D), 1.0)
        assert is_exact(normalize(problem), problem, U[None]) is exact
