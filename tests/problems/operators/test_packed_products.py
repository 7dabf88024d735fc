"""The kernels of masked products, against plain sums and NumPy's products."""

import copy
import itertools
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.patterns.packed_mask import PackedMask
from cvxrelu.problems.operators import gated_operator, packed_kernels, packed_products, shared
from cvxrelu.runtime import memory
from cvxrelu.runtime.compilation import COMPILATION, Kernel

KERNELS = packed_products.ADJOINT, packed_products.FORWARD, packed_products.GRAM
PRODUCTS = [product for each in KERNELS for product in each.values()]


@pytest.fixture
def packed(monkeypatch):
    """Compute all products by kernels, and count them."""
    calls = []
    for product in PRODUCTS:
        product.kernel.compile()
        call = product.kernel._compiled
        monkeypatch.setattr(product.kernel, "_compiled", lambda *a, call=call: (calls.append(1), call(*a))[1])
    monkeypatch.setattr(packed_products, "SMALLEST", 0.0)
    return calls


def sums(X, D, U, t):
    """Return A u (n, c) and A't (c, P, d) in float64."""
    X, U, t = (np.asarray(each, dtype=np.float64) for each in (X, U, t))
    f = np.stack([np.sum(D * (X @ u.T), axis=1) for u in U], axis=1)
    return f, np.stack([(D * column[:, None]).T @ X for column in t.T])


def gather(patch):
    """Gather the bits of all restrictions, and of those of single products."""
    patch.setattr(shared, "_KEPT", (np.inf, 0))
    patch.setattr(shared, "_ONCE", (np.inf, 0))


@st.composite
def products(draw):
    n, d, P = (draw(st.integers(1, 70)) for _ in range(3))
    c, dtype = draw(st.integers(1, 3)), draw(st.sampled_from([np.float64, np.float32]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    order, density = draw(st.sampled_from("CF")), draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    X = np.asarray(rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4, d), dtype=dtype, order=order)
    X[:, rng.random(d) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = 0.0
    D = np.asarray(rng.random((n, P)) < density, order=order)
    if draw(st.booleans()):
        D = PackedMask(np.packbits(np.ascontiguousarray(D.T), axis=1), n)
    operator = cr.GatedOperator(X, D)
    if draw(st.booleans()):  # unordered, repeated, negative or no patterns
        operator = operator.take(rng.integers(-P, P, size=draw(st.integers(0, 2 * P))))
        if draw(st.booleans()):
            operator = operator.take(np.arange(operator.n_patterns)[::2])
    shape = c, operator.n_patterns
    U = rng.standard_normal((*shape, d)) * (rng.random((*shape, 1)) < draw(st.sampled_from([0.2, 1.0])))
    return operator, U.astype(dtype), rng.standard_normal((n, c)).astype(dtype), rng.random(shape) < 0.5


def check(operator, U, t, mask):
    """Compare products with those in float64, to the a-priori bounds of both; see `numerics.rounding`."""
    dtype = operator.X.dtype
    unit = 0.5 * float(np.finfo(dtype).eps)
    n, d, P = len(operator.X), operator.n_features, operator.n_patterns
    D = np.asarray(operator.D)
    f, Z = sums(operator.X, D, U, t)
    sizes = sums(np.abs(operator.X), D, np.abs(U), np.abs(t))
    computed = operator.forward(U), operator.adjoint(t)
    assert [each.dtype for each in computed] == [dtype] * 2
    assert np.all(np.abs(computed[0] - f) <= 2.01 * (P + d) * unit * sizes[0])
    assert np.all(np.abs(computed[1] - Z) <= 2.01 * (n + 1) * unit * sizes[1])
    chosen = operator.adjoint(t, mask)
    np.testing.assert_array_equal(chosen[mask], computed[1][mask])
    assert not chosen[~mask].any()


@settings(max_examples=150, deadline=None)
@given(drawn=products(), gathered=st.booleans())
def test_products_are_sums_within_the_rounding_bounds(drawn, gathered):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_products, "SMALLEST", 0.0)
        if gathered:
            gather(patch)
        for product in PRODUCTS:
            product.kernel.compile()
        check(*drawn)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 3, 8, 31, 33, 511, 512, 513, 1030])
