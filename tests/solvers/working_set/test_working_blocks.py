"""Operators and Newton systems on the working set, against dense matrices."""

import numpy as np
import pytest

from cvxrelu.solvers.working_set import working_blocks
from cvxrelu.solvers.working_set.working_blocks import WorkingBlocks


@pytest.mark.parametrize("chunk", [7, 1024])
@pytest.mark.parametrize(("n", "n_roots"), [(40, 2), (8, 4)])
@pytest.mark.parametrize("c", [1, 2])
def test_products_and_systems_agree_with_dense_matrices(monkeypatch, chunk, n, n_roots, c):
    """For fewer and for more columns than rows, in one and in several chunks of rows."""
    monkeypatch.setattr(working_blocks, "_CHUNK", chunk)
    rng = np.random.default_rng(0)
    d, P = 4, 5
    X, D = rng.standard_normal((n, d)), rng.random((n, P)) < 0.5
    ids = np.arange(0, 2 * c * P, 2)
    blocks = WorkingBlocks(X, D, c, ids)
    A = np.zeros((len(ids), n, c, d))
    for b, i in enumerate(ids):
        A[b, :, (i // P) % c] = (1.0 if i < c * P else -1.0) * D[:, i % P, None] * X
    t = rng.standard_normal((n, c))
    np.testing.assert_allclose(blocks.adjoint(t), np.einsum("bncd,nc->bd", A, t), atol=1e-12)

    active = np.flatnonzero(rng.random(len(ids)) < 0.8)
    u = rng.standard_normal((len(active), d))
    np.testing.assert_allclose(blocks.forward(active, u), np.einsum("bncd,bd->nc", A[active], u), atol=1e-12)

    owners = np.sort(rng.integers(0, len(ids), 7))
    v = rng.standard_normal((7, d))
    columns = np.einsum("bncd,bd->bnc", A[owners], v).reshape(7, -1)
    np.testing.assert_allclose(blocks.gram(owners, v, 3), columns @ columns[3:].T, atol=1e-11)

    counts = np.full(len(active), n_roots)
    roots = rng.standard_normal((counts.sum(), d))
    response, g = rng.uniform(0.1, 2.0, (n, c)), rng.standard_normal((n, c))
    H = np.diag(1.0 / response.ravel())
    for k, b in enumerate(active):
        B = np.einsum("ncd,md->mnc", A[b], roots[k * n_roots : (k + 1) * n_roots]).reshape(n_roots, -1)
        H += B.T @ B
    expected = np.linalg.solve(H, g.ravel()).reshape(n, c)
    np.testing.assert_allclose(blocks.solve(active, roots, counts, response, g), expected, atol=1e-11)


@pytest.mark.parametrize("n_roots", [2, 12])
def test_systems_in_float32_agree_to_its_precision(n_roots):
    rng = np.random.default_rng(1)
    n, d, P = 30, 4, 5
    X, D = rng.standard_normal((n, d)), rng.random((n, P)) < 0.5
    blocks = WorkingBlocks(X, D, 1, np.arange(P))
    active, counts = np.arange(P), np.full(P, n_roots)
    roots, response, g = rng.standard_normal((P * n_roots, d)), np.ones((n, 1)), rng.standard_normal((n, 1))
    exact = blocks.solve(active, roots, counts, response, g)
    single = blocks.solve(active, roots, counts, response, g, np.float32)
    assert 0.0 < np.abs(single - exact).max() < 1e-5 * np.abs(g).max()
