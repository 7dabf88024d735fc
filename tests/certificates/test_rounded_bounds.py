"""Compare certificates of rigor "rounded" with rational arithmetic, and with 80 digits for roots and logarithms."""

import ctypes
import platform
from decimal import localcontext

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.certificates import rounded_bounds as rounded
from cvxrelu.losses.squared import Squared
from cvxrelu.numerics.rounding import dot_radius
from cvxrelu.penalties.group_norms import GroupL1
from reference.rationals import rational
from tests.helpers.cases import Case, all_cases, make_problem, random_weights
from tests.helpers.exact_objectives import assert_proven, exact_dual_objective, exact_objective

CASES = [case for case in all_cases() if case.penalty not in ("none", "nuclear")]
CASES += [type(case)("gated", case.loss, "nuclear", "tall", 2) for case in CASES[::4] if case.loss != "softmax"]
UNREGULARISED = [case for case in all_cases() if case.penalty == "none"]
NASTY = ("cancelling", "tiny", "huge", "subnormal", "columns", "float32", "rows")


def nasty_problem(case, kind, seed):
    """Return the problem of a case with ill-conditioned data of one kind, and a matching lam."""
    rng = np.random.default_rng(seed)
    problem = case.build()
    X, y = problem.operator.X.copy(), problem.Y.copy()
    fits = case.loss in ("squared", "huber")
    G, scale = problem.patterns.G, 1.0
    if kind == "cancelling":
        X[:, -1] = X[:, 0] * (1 + 1e-15 * rng.standard_normal(len(X)))
        y += 1e8 * fits
        G = None
    elif kind in ("tiny", "huge", "subnormal"):
        scale = {"tiny": 1e-150, "huge": 1e150, "subnormal": 1e-315}[kind]
        X *= scale
        y *= scale if fits and rng.integers(2) else 1.0
    elif kind == "columns":
        scales = 10.0 ** rng.integers(-12, 13, X.shape[1])
        X *= scales
        G = G / scales[:, None]
    elif kind == "rows":
        X *= 10.0 ** rng.integers(-12, 13, (len(X), 1))
    if kind == "float32":
        X, G = X.astype(np.float32), None
    patterns = cr.ActivationPatterns(problem.patterns.D, G)
    spoiled = type(problem)(X, y if case.c > 1 else y[:, 0], patterns, 1.0, case.loss, case.penalty)
    size = np.abs(spoiled.operator.adjoint(spoiled.loss.gradient(np.zeros_like(y), y))).max()
    return spoiled.with_lam(max(0.1 * float(size), 1e-300))


def test_data_whose_squares_overflow_are_proven_after_normalisation():
    problem = make_problem("gated")
    ordinary = cr.certify(problem, problem.zero_weights(), rigor="rounded")
    x, y = 2.0**600, 2.0**400
    huge = cr.ConvexGatedReLU(x * problem.X, y * problem.y, problem.patterns, x * y * problem.lam)
    certificate = cr.certify(huge, huge.zero_weights(), rigor="rounded")
    assert certificate.upper == y**2 * ordinary.upper
    assert certificate.lower == pytest.approx(y**2 * ordinary.lower, rel=1e-12)
    assert certificate.lower > 0.0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rounded_bounds_of_solutions_are_hardly_wider(case):
    problem = case.build()
    solution = cr.solve(problem, tol=1e-6)
    plain, certificate = solution.certificate, cr.certify(problem, solution, rigor="rounded")
    assert_proven(certificate)
    scale = 1e-11 * plain.upper
    assert plain.upper - 1e-13 * plain.upper <= certificate.upper <= plain.upper + scale
    assert plain.lower - scale <= certificate.lower <= plain.lower + 1e-13 * plain.upper
    assert "hold in spite of all rounding errors" in str(certificate)


@settings(max_examples=60)
@given(st.sampled_from(CASES), st.sampled_from(NASTY), st.integers(0, 2**32 - 1))
@example(Case("relu", "huber", "group_l1", "collinear", 3, 0.1), "huge", 0)  # its gradient is scaled, and clipped back
def test_bounds_hold_on_nasty_data(case, kind, seed):
    problem = nasty_problem(case, kind, seed)
    rng = np.random.default_rng(seed)
    size = max(np.abs(problem.operator.X).max(), 1e-150)
    blocks = rng.standard_normal(problem.blocks(problem.zero_weights()).shape) / size ** rng.integers(2)
    blocks *= np.abs(problem.Y).max() * 10.0 ** rng.integers(-16, 3)
    blocks[rng.random(blocks.shape[:-1]) < 0.5] = 0.0
    try:
        assert_proven(cr.certify(problem, problem.weights(blocks), rigor="rounded"))
    except ValueError as error:
        if kind != "huge" or "overflows" not in str(error):
            raise


