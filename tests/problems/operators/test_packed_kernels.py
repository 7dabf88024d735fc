"""Kernels of masked products: compiled as written, and Gram matrices of more rows and pairs than they hold at once."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.problems.operators import packed_products
from cvxrelu.problems.operators.packed_kernels import BLOCK, FLUSH
from cvxrelu.problems.operators.shared import symmetric

PRODUCTS = [product for each in (packed_products.FORWARD, packed_products.ADJOINT) for product in each.values()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 9, 20])
def test_gram_matrices_of_many_rows_and_pairs(dtype, d):
    rng = np.random.default_rng(0)
    n, P = 2 * FLUSH + 77, 40
    X, D, weights = rng.standard_normal((n, d)).astype(dtype), rng.random((n, P)) < 0.5, rng.random(n).astype(dtype)
    first, second = np.triu_indices(P)
    assert len(first) > BLOCK
    packed_products.GRAM[np.dtype(dtype)].kernel.compile()
    operator = cr.GatedOperator(X, D)
    triangles = packed_products.gram(operator._data, operator._patterns, first, second, weights)
    B = (D[:, :, None] * X[:, None, :].astype(float)).reshape(n, -1)
    exact = (B.T @ (weights[:, None] * B)).reshape(P, d, P, d).swapaxes(1, 2)[first, second]
    np.testing.assert_allclose(symmetric(triangles, d), exact, atol=np.finfo(dtype).eps * n)


@pytest.mark.parametrize("P", [20, 37])  # one pass over the patterns, and two
def test_kernels_are_those_of_their_source(P):
    """Numba compiles what Python runs."""
    rng = np.random.default_rng(0)
    n, d = 45, 6
    X, D = rng.standard_normal((n, d)), rng.random((n, P)) < 0.5
    U, t = rng.standard_normal((2, P, d)), rng.standard_normal((n, 2))
    operator = cr.GatedOperator(X, D)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_products, "SMALLEST", 0.0)
        for product in PRODUCTS:
            product.kernel.compile()
        compiled = operator.forward(U), operator.adjoint(t)
        for product in PRODUCTS:
            for callee in product.kernel.callees - {product.kernel}:
                patch.setattr(callee, "_compiled", callee.function)
            patch.setattr(product.kernel, "_compiled", plain(product.kernel))
        interpreted = operator.forward(U), operator.adjoint(t)
    for one, other in zip(compiled, interpreted, strict=True):
        np.testing.assert_array_equal(one, other)


def plain(kernel):
    """Return a kernel's Python function, with arrays in place of prepared ones."""
    return lambda *arguments: kernel.function(*[getattr(each, "array", each) for each in arguments])
