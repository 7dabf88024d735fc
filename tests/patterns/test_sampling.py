"""sample_patterns: supports of the gates, bias, determinism and refused arguments."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from cvxrelu.patterns import sampling as module
from cvxrelu.patterns.sampling import sample_patterns


@pytest.fixture
def X():
    return np.random.default_rng(7).standard_normal((40, 6))


def distinct_data(d, n=60):
    """Return rows on which gates with different supports differ, so that no gate is a duplicate."""
    return np.random.default_rng(8).standard_normal((n, d))


def supports(patterns):
    return [tuple(np.flatnonzero(g).tolist()) for g in patterns.G.T]


# Dense


def test_dense_gates_are_those_of_default_rng():
    X = distinct_data(6, n=300)
    patterns = sample_patterns(X, 25)
    G = np.random.default_rng(0).standard_normal((6, 25))
    np.testing.assert_array_equal(patterns.G, G)
    np.testing.assert_array_equal(patterns.D, X @ G >= 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": "sparse", "order": 2},
        {"kind": "sparse", "order": 5, "n_gates": 20},
        {"kind": "convolutional", "image_shape": (2, 3), "kernel_size": 2},
    ],
)
def test_same_seed_same_patterns(X, options):
    options = {"n_gates": 50, **options}
    first = sample_patterns(X, seed=3, **options)
    again = sample_patterns(X, seed=np.random.default_rng(3), **options)
    other = sample_patterns(X, seed=4, **options)
    np.testing.assert_array_equal(first.G, again.G)
    np.testing.assert_array_equal(first.D, again.D)
    assert first.G.shape != other.G.shape or (first.G != other.G).any()


def test_generator_state_advances(X):
    rng = np.random.default_rng(0)
    first, second = (sample_patterns(X, 5, seed=rng) for _ in range(2))
    assert (first.G != second.G).all()


def test_duplicates_are_dropped():
    # Two rows have three non-zero patterns.
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    patterns = sample_patterns(X, 100)
    assert sorted(map(tuple, patterns.D.T.tolist())) == [(False, True), (True, False), (True, True)]
    np.testing.assert_array_equal(patterns.D, X @ patterns.G >= 0)


def test_only_zero_patterns_are_refused():
    gate = np.random.default_rng(0).standard_normal((2, 1))
    with pytest.raises(ValueError, match="no non-zero pattern: all 1 gates"):
        sample_patterns(-gate.T, 1)


# Sparse


def test_sparse_gates_of_order_one_by_default():
    # Products with one feature have two patterns: x_j >= 0 and x_j <= 0.
    found = supports(sample_patterns(distinct_data(5), 200, "sparse"))
    assert Counter(found) == {(j,): 2 for j in range(5)}


@pytest.mark.parametrize("order", [2, 3])
def test_gates_are_spread_evenly_over_subsets(order, monkeypatch):
    sampled = {}
    monkeypatch.setattr(module.ActivationPatterns, "from_gates", lambda X, G: sampled.update(G=G))
    subsets = {s for size in range(1, order + 1) for s in combinations(range(5), size)}
    n_gates = 3 * len(subsets) + 2
    sample_patterns(distinct_data(5), n_gates, "sparse", order=order)
    counts = Counter(tuple(np.flatnonzero(g).tolist()) for g in sampled["G"].T)
    assert sampled["G"].shape == (5, n_gates)
    assert set(counts) == subsets
    assert sorted(counts.values()) == [3] * (len(subsets) - 2) + [4, 4]


def test_as_many_gates_as_subsets_use_each_once():
    found = supports(sample_patterns(distinct_data(6), 21, "sparse", order=2))
    expected = [s for size in (1, 2) for s in combinations(range(6), size)]
    assert found == expected


def test_fewer_gates_than_subsets_have_distinct_subsets():
    found = supports(sample_patterns(distinct_data(6), 20, "sparse", order=2))
    assert len(set(found)) == len(found) == 20
    assert {len(s) for s in found} <= {1, 2}


def test_subsets_are_uniform_over_all_of_them():
    # 4 + 6 subsets of 4 features: pairs are a fraction of 0.6, and all subsets are equally likely.
    X = distinct_data(4)
    counts = Counter(supports(sample_patterns(X, 1, "sparse", seed, order=2))[0] for seed in range(2000))
    assert len(counts) == 10
    chi_squared = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert chi_squared < 27.9  # 99.9 % quantile for 9 degrees of freedom


def test_subsets_are_drawn_without_listing_them_all():
    found = supports(sample_patterns(distinct_data(400), 30, "sparse", order=200))
    assert len(set(found)) == 30
    assert max(map(len, found)) <= 200
    # Nearly all subsets of at most 200 of 400 features have more than 150.
    assert min(map(len, found)) > 150
    assert math.comb(400, 150) / math.comb(400, 200) < 1e-5


def test_order_of_all_features():
    assert (0, 1, 2) in supports(sample_patterns(distinct_data(3), 50, "sparse", order=3))


# Convolutional


def patch(gate, shape):
    """Return the bounds of the support of a gate on (channels, height, width); check that it is a full patch."""
    image = gate.reshape(shape) != 0
    assert (image == image[0]).all()
    rows, columns = np.flatnonzero(image[0].any(axis=1)), np.flatnonzero(image[0].any(axis=0))
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    assert image[0, top:bottom, left:right].all()
    return top, left, bottom - top, right - left


@pytest.mark.parametrize(
    ("image_shape", "kernel_size", "shape", "kernel"),
    [
        (None, None, (1, 5, 5), (3, 3)),
        ((5, 5), 2, (1, 5, 5), (2, 2)),
        ((4, 6), (3, 2), (1, 4, 6), (3, 2)),
        ((3, 4, 5), (1, 4), (3, 4, 5), (1, 4)),
        ([2, 4, 4], 4, (2, 4, 4), (4, 4)),
        (np.array([2, 3, 4]), np.int64(2), (2, 3, 4), (2, 2)),
    ],
)
def test_convolutional_gates_fill_a_patch_of_all_channels(image_shape, kernel_size, shape, kernel):
    X = distinct_data(math.prod(shape))
    patterns = sample_patterns(X, 150, "convolutional", image_shape=image_shape, kernel_size=kernel_size)
    patches = [patch(gate, shape) for gate in patterns.G.T]
    assert {bounds[2:] for bounds in patches} == {kernel}
    tops, lefts = range(shape[1] - kernel[0] + 1), range(shape[2] - kernel[1] + 1)
    assert {bounds[:2] for bounds in patches} == {(top, left) for top in tops for left in lefts}


# Bias


@pytest.fixture
def with_bias(X):
    return np.column_stack([X, np.full(40, 0.25)])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_bias_extends_the_gates_by_zero(X, with_bias, kind):
    plain = sample_patterns(X, 30, kind)
    extended = sample_patterns(with_bias, 30, kind, bias=True)
    np.testing.assert_array_equal(extended.G, np.vstack([plain.G, np.zeros(len(plain))]))
    np.testing.assert_array_equal(extended.D, plain.D)


def test_images_do_not_include_the_bias_column():
    X = np.column_stack([distinct_data(16), np.ones(60)])
    patterns = sample_patterns(X, 20, "convolutional", bias=True)
    assert (patterns.G[-1] == 0).all()
    assert {patch(gate[:-1], (1, 4, 4))[2:] for gate in patterns.G.T} == {(3, 3)}


@pytest.mark.parametrize("constant", [1.0, -0.25, 1e-3])
@pytest.mark.parametrize("fraction", [0.005, 0.02, 0.1, 0.5, 0.73, 0.999])
@pytest.mark.parametrize("n", [39, 40])
def test_each_gate_is_active_on_the_fraction(X, n, fraction, constant):
    data = np.column_stack([X[:n], np.full(n, constant)])
    patterns = sample_patterns(data, 50, bias=True, active_proportion=fraction)
    assert (np.abs(patterns.D.mean(axis=0) - fraction) <= 1 / n).all()
    expected = min(max(round(n * fraction), 1), n - 1)
    assert (patterns.D.sum(axis=0) == expected).all()
    patterns.check_matches(data)
    np.testing.assert_array_equal(patterns.witnesses(data)[0], patterns.G)


def test_bias_is_a_quantile_of_the_products(X, with_bias):
    patterns = sample_patterns(with_bias, 20, bias=True, active_proportion=0.3)
    products = np.sort(X @ patterns.G[:-1], axis=0)
    np.testing.assert_allclose(-0.25 * patterns.G[-1], (products[27] + products[28]) / 2, rtol=1e-12)


def test_bias_is_independent_of_the_block_size(with_bias, monkeypatch):
    unblocked = sample_patterns(with_bias, 20, bias=True, active_proportion=0.3)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
    np.testing.assert_allclose(
        sample_patterns(with_bias, 20, bias=True, active_proportion=0.3).G, unblocked.G, rtol=1e-12
    )


def test_equal_products_are_active_together():
    # Five equal rows: 0, 1, 5 or 6 rows can be active, but not 3 of 6.
    X = np.array([[1.0, 1.0]] * 5 + [[2.0, 1.0]])
    patterns = sample_patterns(X, 20, "sparse", bias=True, active_proportion=0.5)
    assert {int(k) for k in patterns.D.sum(axis=0)} <= {1, 5, 6}
    assert (patterns.D[:5] == patterns.D[0]).all()


# Refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_gates": 0}, ValueError, "n_gates must be an integer >= 1; got 0"),
        ({"n_gates": 2.0}, TypeError, "n_gates must be an integer >= 1; got 2.0"),
        (
            {"kind": "gauss"},
            ValueError,
            "kind must be one of 'convolutional', 'dense', 'sparse'; got 'gauss'",
        ),
        (
            {"seed": None},
            TypeError,
            r"seed, if not a numpy.random.Generator, must be an integer >= 0; got None",
        ),
        ({"seed": -1}, ValueError, "must be an integer >= 0; got -1"),
        ({"X": np.ones(3)}, ValueError, "X must be a 2-D array"),
        ({"order": 2}, ValueError, "order is an option of kind='sparse' only; got order=2 for kind='dense'"),
        ({"kind": "convolutional", "order": 1}, ValueError, "order is an option of kind='sparse' only"),
        ({"image_shape": (2, 3)}, ValueError, "image_shape is an option of kind='convolutional' only"),
        (
            {"kind": "sparse", "kernel_size": 3},
            ValueError,
            "kernel_size is an option of kind='convolutional'",
        ),
        (
            {"kind": "sparse", "order": 7},
            ValueError,
            "order must be at most the number of features, 6; got 7",
        ),
        ({"kind": "sparse", "order": 0}, ValueError, "order must be an integer >= 1; got 0"),
        ({"kind": "sparse", "order": 1.5}, TypeError, "order must be an integer >= 1; got 1.5"),
        ({"bias": "yes"}, TypeError, "bias must be True or False; got 'yes'"),
        ({"bias": True}, ValueError, "last column of X must be constant and non-zero; got entries from -"),
        ({"X": np.eye(3, 2)[:, ::-1] * 0, "bias": True}, ValueError, "non-zero; got entries from 0 to 0"),
        ({"X": np.array([[9.0, 8, 1], [7, 6, 2]]), "bias": True}, ValueError, "got entries from 1 to 2"),
        ({"X": np.ones((3, 1)), "bias": True}, ValueError, "with bias=True X must have a feature beside the constant"),
        (
            {"active_proportion": 0.5},
            ValueError,
            "active_proportion needs bias=True; got active_proportion=0.5",
        ),
    ],
)
def test_bad_arguments_are_refused(X, options, error, message):
    with pytest.raises(error, match=message):
        sample_patterns(**{"X": X, "n_gates": 5, **options})


@pytest.mark.parametrize(
    ("fraction", "error", "message"),
    [
        (0.0, ValueError, "active_proportion must be a finite number > 0 and <= 1; got 0.0"),
        (1.0, ValueError, "active_proportion must be a number > 0 and < 1; got 1.0"),
        (1.5, ValueError, "active_proportion must be"),
        ("half", TypeError, "active_proportion must be"),
    ],
)
def test_bad_proportions_are_refused(with_bias, fraction, error, message):
    with pytest.raises(error, match=message):
        sample_patterns(with_bias, 5, bias=True, active_proportion=fraction)


def test_proportion_of_one_row_is_refused():
    with pytest.raises(ValueError, match="active_proportion needs at least two rows of X"):
        sample_patterns([[3.0, 1.0]], 5, bias=True, active_proportion=0.5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "image_shape must be given.*6 features are not a square image"),
        (
            {"image_shape": (2, 4)},
            ValueError,
            r"image_shape must have as many entries .* 6; got \(2, 4\) with 8",
        ),
        ({"image_shape": (6,)}, ValueError, r"image_shape must be \(height, width\) or \(channels, height"),
        ({"image_shape": 6}, ValueError, r"image_shape must be \(height, width\) or .*; got 6"),
        ({"image_shape": (-2, -3)}, ValueError, "each entry of image_shape must be an integer >= 1; got -2"),
        (
            {"image_shape": (2.0, 3.0)},
            TypeError,
            "each entry of image_shape must be an integer >= 1; got 2.0",
        ),
        ({"image_shape": (2, 3)}, ValueError, "kernel_size must fit the image of 2 x 3; got 3 x 3"),
        (
            {"image_shape": (2, 3), "kernel_size": (1, 4)},
            ValueError,
            "must fit the image of 2 x 3; got 1 x 4",
        ),
        ({"image_shape": (2, 3), "kernel_size": 0}, ValueError, "each entry of kernel_size .* got 0"),
        ({"image_shape": (2, 3), "kernel_size": (1, 1, 1)}, ValueError, "kernel_size must be an integer or"),
        ({"image_shape": (2, 3), "kernel_size": 1.5}, TypeError, "each entry of kernel_size .* got 1.5"),
    ],
)
def test_bad_images_are_refused(X, options, error, message):
    with pytest.raises(error, match=message):
        sample_patterns(X, 5, "convolutional", **options)
