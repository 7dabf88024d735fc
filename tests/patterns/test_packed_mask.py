"""Masks of one bit per entry: the same results as unpacked masks, in less memory."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.optimize import path_store
from cvxrelu.patterns import packed_mask as module
from cvxrelu.patterns.activation_patterns import unique_columns
from cvxrelu.patterns.packed_mask import PackedMask, packed_bits, take_patterns
from tests.helpers.cases import make_problem


def pack(D):
    return PackedMask(packed_bits(D), len(D))


@pytest.fixture
def always_packed(monkeypatch):
    monkeypatch.setattr(module, "_PLAIN_BYTES", 0)


@st.composite
def masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random((draw(st.integers(1, 40)), draw(st.integers(1, 6)))) < draw(st.sampled_from([0.02, 0.5, 1.0]))


def slices(size):
    ends = st.none() | st.integers(-size - 3, size + 3)
    return st.builds(slice, ends, ends)


# Access


@given(masks(), st.data())
def test_parts_are_those_of_the_plain_mask(D, data):
    n, P = D.shape
    one = st.integers(-P, P - 1)
    many = st.lists(one, max_size=8).map(lambda index: np.array(index, dtype=np.intp))
    rows, patterns = data.draw(slices(n)), data.draw(slices(P) | one | many)
    part = pack(D)[rows, patterns]
    assert part.dtype == np.bool_
    np.testing.assert_array_equal(part, D[rows, patterns])
    if part.size:
        assert part.strides[0] == 1  # the rows of a pattern are contiguous


def test_unpacking_a_part_needs_the_memory_of_its_rows():
    mask = PackedMask(np.zeros((40, 20_000), dtype=np.uint8), 160_000)
    tracemalloc.start()
    try:
        assert mask[:1600, np.arange(40)].shape == (1600, 40)
        assert tracemalloc.get_traced_memory()[1] < 1600 * 40 * 1.5  # all bits of the patterns are 800,000 bytes
    finally:
        tracemalloc.stop()


@given(masks(), st.data())
def test_whole_mask_and_patterns_taken(D, data):
    mask = pack(D)
    assert (mask.shape, mask.size, mask.dtype) == (D.shape, D.size, D.dtype)
    np.testing.assert_array_equal(np.asarray(mask), D)
    single = np.asarray(mask, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, D)
    index = np.array(data.draw(st.lists(st.integers(0, D.shape[1] - 1), max_size=8)), dtype=np.intp)
    part = take_patterns(mask, index)
    assert isinstance(part, PackedMask)
    np.testing.assert_array_equal(np.asarray(part), D[:, index])


@given(masks())
def test_duplicates_and_zero_patterns_are_found_in_the_bits(D):
    D = np.hstack([D, np.zeros_like(D), D[:, ::-1]])
    np.testing.assert_array_equal(unique_columns(pack(D)), unique_columns(D))


def test_packed_masks_refuse_bad_indices():
    mask = pack(np.eye(9, 3, dtype=bool))
    with pytest.raises(IndexError, match="step 1; got step 2"):
        mask[::2, :]
    with pytest.raises(IndexError, match="out of bounds"):
        mask[:, 3]
    with pytest.raises(ValueError, match="read-only"):
        mask.bits[0] = 0
    with pytest.raises(TypeError, match="item assignment"):
        mask[0, 0] = True
    with pytest.raises(ValueError, match="without a copy"):
        mask.__array__(copy=False)


# Patterns


@pytest.mark.parametrize(
    "options",
    [{}, {"kind": "sparse", "order": 2}, {"bias": True, "active_proportion": 0.3}, {"kind": "convolutional"}],
    ids=str,
)
@pytest.mark.parametrize("block_bytes", [1, 10_000, 2**25])
def test_sampled_patterns_are_those_of_the_plain_mask(monkeypatch, options, block_bytes):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((61, 9)), np.ones(61)])
    X = X if "bias" in options else X[:, :9]
    X[20:] = X[3]  # few distinct patterns
    plain = cr.sample_patterns(X, 300, seed=1, **options)
    assert isinstance(plain.D, np.ndarray)
    assert len(plain) < 300
    monkeypatch.setattr("cvxrelu.patterns.activation_patterns.BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(module, "_PLAIN_BYTES", 0)
    patterns = cr.sample_patterns(X, 300, seed=1, **options)
    assert isinstance(patterns.D, PackedMask)
    np.testing.assert_array_equal(np.asarray(patterns.D), plain.D)
    np.testing.assert_array_equal(patterns.G, plain.G)
    assert (len(patterns), patterns.n, repr(patterns)) == (len(plain), plain.n, repr(plain))

    patterns.check_matches(X)
    with pytest.raises(ValueError, match=f"at {2 * len(plain)} of {plain.D.size} entries"):
        patterns.check_matches(np.vstack([-X[:2], X[2:]]))


@pytest.mark.parametrize("gates", [True, False])
def test_witnesses_are_those_of_the_plain_mask(monkeypatch, gates):
    rng = np.random.default_rng(0)
    X = np.round(rng.standard_normal((30, 3)), 1)
    X[[4, 17]] = 0.0
    G = np.column_stack([rng.standard_normal((3, 5)), np.eye(3)])  # the last lie on faces of their cones
    plain = cr.ActivationPatterns(X @ G >= 0.0, G if gates else None)
    expected = plain.witnesses(X)
    monkeypatch.setattr(module, "_PLAIN_BYTES", 0)
    monkeypatch.setattr("cvxrelu.patterns.activation_patterns.BLOCK_BYTES", 1)
    for part, other in zip(cr.ActivationPatterns(plain.D, plain.G).witnesses(X), expected, strict=True):
        np.testing.assert_array_equal(part, other)
    assert expected[1].any()


@pytest.mark.usefixtures("always_packed")
def test_patterns_of_a_plain_or_packed_mask_are_packed():
    D = np.random.default_rng(0).random((21, 5)) < 0.3
    D = np.hstack([D, D[:, :2], np.zeros((21, 1), dtype=bool)])
    for given_mask in (D, D.astype(float).tolist(), pack(D)):
        patterns = cr.ActivationPatterns(given_mask, np.arange(16.0).reshape(2, 8))
        assert isinstance(patterns.D, PackedMask)
        np.testing.assert_array_equal(np.asarray(patterns.D), D)
        unique = patterns.unique()
        np.testing.assert_array_equal(np.asarray(unique.D), D[:, :5])
        np.testing.assert_array_equal(unique.G, patterns.G[:, :5])
    with pytest.raises(ValueError, match=r"D of shape \(21, 8\)"):
        cr.ActivationPatterns(pack(D), np.ones((2, 3)))


def test_small_packed_masks_are_unpacked_by_patterns():
    D = np.random.default_rng(0).random((21, 5)) < 0.3
    patterns = cr.ActivationPatterns(pack(D))
    np.testing.assert_array_equal(patterns.D, D)
    assert patterns.D.flags.f_contiguous
    with pytest.raises(ValueError, match="read-only"):
        patterns.D[0, 0] = True


@pytest.mark.usefixtures("always_packed")
def test_packed_patterns_can_be_copied_and_pickled():
    patterns = cr.sample_patterns(np.random.default_rng(0).standard_normal((20, 3)), 7)
    assert repr(patterns.D) == "PackedMask(7 patterns of 20 rows in 21 bytes)"
    for other in (copy.deepcopy(patterns), pickle.loads(pickle.dumps(patterns))):
        assert isinstance(other.D, PackedMask)
        np.testing.assert_array_equal(np.asarray(other.D), np.asarray(patterns.D))


# Products


@given(masks(), st.sampled_from([1, 200, 2**20]), st.sampled_from([1, 2**21]), st.data())
def test_products_are_those_of_the_plain_mask(D, block_bytes, tile_bytes, data):
    n, P = D.shape
    d, c = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    X, t = rng.standard_normal((n, d)), rng.standard_normal((n, c))
    U = rng.standard_normal((c, P, d)) * (rng.random((c, P, 1)) < 0.7)
    blocks = rng.random((c, P)) < 0.3
    index = rng.integers(0, P, size=data.draw(st.integers(1, 8)))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_TILE_BYTES", "_CACHED_BYTES"):
            patch.setattr(f"cvxrelu.problems.operators.numpy_products.{name}", tile_bytes)
        for dtype in (np.float64, np.float32):
            plain, packed = (cr.GatedOperator(X, mask, block_bytes).astype(dtype) for mask in (D, pack(D)))
            atol = 1e-12 if dtype == np.float64 else 1e-4
            np.testing.assert_allclose(packed.adjoint(t, blocks), plain.adjoint(t, blocks), atol=atol)
            np.testing.assert_allclose(packed.adjoint(t), plain.adjoint(t), atol=atol)
            np.testing.assert_allclose(packed.forward(U), plain.forward(U), atol=atol)
            part = packed.take(index)
            np.testing.assert_allclose(part.adjoint(t), plain.take(index).adjoint(t), atol=atol)


@pytest.mark.usefixtures("always_packed")
def test_memory_stays_far_below_a_byte_per_entry():
    rng = np.random.default_rng(0)
    n, d, P, block, tile = 200_000, 4, 1000, 2**25, 2**21
    X, t, U = rng.standard_normal((n, d)), rng.standard_normal((n, 1)), rng.standard_normal((1, P, d))
    few = np.where(np.arange(P)[:, None] < 100, U, 0.0)

    def peak(call):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = call()
        return result, tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        # Products of a block of rows and their signs; the bits, before and after duplicates are dropped.
        patterns, building = peak(lambda: cr.sample_patterns(X, P))
        assert building < 2 * n * P / 8 + 1.5 * block
        problem, checking = peak(lambda: cr.ConvexGatedReLU(X, t, patterns))
        assert checking < 3 * block + 8 * n * (4 * d + 4)
        operator = cr.GatedOperator(X, problem.patterns.D, block_bytes=2**22)
        words = n * P / 8  # of kernels, kept from the first product on
        for product in (lambda: operator.forward(U), lambda: operator.forward(few), lambda: operator.adjoint(t)):
            _, used = peak(product)
            assert used < words + 2**22 + 2 * tile + 8 * (6 * P * d + 4 * n + n * d) + n * 100 / 8
            words = 0
    finally:
        tracemalloc.stop()


# Problems


def both(monkeypatch, problem):
    """Return the problem with plain and with packed patterns."""
    monkeypatch.setattr(module, "_PLAIN_BYTES", 0)
    patterns = cr.ActivationPatterns(problem.patterns.D, problem.patterns.G)
    assert isinstance(patterns.D, PackedMask)
    packed = type(problem)(problem.X, problem.y, patterns, problem.lam, problem.loss, problem.penalty)
    return problem, packed


@pytest.mark.parametrize("solver", [cr.WorkingSet(), cr.RFISTA()], ids=["WorkingSet", "RFISTA"])
@pytest.mark.parametrize(
    ("loss", "penalty", "shape", "c", "dtype"),
    [
        ("squared", "group_l1", "tall", 1, np.float64),
        ("squared", "group_l1", "tall", 1, np.float32),
        ("logistic", "group_l1", "wide", 1, np.float64),
        ("softmax", "nuclear", "tall", 3, np.float64),
        ("huber", "l1", "wide", 2, np.float64),
    ],
)
def test_solutions_and_certificates_agree(monkeypatch, solver, loss, penalty, shape, c, dtype):
    tol = 1e-7 if dtype == np.float64 else 1e-4
    made = make_problem("gated", loss, penalty, shape=shape, c=c, n_gates=40, ratio=0.05, dtype=dtype)
    plain, packed = (cr.solve(problem, solver, tol=tol) for problem in both(monkeypatch, made))
    assert packed.status == plain.status == "optimal"
    assert packed.objective == pytest.approx(plain.objective, rel=tol)
    certificate = cr.certify(made, packed)  # on the plain mask
    assert certificate.upper == pytest.approx(packed.certificate.upper, rel=1e-12)
    assert certificate.lower == pytest.approx(packed.certificate.lower, rel=1e-12)
    assert certificate.rel_gap <= tol


@pytest.mark.parametrize("method", ["rows", "dense", "iterative"])
@pytest.mark.parametrize("n_features", [3, 12])
def test_every_newton_system_works_on_packed_masks(monkeypatch, method, n_features):
    """The method is forced by making others expensive; above _BLOCK_FEATURES the preconditioner uses overlaps."""
    systems = "cvxrelu.solvers.working_set.newton_systems."
    columns = "cvxrelu.solvers.working_set.column_systems."
    monkeypatch.setattr(systems + "_MOST_ROWS", 10_000 if method == "rows" else 0)
    monkeypatch.setattr(columns + "_MOST_COLUMNS", 8000 if method == "dense" else 0)
    monkeypatch.setattr(columns + "_BLOCK_FEATURES", 5)
    if method == "dense":
        monkeypatch.setattr(columns + "_OVERHEAD", 1e12)
    for name in ("_TILE_BYTES", "_CACHED_BYTES"):
        monkeypatch.setattr(f"cvxrelu.problems.operators.numpy_products.{name}", 20_000)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((150, n_features)), rng.standard_normal(150)
    made = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 60))
    made = made.with_lam(0.05 * made.lam_max())
    plain, packed = (cr.solve(problem, cr.WorkingSet(), tol=1e-9) for problem in both(monkeypatch, made))
    assert packed.status == "optimal"
    assert packed.objective == pytest.approx(plain.objective, rel=1e-9)
    assert packed.n_iter == plain.n_iter


@pytest.mark.parametrize(
    ("kind", "solver", "penalty"),
    [
        ("relu", cr.WorkingSet(), "group_l1"),
        ("relu", cr.AugmentedLagrangian(), "group_l1"),
        ("relu", "CLARABEL", "l1"),
        ("gated", "CLARABEL", "group_l1"),
        ("gated", cr.LeastSquares(), "squared_l2"),
    ],
    ids=str,
)
def test_solvers_that_unpack_the_mask_agree(monkeypatch, kind, solver, penalty):
    made = make_problem(kind, "squared", penalty, n_gates=15)
    plain, packed = (cr.solve(problem, solver, tol=1e-6) for problem in both(monkeypatch, made))
    assert packed.status == plain.status == "optimal"
    assert packed.objective == pytest.approx(plain.objective, rel=1e-6)


def test_small_restricted_problems_are_unpacked(monkeypatch):
    _, problem = both(monkeypatch, make_problem("gated", n_gates=12))
    index = np.array([7, 2, 5])
    monkeypatch.setattr(module, "_PLAIN_BYTES", 3 * problem.n)
    few, more = problem.restrict(index), problem.restrict(np.arange(4))
    assert isinstance(few.patterns.D, np.ndarray)
    assert isinstance(more.patterns.D, PackedMask)
    np.testing.assert_array_equal(few.patterns.D, np.asarray(problem.patterns.D)[:, index])
    np.testing.assert_array_equal(few.patterns.G, problem.patterns.G[:, index])


def test_stored_paths_are_identified_by_entries_not_packing(monkeypatch):
    made = make_problem("gated", n_gates=12)
    plain, packed = both(monkeypatch, made)
    assert path_store.fingerprint_of(plain) == path_store.fingerprint_of(packed)
    D = made.patterns.D.copy()
    D[3, 4] ^= True
    other = cr.ConvexGatedReLU(made.X, made.y, cr.ActivationPatterns(D), made.lam)
    assert path_store.fingerprint_of(other) != path_store.fingerprint_of(plain)


def test_networks_and_scaled_problems_of_packed_patterns(monkeypatch):
    plain, packed = both(monkeypatch, make_problem("gated", n_gates=12))
    weights = np.random.default_rng(0).standard_normal((1, len(plain.patterns), plain.d))
    network = cr.to_network(packed, weights)
    np.testing.assert_allclose(network.predict(plain.X), plain.predict(weights), atol=1e-10)
    patterns, found = cr.to_convex(network, plain.X)
    np.testing.assert_array_equal(np.asarray(patterns.D), plain.patterns.D)
    np.testing.assert_allclose(found, weights, atol=1e-12)
    scaling = cr.ColumnScaling.fit(plain.X)
    assert isinstance(scaling.problem(packed).patterns.D, PackedMask)


@pytest.mark.parametrize(
    "bits", [np.zeros((3, 4), np.uint8), np.zeros((3, 2)), np.zeros((3, 3), bool), np.zeros(3, np.uint8)]
)
def test_bits_must_have_the_width_of_the_rows(bits):
    with pytest.raises(ValueError, match="bits must be uint8"):
        PackedMask(bits, 20)
