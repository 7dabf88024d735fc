"""Data with fewer rows than columns: solved in the row space, certified on the original data."""

import json
import subprocess
import sys

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.rounding import EPS
from cvxrelu.numerics.row_space import RowSpace
from cvxrelu.optimize.rotation import rotate
from cvxrelu.penalties.registry import get_penalty
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.normalization import normalize
from cvxrelu.solvers.cvxpy_solver import solve_cvxpy
from cvxrelu.solvers.working_set.data_products import DataProducts
from tests.helpers.cases import LOSSES, make_targets

SHAPES = ("random", "deficient", "degenerate", "scaled", "single")
INVARIANT = ("group_l1", "nuclear", "squared_l2", "none")


def wide_data(shape, seed=0):
    """Return X with n < d and each row three times, so that unpenalised optima are attained for all losses."""
    rng = np.random.default_rng(seed)
    if shape == "single":
        return rng.standard_normal((1, 4))
    rows = rng.standard_normal((3, 12))
    if shape == "deficient":
        rows[2] = rows[0] - 2.0 * rows[1]
    if shape == "degenerate":
        rows[1] = -rows[0]
        rows[:, 3] = 0.0
    X = np.repeat(rows, 3, axis=0)
    if shape == "degenerate":
        X[8] = 0.0
        X[5] *= 2.5
    return X * 10.0 ** rng.uniform(-1, 1, 12) if shape == "scaled" else X


def wide_problem(kind, loss="squared", penalty="group_l1", shape="random", c=1, ratio=0.1, seed=0):
    X = wide_data(shape, seed)
    y = (
        make_targets(loss, np.repeat(X, 3, axis=0), c, seed)[:1]
        if shape == "single"
        else make_targets(loss, X, c, seed)
    )
    patterns = cr.sample_patterns(X, 6, seed=seed + 1)
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls(X, y, patterns, 1.0, loss, penalty)
    lam_max = problem.lam_max()
    return problem.with_lam(ratio * (lam_max if np.isfinite(lam_max) else 1.0))


def solved_directly(problem, tol=1e-6):
    """Return the certificate of Clarabel's solution of the program in d columns."""
    limits = {"tol": tol, "max_iter": None, "time_limit": None, "verbose": False, "options": {}}
    raw = min(
        solve_cvxpy(problem, "CLARABEL", **limits),
        key=lambda raw: cr.certify(problem, raw.weights, DualPoint(raw.t, raw.multipliers, 0.0)).gap,
    )
    return cr.certify(problem, raw.weights, DualPoint(raw.t, raw.multipliers, 0.0))


def combinations():
    k = 0
    for kind in ("gated", "relu"):
        for loss in LOSSES:
            for penalty in INVARIANT:
                if penalty == "nuclear" and kind == "relu":
                    continue
                c = 3 if loss == "softmax" or k % 2 else 1
                shapes = SHAPES
                if penalty == "none" or (loss, penalty) == (
                    "softmax",
                    "nuclear",
                ):  # other shapes are too hard for the solvers
                    shapes = ("random", "degenerate")
                yield kind, loss, penalty, shapes[k % len(shapes)], c
                k += 1