def test_sizes_around_those_of_blocks(packed, n, dtype):
    rng = np.random.default_rng(n)
    for d, P in itertools.product((1, 4, 17, 33, 65), (1, 8, 31, 33, 600)):
        operator = cr.GatedOperator(rng.standard_normal((n, d)).astype(dtype), rng.random((n, P)) < 0.5)
        U, t = rng.standard_normal((2, P, d)).astype(dtype), rng.standard_normal((n, 2)).astype(dtype)
        check(operator, U, t, rng.random((2, P)) < 0.3)
    assert len(packed) == 3 * 25


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_weights_of_zero_columns_that_are_not_finite(packed, monkeypatch, dtype):
    rng = np.random.default_rng(0)
    X, U = np.zeros((40, 20), dtype=dtype), rng.standard_normal((1, 5, 20)).astype(dtype)
    X[:, :3] = rng.standard_normal((40, 3))
    U[0, 1, 7] = np.inf
    operator = cr.GatedOperator(X, rng.random((40, 5)) < 0.5)
    assert operator._data.n_used == 3
    with np.errstate(invalid="ignore"):
        f = operator.forward(U)
        monkeypatch.setattr(packed_products, "SMALLEST", np.inf)
        np.testing.assert_array_equal(f, operator.forward(U))
    assert np.isnan(f).any()
    assert len(packed) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["X", "U", "t", "row of no pattern"])
def test_entries_that_are_not_finite_spread_as_in_plain_products(packed, monkeypatch, where, bad):
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((20, 3)), rng.random((20, 7)) < 0.5
    U, t = rng.standard_normal((1, 7, 3)), rng.standard_normal((20, 1))
    D[4] = False
    {"X": X[3:4], "U": U[0, 2:3], "t": t[3:4], "row of no pattern": t[4:5]}[where][0, 0] = bad
    operator = cr.GatedOperator(X, D)
    with np.errstate(invalid="ignore"):
        by_kernel = operator.forward(U), operator.adjoint(t)
        monkeypatch.setattr(packed_products, "SMALLEST", np.inf)
        by_numpy = operator.forward(U), operator.adjoint(t)
    assert len(packed) == 2
    for one, other in zip(by_kernel, by_numpy, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)
    assert not all(np.isfinite(each).all() for each in by_kernel)


def test_overflow_warns_as_numpy_does(packed):
    operator = cr.GatedOperator(np.full((40, 2), 1e200), np.ones((40, 3), dtype=bool))
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert np.all(np.isinf(operator.adjoint(np.full((40, 1), 1e200))))


def test_other_shapes_are_refused_as_by_numpy(packed):
    operator = cr.GatedOperator(np.ones((20, 3)), np.ones((20, 7), dtype=bool))
    for call in (
        lambda: operator.forward(np.ones((1, 6, 3))),
        lambda: operator.forward(np.ones((1, 7, 2))),
        lambda: operator.adjoint(np.ones((19, 1))),
        lambda: operator.take(np.array([7])),
    ):
        with pytest.raises((ValueError, IndexError)):
            call()
    assert packed == []


def test_masks_that_are_not_boolean_are_left_to_numpy(packed, monkeypatch):
    rng = np.random.default_rng(0)
    operator, t = cr.GatedOperator(rng.standard_normal((500, 3)), rng.random((500, 300)) < 0.5), np.ones((500, 2))
    computed = operator.adjoint(t, np.full((2, 300), 2))
    monkeypatch.setattr(packed_products, "SMALLEST", np.inf)
    np.testing.assert_array_equal(computed, operator.adjoint(t))
    assert packed == []


@pytest.mark.parametrize("shape", [(39,), (1,), (0,), (39, 1)])
def test_weights_of_another_length_are_left_to_numpy(packed, monkeypatch, shape):
    rng = np.random.default_rng(0)
    operator, index = cr.GatedOperator(rng.standard_normal((40, 3)), rng.random((40, 9)) < 0.5), np.arange(9)
    outcomes = []
    for smallest in (0.0, np.inf):
        monkeypatch.setattr(packed_products, "SMALLEST", smallest)
        try:
            outcomes.append(operator.gram(index, index, np.full(shape, 2.0)))
        except ValueError as error:
            outcomes.append(str(error))
    np.testing.assert_array_equal(*outcomes)
    assert packed == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares_that_overflow_do_not_warn(packed, dtype):
    large = 1e19 if dtype == np.float32 else 1e200
    operator = cr.GatedOperator(np.ones((40, 2), dtype), np.ones((40, 9), dtype=bool))
    assert np.all(
        operator.adjoint(np.full((40, 1), large, dtype))
        == operator.forward(np.full((1, 9, 2), large, dtype))[0] / 18 * 40
    )
    assert len(packed) == 2


