from dataclasses import fields

import numpy as np

from cvxrelu.numerics.active_set import Faces


def project(faces, unit, x, limit=100):
    """Project one block onto the cone of the signed rows."""
    zero = np.zeros(1, dtype=np.intp)
    active = np.ones((1, len(unit)), dtype=bool)
    return faces.project(unit, active, zero, np.empty((1, 0)), zero, x[None], np.array([1e-12]), -1.0, limit)[0]


def one_block(d):
    faces = Faces.of(1, d)
    faces.reset(slice(None))
    return faces


def test_the_most_violated_row_enters_first():
    """The violated rows become candidates; after one pivot the worst of them is tight."""
    faces = one_block(4)
    p = project(faces, np.eye(4), np.array([-0.9, 3.0, -1.0, -0.1]), limit=1)
    assert faces.row[faces.tight].tolist() == [2]
    assert sorted(faces.candidates[0, : faces.candidates[0, -1]]) == [0, 2, 3]
    np.testing.assert_array_equal(p, [-0.9, 3.0, 0.0, -0.1])


def test_more_violated_rows_than_candidates():
    """With 1,000 rows a product finds the 16 most violated ones, and the ring of candidates is overwritten."""
    rng = np.random.default_rng(0)
    faces = one_block(3)
    unit = rng.normal([0.0, 0.0, 2.0], size=(1000, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    x = np.array([0.3, 0.1, -1.0])
    project(faces, unit, x, limit=1)
    assert set(faces.candidates[0, :16]) == set(np.argsort(unit @ x)[:16])
    for _ in range(20):
        x = rng.standard_normal(3) - [0.0, 0.0, 1.0]
        p = project(faces, unit, x)
        assert (unit @ p).min() >= -1e-12
        assert abs(p @ (p - x)) <= 1e-12  # with p - x = R'g, g >= 0: the projection
        assert (faces.gamma >= 0.0).all()
        used = faces.tight[0]
        np.testing.assert_allclose(faces.gamma[0, used] @ unit[faces.row[0, used]], p - x, atol=1e-12)


def test_copies_keep_the_tight_rows():
    faces = one_block(2)
    project(faces, np.eye(2), np.array([-1.0, 2.0]))
    larger = faces.resized(5, 1)
    assert len(larger) == 5
    for each in fields(faces):
        np.testing.assert_array_equal(getattr(larger, each.name)[:1], getattr(faces, each.name))


def test_violations_at_the_tolerance_do_not_cycle():
    """Whether a row is violated may depend on the order of summation, which differs between passes."""
    rng = np.random.default_rng(1)
    zero = np.zeros(1, dtype=np.intp)
    for _ in range(200):
        n, d = rng.integers(2, 40, 2)
        unit = rng.standard_normal((n, d))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        x = rng.standard_normal(d)
        tolerance = np.abs((unit @ x).min()) * (1.0 + rng.integers(-3, 4) * 2.0**-52)
        faces, active = one_block(d), np.ones((1, n), dtype=bool)
        p = faces.project(unit, active, zero, np.empty((1, 0)), zero, x[None], np.array([tolerance]), -1.0, 20 * d)[0]
        assert (unit @ p).min() >= -tolerance - 1e-14