@pytest.mark.filterwarnings("ignore::cvxrelu.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("kind", "loss", "penalty", "shape", "c"), list(combinations()))
def test_reduced_and_original_programs_have_the_same_optimum(kind, loss, penalty, shape, c):
    problem = wide_problem(kind, loss, penalty, shape, c)
    assert rotate(problem).problem.d == problem.n
    slow = penalty == "none" and loss == "softmax"  # for R-FISTA
    solution = cr.solve(problem, "CLARABEL" if slow else "auto", tol=1e-6)
    reference = solved_directly(problem)
    rounding = 1e-9 * max(1.0, abs(reference.upper))
    assert max(solution.lower, reference.lower) <= min(solution.objective, reference.upper) + rounding
    assert solution.certificate.rel_gap <= max(1e-6, 2.0 * reference.rel_gap) or solution.gap <= 1e-9
    # Only with group_l1 are blocks moved into the cones until all margins exceed rounding.
    assert problem.violation(solution.weights) <= (EPS if penalty == "squared_l2" else 0.0)
    assert problem.objective(solution.weights) == solution.objective
    assert solution.certificate.problem is problem


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_reduction_and_its_inverse_preserve_all_values(kind, shape):
    problem = wide_problem(kind, shape=shape, c=3)
    rotated = rotate(problem)
    rng = np.random.default_rng(1)
    inner = rotated.problem
    weights = inner.repair(inner.weights(rng.standard_normal(inner.blocks(inner.zero_weights()).shape)))
    outer = rotated.weights(weights)
    size = np.abs(problem.predict(outer)).max()
    assert problem.predict(outer) == pytest.approx(inner.predict(weights), abs=1e-12 * size)
    assert problem.objective(outer) == pytest.approx(inner.objective(weights), rel=1e-12)
    assert problem.violation(outer) <= 1e-12 * size
    back = rotated.start(outer)
    assert inner.blocks(back) == pytest.approx(inner.blocks(weights), abs=1e-12 * np.abs(inner.blocks(weights)).max())
    t = problem.gradient_point(outer)
    found, expected = problem.dual_point(t), inner.dual_point(t)
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert problem.lam_max() == pytest.approx(inner.lam_max(), rel=1e-9)


@pytest.mark.parametrize("penalty", ["l1", "feature_group_l1"])
@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_penalties_of_single_features_are_not_rotated(kind, penalty):
    problem = wide_problem(kind, penalty=penalty)
    assert rotate(problem).problem is problem
    assert rotate(problem.with_lam(0.0)).problem.d == problem.n  # no penalty at lam = 0


def test_square_data_are_not_reduced():
    X = np.random.default_rng(0).standard_normal((5, 5))
    problem = cr.ConvexReLU(X, X[:, 0], cr.sample_patterns(X, 4), lam=0.1)
    assert rotate(problem).problem is problem
    assert RowSpace.of(X) is None


@pytest.mark.parametrize("name", ["WorkingSet", "AugmentedLagrangian", "decompose", "CLARABEL"])
def test_every_relu_solver_works_in_the_row_space(name):
    problem = wide_problem("relu", ratio=0.3)
    best = cr.solve(problem, tol=1e-8)
    tol = {"AugmentedLagrangian": 1e-3, "decompose": 1.0}.get(name, 1e-6)
    solution = cr.solve(problem, name, tol=tol)
    assert solution.certificate.rel_gap <= tol
    assert solution.lower <= best.objective * (1 + 1e-9)
    assert problem.violation(solution.weights) == 0.0


def test_start_is_projected_onto_the_row_space():
    problem = wide_problem("relu")
    solution = cr.solve(problem, tol=1e-8)
    blocks = problem.blocks(solution.weights)
    orthogonal = np.linalg.svd(problem.X)[2][-1]  # orthogonal to all rows: longer weights with the same predictions
    moved = blocks + np.any(blocks, axis=-1, keepdims=True) * orthogonal
    again = cr.solve(problem, tol=1e-6, start=problem.weights(moved))
    assert again.n_iter < solution.n_iter
    assert again.objective == pytest.approx(solution.objective, rel=1e-6)


def test_float32_data_are_solved_in_float64():
    problem = wide_problem("relu")
    single = cr.ConvexReLU(problem.X.astype(np.float32), problem.y, problem.patterns, problem.lam)
    solution = cr.solve(single, tol=1e-8)
    assert solution.status == "optimal"  # in float64: the row space is small
    assert single.violation(solution.weights) == 0.0


def test_singular_patterns_and_masks_without_gates():
    X = wide_data("degenerate")
    D = cr.sample_patterns(X, 6, seed=0).D.copy()
    D[:6, 0] = True  # opposite rows, both active
    problem = cr.ConvexReLU(X, np.arange(9.0), cr.ActivationPatterns(D), lam=0.01)
    assert problem.patterns.is_singular(X)[0]
    solution = cr.solve(problem, tol=1e-6)
    reference = solved_directly(problem)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(reference.upper, rel=1e-5)
    assert problem.violation(solution.weights) <= 1e-12


@pytest.mark.parametrize("method", ["socp", "l2", "l1", "feasible", "pinv", "witness", "approximate"])
def test_decompositions_of_wide_data(method):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 200))
    problem = cr.ConvexReLU(X, X[:, 0], cr.sample_patterns(X, 5, seed=0), lam=0.01)
    U = rng.standard_normal((1, len(problem.patterns), 200))
    V, W = cr.decompose(problem, U, method)
    assert np.abs(V - W - U).max() <= 1e-14 * np.abs(V).max()
    assert problem.violation((V, W)) == 0.0


