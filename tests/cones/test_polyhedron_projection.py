import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cvxrelu.cones.polyhedron_projection import PolyhedronProjector


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 7))
def test_projections_onto_polyhedra_satisfy_their_optimality_conditions(seed, n, d):
    rng = np.random.default_rng(seed)
    X, G = rng.standard_normal((n, d)), rng.standard_normal((d, 5))
    D = X @ G >= 0
    signs = np.where(D, 1.0, -1.0)
    offsets = np.maximum(signs * (X @ rng.standard_normal((d, 5))), 0.0)
    projector = PolyhedronProjector(X, D, offsets)
    blocks = np.arange(5)
    for _ in range(3):  # from scratch, then from the face of the last projection
        x = rng.standard_normal((5, d)) * 10.0 ** rng.integers(-2, 3)
        p = projector.project(blocks, x)
        scale = max(np.abs(x).max(), np.abs(p).max())
        assert projector.margins(blocks, p).min() >= -1e-8 * scale
        for b in blocks:
            rows = projector.tight_rows(b)
            R = signs[rows, b][:, None] * X[rows]
            gamma = np.linalg.lstsq(R.T, p[b] - x[b], rcond=None)[0] if len(rows) else np.zeros(0)
            assert np.allclose(R.T @ gamma, p[b] - x[b], atol=1e-7 * scale)
            assert (gamma >= -1e-6 * scale).all()
            assert np.allclose(R @ p[b], offsets[rows, b], atol=1e-7 * scale)


def test_an_empty_polyhedron_has_negative_margins():
    X = np.array([[1.0, 0.0], [-1.0, 0.0]])
    projector = PolyhedronProjector(X, np.ones((2, 1), dtype=bool), np.ones((2, 1)))
    p = projector.project(np.arange(1), np.zeros((1, 2)))
    assert projector.margins(np.arange(1), p).min() < -0.1
