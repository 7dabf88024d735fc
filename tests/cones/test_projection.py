import numpy as np

import cvxrelu as cr
from cvxrelu.cones import projection as cone_projection
from cvxrelu.cones.projection import ConeProjector
from tests.helpers.cases import make_data


def test_projections_start_from_the_last_face(monkeypatch):
    """Repeating a projection changes no tight rows, inside the cone or on its boundary."""
    X = make_data("tall")
    patterns = cr.sample_patterns(X, 5)
    blocks = np.arange(len(patterns))
    projector = ConeProjector(X, patterns.D, len(patterns))
    x = np.random.default_rng(0).standard_normal((len(patterns), 3))
    x[0] = patterns.G[:, 0]
    first = projector.project(blocks, x)
    np.testing.assert_array_equal(first[0], x[0])
    assert np.any(first != x)

    def no_pivots(*arguments):
        raise AssertionError("the face is known")

    monkeypatch.setattr(cone_projection, "project_blocks", no_pivots)
    np.testing.assert_allclose(projector.project(blocks, x), first, rtol=1e-14, atol=1e-14)


def test_projections_in_chunks_of_limited_memory(monkeypatch):
    """A block needs n products with the rows and a d x d basis; chunks do not change the result."""
    X = make_data("wide")
    patterns = cr.sample_patterns(X, 9)
    blocks, (n, d) = np.arange(len(patterns)), X.shape
    x = np.random.default_rng(0).standard_normal((len(blocks), d))
    full = ConeProjector(X, patterns.D, len(blocks)).project(blocks, x)
    project, sizes = ConeProjector._project, []

    def note(self, chunk, *rest):
        sizes.append(len(chunk))
        return project(self, chunk, *rest)

    monkeypatch.setattr(ConeProjector, "_project", note)
    monkeypatch.setattr(cone_projection, "_CHUNK_BYTES", 2 * 8 * (n + d**2) + 7)
    np.testing.assert_allclose(ConeProjector(X, patterns.D, len(blocks)).project(blocks, x), full, rtol=1e-14)
    assert sizes == [2] * (len(blocks) // 2) + [1] * (len(blocks) % 2)
