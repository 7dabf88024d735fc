import numpy as np
import pytest

from cvxrelu.runtime import vectors
from cvxrelu.runtime.compilation import Kernel, PreparedArray
from cvxrelu.runtime.vectors import (
    add,
    add_product,
    add_scaled,
    aligned_zeros,
    lanes,
    load,
    multiply,
    scale,
    store,
    total,
    transpose_bits,
    zeros,
)


def compute(x, y, out, number, i):
    """Use every routine but those that add products."""
    a, b = load(x, i), load(y, 1)
    store(out, 1, add(multiply(a, b), scale(x[0], add(a, zeros(x)))))
    number[0] = lanes(x)
    out[0] = total(b)


def add_products(x, y, out, i):
    store(out, 0, add_product(load(x, i), load(x, 1), load(y, 2)))
    store(out, lanes(x), add_scaled(load(x, i), y[0], load(y, 2)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_are_added_to_one_rounding_or_two(dtype):
    kernel = Kernel(add_products, f"({dtype}[::1], {dtype}[::1], {dtype}[::1], int64)")
    x, y = np.random.default_rng(0).uniform(1.0, 2.0, (2, 20)).astype(dtype)
    size = vectors.BYTES // x.itemsize
    expected = np.concatenate([x[3 : 3 + size] + factor * y[2 : 2 + size] for factor in (x[1 : 1 + size], y[0])])
    for call in (kernel, add_products):
        out = np.zeros(2 * size, dtype)
        call(x, y, out, 3)
        np.testing.assert_allclose(out, expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_vectors_are_those_of_numpy(dtype):
    kernel = Kernel(compute, f"({dtype}[::1], {dtype}[::1], {dtype}[::1], int64[::1], int64)")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 20)).astype(dtype)
    results = []
    for call in (kernel, compute):
        out, number = np.zeros(12, dtype), np.zeros(1, np.int64)
        call(x, y, out, number, 3)
        results.append(out)
        assert number[0] == vectors.BYTES // x.itemsize
    np.testing.assert_array_equal(*results)
    a, b = x[3 : 3 + number[0]], y[1 : 1 + number[0]]
    np.testing.assert_allclose(results[0][1 : 1 + number[0]], a * b + x[0] * a, rtol=1e-6)
    np.testing.assert_allclose(results[0][0], b.sum(), rtol=1e-5)
    assert not results[0][1 + number[0] :].any()


def transpose(matrix, words, i, j):
    transpose_bits(matrix, i, words, j)


def test_transposed_bits_are_those_of_numpy():
    kernel = Kernel(transpose, "(uint32[::1], uint32[::1], int64, int64)")
    matrix = np.random.default_rng(0).integers(0, 2**32, 40, dtype=np.uint32)
    bits = np.unpackbits(matrix[3:35].view(np.uint8)).reshape(32, 32)
    for call in (kernel, transpose):
        words = np.zeros(40, dtype=np.uint32)
        call(matrix, words, 3, 5)
        np.testing.assert_array_equal(np.unpackbits(words[5:37].view(np.uint8)).reshape(32, 32), bits.T)
        assert not words[:5].any()
        assert not words[37:].any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint32])
def test_aligned_arrays_start_with_a_cache_line(dtype):
    for size in (1, 100, 4097):
        array = aligned_zeros(size, dtype)
        assert array.dtype == dtype
        assert array.shape == (size,)
        assert array.ctypes.data % 64 == 0
        assert not array.any()


def test_prepared_arrays_are_the_arrays(tiny):
    module = tiny[0]()
    x = PreparedArray(np.array([1.0, 3.0]))
    module.halve(x)
    assert x.array.tolist() == [0.5, 1.5]
    with pytest.raises(TypeError):
        module.halve(PreparedArray(np.ones(2, dtype=np.float32)))
    with pytest.raises(ValueError, match="C-ordered"):
        PreparedArray(np.ones(4)[::2])


def test_read_only_and_empty_arrays(tiny):
    module = tiny[0]()
    x = np.array([1.0])
    x.flags.writeable = False
    module.halve(x)
    assert x.tolist() == [0.5]
    module.halve(np.zeros(0))