def test_rounded_and_portable_certificates_of_wide_data(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 300))
    y = np.abs(X[:, 0])
    problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, 20, seed=0), lam=0.01)
    solution = cr.solve(problem)
    certificate = cr.certify(problem, solution, rigor="rounded")
    assert certificate.rel_gap <= 2e-6
    certificate.save(tmp_path / "wide.cert")
    loaded = cr.load_certificate(tmp_path / "wide.cert")
    for interval in (False, True):
        verdict = loaded.verify(X, y, lam=0.01, interval=interval)
        assert verdict.lower == pytest.approx(certificate.lower, rel=1e-9)
        assert verdict.upper == pytest.approx(certificate.upper, rel=1e-9)


def test_margins_stay_non_negative_in_any_order_of_summation():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((15, 500))
    problem = cr.ConvexReLU(X, np.abs(X[:, 0]), cr.sample_patterns(X, 20, seed=0), lam=0.01)
    blocks = problem.blocks(cr.solve(problem).weights)
    signs = np.where(problem.patterns.D, 1.0, -1.0)
    for _ in range(5):
        order = rng.permutation(500)
        for side in blocks:
            products = np.array([[np.add.reduce(x[order] * w[order]) for w in side[0]] for x in X])
            assert (signs * products >= 0.0).all()


_MEASURED = """
import json, resource, sys
import numpy as np
import cvxrelu as cr
rng = np.random.default_rng(0)
X = rng.standard_normal((60, 20_000))
y = np.abs(X[:, 0]) + X[:, 1]
name = sys.argv[1]
model = getattr(cr, name)(random_state=0).fit(X, y > np.median(y) if "Classifier" in name else y)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([model.certificate_.rel_gap, model.score(X, y > np.median(y) if "Classifier" in name else y), peak]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ConvexReLURegressor", "ConvexReLUClassifier", "GatedReLURegressor", "GatedReLUClassifier"]
)
def test_sixty_rows_of_twenty_thousand_features_in_less_than_a_gigabyte(name):
    out = subprocess.run([sys.executable, "-c", _MEASURED, name], capture_output=True, text=True, check=True).stdout
    rel_gap, score, kilobytes = json.loads(out)
    assert rel_gap <= 1e-6
    assert score > 0.99
    assert kilobytes < 2**20


# --- several lams -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("shape", ["random", "scaled"])
def test_reduced_data_are_shared_by_all_lam(kind, shape):
    problem, reduced = wide_problem(kind, shape=shape), []
    for lam in (0.5, 0.1, 0.2):
        problem = problem.with_lam(lam * problem.lam_max())
        normal = normalize(problem).problem
        reduced.append(rotate(normal).problem)
        assert reduced[-1].lam == normal.lam
    assert all(each.X is reduced[0].X and each.patterns is reduced[0].patterns for each in reduced)


def test_other_problems_do_not_take_the_reduced_data():
    """Of other targets, patterns, penalties that are not invariant, or another kind of problem."""
    problem = wide_problem("gated")
    reduced = rotate(problem).problem
    other = rotate(problem.replace(y=2.0 * problem.y)).problem
    np.testing.assert_array_equal(other.y, 2.0 * reduced.y)
    assert len(rotate(problem.restrict(np.array([0, 1]))).problem.patterns) == 2
    assert rotate(problem.replace(penalty=get_penalty("l1"))).space is None
    assert isinstance(rotate(cr.ConvexReLU.of(problem)).problem, cr.ConvexReLU)


@pytest.mark.parametrize("scale", [1.0, 64.0])
def test_paths_of_wide_data_compute_products_once(monkeypatch, scale):
    """Every point is as good as a solve from nothing, on the data as given."""
    made = []
    init = DataProducts.__init__
    monkeypatch.setattr(DataProducts, "__init__", lambda self, X: made.append(X) or init(self, X))
    rng = np.random.default_rng(0)
    X = scale * rng.standard_normal((15, 40))
    problem = cr.ConvexGatedReLU(X, rng.standard_normal(15), cr.sample_patterns(X, 20, seed=0))
    path = cr.regularization_path(problem, n_lams=12, eps=0.01, tol=1e-6, solver="WorkingSet")
    assert len(made) == 1
    for lam, solution in zip(path.lams, path.solutions, strict=True):
        here = cr.ConvexGatedReLU(X, problem.y, problem.patterns, lam=float(lam))
        assert cr.certify(here, solution).rel_gap <= 1e-6
        assert solution.objective == pytest.approx(cr.solve(here, "WorkingSet", tol=1e-8).objective, rel=2e-6)