@settings(max_examples=30)
@given(st.sampled_from(CASES), st.integers(-12, 12), st.integers(0, 2**32 - 1))
def test_any_dual_variable_is_made_exactly_feasible(case, exponent, seed):
    problem = case.build()
    t = 10.0**exponent * np.random.default_rng(seed).standard_normal(problem.Y.shape)
    moved = problem.loss.into_domain(t, problem.Y)
    candidate = rounded.feasible_dual(problem, problem.dual_point(t))
    with localcontext() as context:
        context.prec = 80
        assert 0.0 <= candidate.value <= exact_dual_objective(problem, candidate)
        # The domain by itself, with a penalty that allows every argument.
        free = type(problem)(problem.X, problem.y, problem.patterns, 1e30, problem.loss, "l1")
        point = cr.DualPoint(moved, free.dual_point(0.0 * t).multipliers, 0.0)
        assert -problem.loss.conjugate_above(moved, problem.Y) <= exact_dual_objective(free, point)


@pytest.mark.parametrize("case", CASES[::5], ids=str)
def test_a_dual_point_that_is_not_feasible_is_shrunk(case):
    problem = case.build()
    point = cr.solve(problem, tol=1e-4).dual
    for excess in (1e-15, 1e-13, 1e-10, 1.0, 1e200):
        inflated = cr.DualPoint(point.t * (1 + excess), point.multipliers, point.value)
        candidate = rounded.feasible_dual(problem, inflated)
        with localcontext() as context:
            context.prec = 80
            assert 0.0 <= candidate.value <= exact_dual_objective(problem, candidate)


