from dataclasses import fields

import numpy as np
import pytest
from scipy.optimize import nnls

import cvxrelu as cr
from cvxrelu.cones import projection as cone_projection
from cvxrelu.cones.projection import ConeProjector
from tests.helpers.cases import make_data


def test_projections_start_from_the_last_face():
    """Repeating a projection changes no tight rows and finds no violated ones, inside the cone or on its boundary."""
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 5)
    blocks = np.arange(len(patterns))
    projector = ConeProjector(X, patterns.D, len(patterns))
    x = np.random.default_rng(0).standard_normal((len(patterns), 3))
    x[0] = patterns.G[:, 0]
    first = projector.project(blocks, x)
    np.testing.assert_array_equal(first[0], x[0])
    assert np.any(first != x)
    faces = projector._faces
    state = [getattr(faces, each.name).copy() for each in fields(faces)]
    np.testing.assert_allclose(projector.project(blocks, x), first, rtol=1e-14, atol=1e-14)
    for before, each in zip(state, fields(faces), strict=True):
        np.testing.assert_array_equal(before, getattr(faces, each.name))


def test_the_clock_is_read_between_chunks(monkeypatch):
    """Chunks do not change projections; blocks left when time is up are returned unchanged."""
    X = make_data("wide")
    patterns = cr.sample_patterns(X, 9)
    blocks, (n, d) = np.arange(len(patterns)), X.shape
    x = np.random.default_rng(0).standard_normal((len(blocks), d))
    full = ConeProjector(X, patterns.D, len(blocks)).project(blocks, x)
    monkeypatch.setattr(cone_projection, "_CHUNK_OPERATIONS", 2 * d * (n + d**2) + 1)
    np.testing.assert_allclose(ConeProjector(X, patterns.D, len(blocks)).project(blocks, x), full, rtol=1e-14)
    answers = iter([False, False, True])
    stopped = ConeProjector(X, patterns.D, len(blocks)).project(blocks, x, expired=lambda: next(answers))
    np.testing.assert_allclose(stopped, np.concatenate([full[:4], x[4:]]), rtol=1e-14)


def degenerate_data(kind, rng, n=60, d=5):
    """Return X with rows that make cones degenerate."""
    X = rng.standard_normal((n, d))
    if kind == "duplicates":
        X[n // 2 :] = X[: n - n // 2] * rng.uniform(0.1, 10.0, (n - n // 2, 1))
    elif kind == "zeros":
        X[::3] = 0.0
    elif kind == "opposite":
        X[n // 2 :] = -X[: n - n // 2]
    elif kind == "flat":  # rows of a subspace: cones contain lines
        X[:, -2:] = 0.0
    elif kind == "integers":  # many rows on each ray, many ties
        X = rng.integers(-1, 2, (n, d)).astype(float)
    elif kind == "scales":
        X *= 10.0 ** rng.integers(-8, 9, (n, 1))
    elif kind == "features":
        X *= 10.0 ** rng.integers(-2, 3, d)
    return X


@pytest.mark.parametrize("kind", ["plain", "duplicates", "zeros", "opposite", "flat", "integers", "scales", "features"])
@pytest.mark.parametrize("masks", ["sampled", "random", "all"])
def test_projections_agree_with_non_negative_least_squares(kind, masks):
    """Random masks have cones that are rays, subspaces or {0}; the state of earlier projections does not matter."""
    rng = np.random.default_rng([len(kind), len(masks)])
    X = degenerate_data(kind, rng)
    n, d = X.shape
    D = {
        "sampled": X @ rng.standard_normal((d, 6)) >= 0.0,
        "random": rng.random((n, 6)) < 0.5,
        "all": np.ones((n, 6), dtype=bool),
    }[masks]
    projector, blocks = ConeProjector(X, D, 12), np.arange(12)
    norms = np.linalg.norm(X, axis=1)
    for scale in (1.0, 1e-8, 1e8, 1.0):
        x = scale * rng.standard_normal((12, d))
        p = projector.project(blocks, x)
        multipliers = projector.multipliers(blocks, x).toarray()
        assert (multipliers >= 0.0).all()
        for b in blocks:
            R = np.where(D[:, b % 6], 1.0, -1.0)[:, None] * X
            unit = R[norms > 0.0] / norms[norms > 0.0, None]
            gamma, _ = nnls(unit.T, -x[b] / scale, maxiter=10_000)
            expected = x[b] + scale * unit.T @ gamma
            np.testing.assert_allclose(p[b], expected, atol=1e-9 * scale)
            np.testing.assert_allclose(x[b] + R.T @ multipliers[b], expected, atol=2e-6 * scale)


def test_tall_cones_agree_with_non_negative_least_squares():
    """Cones of 3,000 rows in 20 dimensions: rays, found from few candidates."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 20))
    patterns = cr.sample_patterns(X, 4, seed=0)
    projector, blocks = ConeProjector(X, patterns.D, 4), np.arange(4)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    for _ in range(2):
        x = rng.standard_normal((4, 20))
        p = projector.project(blocks, x)
        for b in blocks:
            R = np.where(patterns.D[:, b], 1.0, -1.0)[:, None] * unit
            np.testing.assert_allclose(p[b], x[b] + R.T @ nnls(R.T, -x[b], maxiter=10_000)[0], atol=1e-9)
    slots = projector._faces.candidates.shape[1]
    assert slots < 100


def test_a_projection_stops_below_the_threshold():
    """It is x + R'g for some g >= 0 with a norm between that of the projection and the threshold."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 8))
    patterns = cr.sample_patterns(X, 5, seed=0)
    blocks, x = np.arange(5), rng.standard_normal((5, 8))
    exact = np.linalg.norm(ConeProjector(X, patterns.D, 5).project(blocks, x), axis=1)
    projector = ConeProjector(X, patterns.D, 5)
    sizes = np.linalg.norm(projector.project(blocks, x, threshold=1.5), axis=1)
    assert (sizes >= exact - 1e-12).all()
    assert ((sizes <= 1.5) | np.isclose(sizes, exact)).all()
    np.testing.assert_allclose(projector.bounds(blocks, x), sizes, rtol=1e-12)