def test_bits_that_do_not_fit_in_memory_are_not_packed(packed, monkeypatch):
    rng = np.random.default_rng(0)
    D, t = PackedMask(rng.integers(0, 256, (300, 100), dtype=np.uint8), 800), rng.standard_normal((800, 1))
    X = rng.standard_normal((800, 3))
    needs, free = [], [0]
    monkeypatch.setattr(memory, "fits", lambda needed: (needs.append(needed), needed <= free[0])[1])
    operator = cr.GatedOperator(X, D)
    for each in (operator, operator.take(np.arange(20))):
        by_numpy = each.adjoint(t), each.forward(np.ones((1, each.n_patterns, 3)))
    assert packed == []
    assert needs == [300 * 800 / 8] * 4
    free[0] = 300 * 800 / 8
    by_kernel = each.adjoint(t), each.forward(np.ones((1, 20, 3)))
    assert len(packed) == 2
    for one, other in zip(by_kernel, by_numpy, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_products_with_few_patterns_read_bits_of_their_own(monkeypatch):
    rng = np.random.default_rng(0)
    patterns = shared.Patterns(rng.random((2000, 1200)) < 0.5)
    part, most = patterns.take(np.arange(5, 200)), patterns.take(np.arange(900))
    used = rng.random((2, 1200)) < 0.02
    assert part.packed is part
    np.testing.assert_array_equal(part.words, patterns.words[:, 5:200])
    assert most.packed is patterns
    assert patterns.restricted(used)[0] is patterns  # the words of all fit in the cache
    monkeypatch.setattr(shared, "_ONCE", (1 / 16, 0))
    few, marks = patterns.restricted(used)
    np.testing.assert_array_equal(few.words, patterns.words[:, used.any(axis=0)])
    np.testing.assert_array_equal(marks, used[:, used.any(axis=0)])
    assert part.restricted(used[:, 5:200])[0] is part
    assert patterns.restricted(~used)[0] is patterns


def test_threads_share_no_scratch(packed):
    rng = np.random.default_rng(0)
    operator = cr.GatedOperator(rng.standard_normal((900, 20)), rng.random((900, 300)) < 0.5)
    ts, Us = rng.standard_normal((8, 900, 1)), rng.standard_normal((8, 1, 300, 20))
    expected = [(operator.adjoint(t), operator.forward(U)) for t, U in zip(ts, Us, strict=True)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            products = list(pool.map(lambda t, U: (operator.adjoint(t), operator.forward(U)), ts, Us))
            for (Z, f), (one, other) in zip(products, expected, strict=True):
                np.testing.assert_array_equal(Z, one)
                np.testing.assert_array_equal(f, other)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("used", ["whole", "part"])
def test_copies_have_arrays_of_their_own(packed, copied, used):
    rng = np.random.default_rng(0)
    X, t, U = rng.standard_normal((900, 9)), rng.standard_normal((900, 1)), rng.standard_normal((1, 300, 9))
    operator = cr.GatedOperator(X, rng.random((900, 300)) < 0.5)
    expected = operator.adjoint(t), operator.forward(U)
    kept = np.arange(0, 300, 3)
    other = copied(operator if used == "whole" else operator.take(kept))
    del operator
    overwriting = [rng.standard_normal(size) for size in (900 * 9, 900 * 12, 300 * 113 // 8) for _ in range(30)]
    if used == "whole":
        np.testing.assert_array_equal(other.adjoint(t), expected[0])
        np.testing.assert_array_equal(other.forward(U), expected[1])
    else:
        np.testing.assert_array_equal(other.adjoint(t), expected[0][:, kept])
    assert len(overwriting) == 90


def test_arrays_that_are_not_aligned(packed):
    rng = np.random.default_rng(0)
    D, plain = rng.random((300, 40)) < 0.5, [rng.standard_normal((300, k)) for k in (8, 2)]

    def shifted(array):
        other = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)
        assert not other.flags.aligned
        return other

    operator, other = cr.GatedOperator(plain[0], D), cr.GatedOperator(shifted(plain[0]), D)
    np.testing.assert_array_equal(other.adjoint(shifted(plain[1])), operator.adjoint(plain[1]))
    index, weights = np.arange(5), plain[1][:, 0].copy()
    np.testing.assert_array_equal(other.gram(index, index, shifted(weights)), operator.gram(index, index, weights))


def test_bits_are_packed_once(packed, monkeypatch):
    packings = []
    pack = shared.packed_bits
    monkeypatch.setattr(shared, "packed_bits", lambda D: (packings.append(1), pack(D))[1])
    rng = np.random.default_rng(0)
    operator = cr.GatedOperator(rng.standard_normal((50, 3)), rng.random((50, 40)) < 0.5)
    part = operator.take(np.arange(20)).astype(np.float32).take(np.arange(5))
    for each in (part, operator, operator.on_data(operator.X**2)):
        each.adjoint(np.ones((50, 1)))
        each.forward(np.ones((1, each.n_patterns, 3)))
    assert len(packings) == 1
    assert len(packed) == 6


# The choice between kernels and NumPy


@pytest.fixture
def product(monkeypatch):
    """Return a product whose kernel is neither loaded nor cached, and the list of its compilations."""
    compilations = []
    kernel = Kernel(packed_kernels._adjoint, packed_kernels.KERNELS[np.dtype(np.float64)][0].signature)
    monkeypatch.setattr(kernel, "_is_cached", lambda: False)
    monkeypatch.setattr(kernel, "_load", lambda: compilations.append(1) or (lambda *_: None))
    return packed_products.PackedProduct(kernel), compilations


def test_small_operators_load_no_kernel(product, monkeypatch):
    product, _ = product
    monkeypatch.setattr(product.kernel, "is_ready", lambda: pytest.fail("looked up"))
    assert not product.is_chosen(packed_products.SMALLEST - 1.0, 1.0)


def test_kernels_are_compiled_once_that_pays(product):
    product, compilations = product
    work, size = 1.25e9, 1e12
    seconds = 2.0 * work / packed_products._NUMPY_RATE
    chosen = [product.is_chosen(size, work) for _ in range(40)]
    assert chosen.count(False) == math.ceil(COMPILATION / seconds) - 1
    assert chosen == sorted(chosen)
    assert len(compilations) == 1


def test_solves_with_short_limits_compile_no_kernel(monkeypatch):
    compiled, rng = [], np.random.default_rng(0)
    monkeypatch.setattr(packed_products, "SMALLEST", 0.0)
    for product in PRODUCTS:
        monkeypatch.setattr(product.kernel, "_compiled", None)
        monkeypatch.setattr(product.kernel, "_looked_up", True)
        monkeypatch.setattr(product.kernel, "compile", lambda: compiled.append(1))
        monkeypatch.setattr(product._savings, "_seconds", COMPILATION)
    X = rng.standard_normal((60, 5))
    problem = cr.ConvexGatedReLU(X, np.abs(X[:, 0]), cr.sample_patterns(X, 20, seed=0), lam=1e-3)
    assert cr.solve(problem, "RFISTA", tol=1e-4, time_limit=19.0).status == "optimal"
    assert compiled == []
    assert cr.solve(problem, "RFISTA", tol=1e-4, time_limit=20.0).status == "optimal"
    assert compiled


def test_cached_kernels_are_used_at_once(product, monkeypatch):
    product, _ = product
    monkeypatch.setattr(product.kernel, "_is_cached", lambda: True)
    assert product.is_chosen(packed_products.SMALLEST, 1.0)


def test_products_without_numba(product, monkeypatch):
    product, compilations = product
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert not any(product.is_chosen(1e12, 1e12) for _ in range(3))
    assert compilations == []


def test_products_if_the_cache_cannot_be_loaded(product, monkeypatch):
    product, _ = product

    def fail():
        raise OSError("no such file")

    monkeypatch.setattr(product.kernel, "_is_cached", lambda: True)
    monkeypatch.setattr(product.kernel, "_load", fail)
    assert not product.is_chosen(1e12, 1.0)


def test_products_if_compilation_fails(product, monkeypatch):
    product, _ = product

    def fail():
        raise RuntimeError("no such processor")

    monkeypatch.setattr(product.kernel, "_load", fail)
    with pytest.warns(RuntimeWarning, match="not used.*no such processor") as caught:
        assert not any(product.is_chosen(1e12, 1e12) for _ in range(3))
    assert len(caught) == 1


def test_solves_by_kernels_and_by_numpy_agree(packed, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 5))
    problem = cr.ConvexGatedReLU(X, np.abs(X[:, 0]), cr.sample_patterns(X, 60, seed=0), lam=1e-3)
    for solver in ("WorkingSet", "RFISTA"):
        monkeypatch.setattr(packed_products, "SMALLEST", 0.0)
        by_kernel = cr.solve(problem, solver, tol=1e-7)
        used = len(packed)
        monkeypatch.setattr(packed_products, "SMALLEST", np.inf)
        by_numpy = cr.solve(problem, solver, tol=1e-7)
        assert by_kernel.status == by_numpy.status == "optimal"
        assert len(packed) == used > 0
        assert by_kernel.objective == pytest.approx(by_numpy.objective, rel=2e-7)


# Gram matrices


@settings(max_examples=60, deadline=None)
@given(
    drawn=products(),
    weighted=st.booleans(),
    smallest=st.sampled_from([0.0, np.inf]),
    few=st.booleans(),
    gathered=st.booleans(),
)
def test_gram_matrices_are_those_of_the_blocks(drawn, weighted, smallest, few, gathered):
    operator, *_ = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_products, "SMALLEST", smallest)
        patch.setattr(gated_operator, "_TABLE_SECONDS", np.inf if few else 0.0)
        if gathered:
            gather(patch)
        for product in PRODUCTS:
            product.kernel.compile()
        rng = np.random.default_rng(0)
        first, second = rng.integers(0, max(operator.n_patterns, 1), (2, 11 if operator.n_patterns else 0))
        weights = rng.standard_normal(len(operator.X)).astype(operator.X.dtype) if weighted else None
        computed = operator.gram(first, second, weights)
    assert computed.dtype == operator.X.dtype
    assert computed.shape == (len(first), operator.n_features, operator.n_features)
    X, D = operator.X.astype(np.float64), np.asarray(operator.D)
    factors = np.ones(len(X)) if weights is None else weights.astype(np.float64)
    masks = (D[:, first] & D[:, second]).T * factors
    bounds = np.einsum("mn,na,nb->mab", np.abs(masks), np.abs(X), np.abs(X))
    exact = np.einsum("mn,na,nb->mab", masks, X, X)
    assert np.all(np.abs(computed - exact) <= (len(X) + 4) * np.finfo(operator.X.dtype).eps * bounds)


@pytest.mark.parametrize("where", ["X", "weights"])
def test_gram_matrices_of_entries_that_are_not_finite(packed, monkeypatch, where):
    rng = np.random.default_rng(0)
    X, D, weights = rng.standard_normal((40, 3)), rng.random((40, 4)) < 0.5, rng.random(40)
    {"X": X[3], "weights": weights}[where][1] = np.nan
    operator = cr.GatedOperator(X, D)
    first, second = np.array([0, 1, 2]), np.array([0, 3, 1])
    by_kernel = operator.gram(first, second, weights)
    monkeypatch.setattr(packed_products, "SMALLEST", np.inf)
    np.testing.assert_array_equal(by_kernel, operator.gram(first, second, weights))
    assert np.isnan(by_kernel).any()
    assert len(packed) == 1


@pytest.mark.usefixtures("packed")
def test_gram_matrices_of_no_pairs(monkeypatch):
    monkeypatch.setattr(gated_operator, "_TABLE_SECONDS", 0.0)
    none = np.zeros(0, dtype=np.intp)
    assert cr.GatedOperator(np.ones((5, 3)), np.ones((5, 2), dtype=bool)).gram(none, none).shape == (0, 3, 3)