@pytest.mark.parametrize("seed", range(40))
def test_a_dual_norm_within_its_own_rounding(seed):
    """If lam is of the size of the rounding of A't, the computed dual norm is unreliable."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((60, 3)), rng.standard_normal(60)
    t = (X @ np.linalg.lstsq(X, y)[0] - y) / 60
    patterns = cr.ActivationPatterns(np.ones((60, 1), dtype=bool))
    problem = cr.ConvexGatedReLU(X, y, patterns, 1e-17)
    candidate = rounded.feasible_dual(problem, cr.DualPoint(t[:, None], None, 0.0))
    with localcontext() as context:
        context.prec = 80
        assert 0.0 <= candidate.value <= exact_dual_objective(problem, candidate)


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
@pytest.mark.parametrize("seed", range(5))
def test_blocks_that_cancel(loss, seed):
    """Large blocks of one pattern that cancel: most digits of the prediction are rounding."""
    rng = np.random.default_rng(seed)
    problem = make_problem("gated", loss, seed=seed).with_lam(0.0)
    D = np.repeat(np.asarray(problem.patterns.D)[:, :1], 3, axis=1)
    problem = cr.ConvexGatedReLU(problem.X, problem.y, cr.ActivationPatterns(D), 0.0, loss)
    U = 1e9 * rng.standard_normal((1, 3, problem.d))
    U[0, 2] = rng.standard_normal(problem.d) - U[0, 0] - U[0, 1]
    with localcontext() as context:
        context.prec = 80
        exact = exact_objective(problem, U)
        assert exact <= rounded.objective_above(problem, U) <= float(exact) * (1 + 1e-3)


@settings(max_examples=60)
@given(st.sampled_from(["squared", "huber", "logistic", "softmax"]), st.integers(-9, 3), st.integers(0, 2**32 - 1))
def test_loss_above_holds_for_all_predictions_within_the_radius(name, exponent, seed):
    rng = np.random.default_rng(seed)
    problem = make_problem("gated", name, c=3)
    f, radius = 10.0**exponent * rng.standard_normal((2, *problem.Y.shape))
    bound = problem.loss.value_above(f, np.abs(radius), problem.Y)
    for _ in range(5):
        other = f + radius * rng.choice([-0.999999, 0.999999], radius.shape)
        assert problem.loss.value(other, problem.Y) <= bound
    assert problem.loss.value_above(f, np.zeros_like(f), problem.Y) <= problem.loss.value(f, problem.Y) * (1 + 1e-9)


@pytest.mark.parametrize("case", UNREGULARISED, ids=str)
def test_without_a_penalty_only_zero_is_a_dual_point(case):
    problem = case.build()
    for same in (problem, case.build().with_lam(0.0)):
        certificate = cr.certify(same, random_weights(same, np.random.default_rng(0)), rigor="rounded")
        assert certificate.lower == 0.0
        assert_proven(certificate)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("power", [2.0**-490, 2.0**490])
def test_powers_of_two_in_the_data_change_nothing(kind, power):
    """Bounds near the limits of float64 are no wider, as only underflow could make them so."""
    problem = make_problem(kind)
    solution = cr.solve(problem, tol=1e-6)
    patterns = cr.ActivationPatterns(problem.patterns.D, problem.patterns.G)
    scaled = type(problem)(problem.X * power, problem.y, patterns, problem.lam * power)
    weights = problem.weights(problem.blocks(solution.weights) / power)
    plain = cr.certify(problem, solution.weights, rigor="rounded")
    certificate = cr.certify(scaled, weights, rigor="rounded")
    assert certificate.upper == pytest.approx(plain.upper, rel=1e-13)
    assert certificate.lower == pytest.approx(plain.lower, rel=1e-6)
    assert_proven(certificate)


def test_every_rounding_of_a_prediction_is_counted(monkeypatch):
    """Two blocks round d products each and the sums over columns and blocks; the count may exceed that by 2 or 3."""
    problem = make_problem("gated")
    U = np.zeros((1, len(problem.patterns), 3))
    U[0, [1, 3]] = 1.0
    counts = []

    def recorded(sizes, length, products=None):
        counts.append((length, products))
        return dot_radius(sizes, length, products)

    monkeypatch.setattr(rounded, "dot_radius", recorded)
    rounded.objective_above(problem, U)
    ((length, products),) = counts
    assert 2 + 3 <= length <= 2 + 3 + 2
    assert 2 * 3 <= products <= 3 * 3


def relu_problem(X, D, lam=0.01):
    y = np.arange(len(X), dtype=float)
    return cr.ConvexReLU(X, y, cr.ActivationPatterns(D), lam)


def test_a_block_on_the_boundary_is_moved_into_its_cone():
    """The product is 2^-54 below zero, exactly, and 0 as computed in float64."""
    X = np.array([[1.0, 1.0, -1.0], [0.0, 1.0, 0.0]])
    problem = relu_problem(X, np.ones((2, 1), dtype=bool))
    w = np.array([1.0 - 2.0**-53, 2.0**-54, 1.0])
    assert min(X @ w) >= 0.0
    assert min(rational(X) @ rational(w)) < 0
    weights = (w.reshape(1, 1, 3), np.zeros((1, 1, 3)))
    V, _ = rounded.into_cones(problem, weights)
    assert min(rational(X) @ rational(V[0, 0])) >= 0
    assert 0.0 < np.abs(V[0, 0] - w).max() <= 1e-14


def test_a_witness_a_few_roundings_inside_moves_a_block_into_its_cone():
    """The gain along the witness is known to one half; the block violates its cone by a hundred roundings."""
    X = np.ones((1, 2))
    cones = relu_problem(X, np.ones((1, 1), dtype=bool)).cones
    rounding = float(dot_radius(np.array(2.0), 2))
    cones.__dict__["witnesses"] = np.array([[1.0], [8.0 * rounding - 1.0]]), np.ones(1, dtype=bool)
    w = np.array([[1.0, -1.0 - 100.0 * rounding]])
    (moved,) = rounded._into_cones(cones, w, np.zeros(1, dtype=np.intp))
    assert moved[0] > 1.0
    assert min(rational(X) @ rational(moved)) >= 0


@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "relu"][::3], ids=str)
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_the_error_of_the_argument_is_within_its_radius(case, size):
    """Compare in rational arithmetic, for multipliers alone and with t."""
    problem = case.build()
    rng = np.random.default_rng(0)
    t = size * rng.standard_normal(problem.Y.shape)
    multipliers = sp.csr_array(rng.exponential(size=(2 * problem.n_outputs * len(problem.patterns), problem.n)))
    argument, _ = problem.conjugate_argument(t, multipliers)
    X, D = rational(problem.X), np.asarray(problem.patterns.D).T
    g = rational(multipliers.toarray()).reshape(2, problem.n_outputs, *D.shape)
    masked = np.where(D[None], rational(t).T[:, None, :], 0) @ X
    exact = np.stack([-masked, masked]) + np.where(D, g, -g) @ X
    errors = abs(rational(argument).reshape(exact.shape) - exact)
    radius = rounded.argument_radius(problem, t, multipliers).reshape(exact.shape)
    assert (errors <= rational(radius)).all()
    assert errors.any()


def test_exact_zeros_do_not_move_a_block():
    X = np.vstack([np.eye(3), [[1.0, 1e-200, 0.0]]])
    problem = relu_problem(X, np.ones((4, 1), dtype=bool))
    V = np.array([[[0.5, 0.0, 0.25]]])
    assert np.array_equal(rounded.into_cones(problem, (V, 0 * V))[0], V)
    shy = np.array([[[0.0, 1e-200, 0.0]]])  # the product 1e-400 underflows, so its sign is not proven
    moved = rounded.into_cones(problem, (shy, 0 * V))[0][0, 0]
    assert min(rational(X) @ rational(moved)) >= 0


def test_a_block_in_a_cone_without_interior_is_dropped():
    X = np.array([[1.0, 2.0], [-1.0, -2.0], [0.5, 0.3]])
    problem = relu_problem(X, np.ones((3, 1), dtype=bool))
    V = np.array([[[2.0, -1.0]]])  # on the line x'w = 0, but not proven in spite of rounding
    V[0, 0] /= 3.0
    certificate = cr.certify(problem, (V, np.zeros_like(V)), rigor="rounded")
    assert certificate.n_active == 0
    assert_proven(certificate)


@pytest.mark.parametrize("case", [case for case in CASES if case.loss in ("squared", "huber")], ids=str)
def test_the_exact_checker_accepts_saved_certificates(case, tmp_path):
    problem = case.build()
    certificate = cr.certify(problem, cr.solve(problem, tol=1e-4), rigor="rounded")
    certificate.save(tmp_path / "c.npz")
    verdict = cr.load_certificate(tmp_path / "c.npz").verify(problem.X, problem.y, lam=problem.lam)
    assert verdict.arithmetic == "exact"
    assert verdict.lower_exact == pytest.approx(certificate.lower, rel=1e-9)
    if case.penalty == "nuclear":  # the file has another bound of the norm
        assert verdict.upper_exact == pytest.approx(certificate.upper, rel=1e-9)
    else:
        assert 0.0 <= certificate.upper - verdict.upper_exact <= 1e-11 * certificate.upper


def test_unknown_losses_and_rigors_are_rejected():
    class OwnLoss(Squared):
        pass

    class OwnPenalty(GroupL1):
        pass

    problem = make_problem("gated")
    losses, penalties = "squared, huber, logistic, softmax", "group_l1, feature_group_l1, l1, squared_l2, nuclear, none"
    for loss, penalty, message in (
        (OwnLoss(), "group_l1", rf"needs a loss that bounds its rounding errors \({losses}\); got .*OwnLoss"),
        (
            "squared",
            OwnPenalty(),
            rf"needs a penalty that bounds its rounding errors \({penalties}\); got .*Penalty",
        ),
    ):
        own = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, 0.1, loss, penalty)
        cr.certify(own, own.zero_weights())
        with pytest.raises(ValueError, match=message):
            cr.certify(own, own.zero_weights(), rigor="rounded")
    with pytest.raises(ValueError, match="rigor must be one of 'floating_point', 'rounded'; got 'exact'"):
        cr.certify(problem, problem.zero_weights(), rigor="exact")
    with pytest.raises(ValueError, match="overflows"):
        cr.certify(problem, np.full_like(problem.zero_weights(), 1e300), rigor="rounded")


@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="numbers of the modes")
@pytest.mark.parametrize("mode", [0x400, 0x800, 0xC00])
def test_other_rounding_modes_are_rejected(mode):
    libm = ctypes.CDLL("libm.so.6")
    problem = make_problem("gated")
    weights = problem.zero_weights()
    try:
        assert libm.fesetround(mode) == 0
        with pytest.raises(cr.CertificateError, match="rounding is not to nearest"):
            cr.certify(problem, weights, rigor="rounded")
    finally:
        libm.fesetround(0)
    cr.certify(problem, weights, rigor="rounded")
