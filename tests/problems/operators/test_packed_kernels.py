"""The kernel of Gram matrices on more rows, columns and pairs than it holds at once."""

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.problems.operators import packed_products
from cvxrelu.problems.operators.packed_kernels import BLOCK, FLUSH
from cvxrelu.problems.operators.shared import symmetric


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
