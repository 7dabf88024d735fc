"""After a cast, a polish, pruning or rescaling, the certificate is recomputed for the result."""

import dataclasses
import warnings

import numpy as np
import pytest

import cvxrelu as cr

rng = np.random.default_rng(5)
X = np.column_stack([rng.standard_normal((40, 3)) * [1.0, 20.0, 0.1], np.ones(40)])
Y = np.abs(X[:, 0]) - 0.05 * X[:, 1] + 0.1 * rng.standard_normal(40)
PROBLEM = cr.ConvexReLU(X, Y, cr.sample_patterns(X, 30, seed=0), 0.02)
SOLUTION = cr.solve(PROBLEM, tol=1e-9)


def cast(problem, weights):
    return problem, tuple(part.astype(np.float32).astype(np.float64) for part in weights)


def round_to_a_tenth(problem, weights):
    return problem, tuple(np.round(part, 1) for part in weights)


def pruned(problem, weights):
    return problem, cr.prune(problem, weights)


def polished(problem, weights):
    return problem, cr.solve(problem, tol=1e-11, start=weights).weights


def decomposed(problem, weights):
    gated = cr.solve(cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam))
    return problem, cr.decompose(problem, gated)


def scaled_back(problem, weights):
    scaling = cr.ColumnScaling.fit(problem.X)
    solution = cr.solve(scaling.problem(problem))
    return problem, scaling.weights(solution.weights)


def through_a_network(problem, weights):
    patterns, back = cr.to_convex(cr.to_network(problem, weights), problem.X)
    return cr.ConvexReLU(problem.X, problem.y, patterns, problem.lam), back


CHANGES = [cast, round_to_a_tenth, pruned, polished, decomposed, scaled_back, through_a_network]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_bounds_are_those_of_the_result(change, tmp_path):
    problem, weights = change(PROBLEM, SOLUTION.weights)
    certificate = cr.certify(problem, weights)
    network = cr.to_network(problem, certificate.weights)
    assert certificate.upper == pytest.approx(network.objective(X, Y, 0.02), rel=1e-12)
    assert problem.violation(certificate.weights) == 0.0
    assert certificate.lower <= SOLUTION.objective * (1 + 1e-12) <= certificate.upper * (1 + 1e-8)
    certificate.save(tmp_path / "result.cert")
    verdict = cr.load_certificate(tmp_path / "result.cert").verify(X, Y)
    assert verdict.upper == pytest.approx(certificate.upper, rel=1e-12)


@pytest.mark.parametrize("change", [round_to_a_tenth, decomposed, scaled_back], ids=lambda change: change.__name__)
def test_bounds_of_the_original_are_not_in_the_file_of_the_result(change, tmp_path):
    _, weights = change(PROBLEM, SOLUTION.weights)
    carried = dataclasses.replace(SOLUTION.certificate, weights=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cr.ConvergenceWarning)  # the gap of the result may be larger
        carried.save(tmp_path / "carried.cert")
    loaded = cr.load_certificate(tmp_path / "carried.cert")
    verdict = loaded.verify(X, Y)
    assert PROBLEM.violation(loaded.weights) <= 1e-12
    assert verdict.upper == pytest.approx(PROBLEM.objective(loaded.weights), rel=1e-12)
    assert verdict.lower == pytest.approx(SOLUTION.lower, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_global_scope_of_a_network_that_was_cast(dtype):
    """The lower bound does not change; the upper bound is the objective of the cast network."""
    best = cr.solve_global(X, Y, 0.02)
    network = best.network()
    small = cr.ReLUNetwork(*(part.astype(dtype).astype(np.float64) for part in (network.W1, network.w2)))
    certificate = cr.certify_network(small, X, Y, 0.02, scope="global", solve=False)
    assert certificate.objective_given == small.objective(X, Y, 0.02) > best.objective
    assert certificate.objective_given * (1 + 1e-12) >= certificate.upper  # which is rounded up
    assert certificate.lower <= best.objective
    solved = cr.certify_network(small, X, Y, 0.02, scope="global")
    assert solved.lower == pytest.approx(best.objective, rel=2e-6)
    assert solved.upper == certificate.upper
