"""Cells of arrangements: known numbers of cells, no duplicates, and bounded growth of the rays."""

import itertools
import math

import numpy as np
import pytest
from sklearn.datasets import load_iris

from cvxrelu.patterns import arrangements as module
from cvxrelu.patterns.arrangements import half_of_the_cells


def reflections(kind, r):
    """Return normals of a reflection arrangement: x_i = x_j, optionally with x_i = -x_j and x_i = 0."""
    eye = np.eye(r)
    pairs = list(itertools.combinations(range(r), 2))
    normals = [eye[i] - eye[j] for i, j in pairs]
    if kind != "A":
        normals += [eye[i] + eye[j] for i, j in pairs]
    if kind == "B":
        normals += list(eye)
    return np.array(normals)


def subsets(r):
    return np.array([v for v in itertools.product([0.0, 1.0], repeat=r) if any(v)])


def corners(r):
    """Return the points of {-1, 1}^r with a constant: cells are the threshold functions of r variables."""
    return np.array([(1.0, *v) for v in itertools.product([-1.0, 1.0], repeat=r)])


def as_lines(normals):
    """Return unit normals in coordinates of their span, and the indices of r independent ones."""
    U, s, _ = np.linalg.svd(normals, full_matrices=False)
    units = U[:, s > 1e-9]
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    basis = []
    for i in range(len(units)):
        if np.linalg.matrix_rank(units[[*basis, i]], tol=1e-6) > len(basis):
            basis.append(i)
    return units, np.array(basis)


def all_leaves(lines, basis):
    return list(half_of_the_cells(lines, basis))


ARRANGEMENTS = [
    *((f"A{r}", reflections("A", r + 1), math.factorial(r + 1)) for r in (1, 2, 3, 4, 5, 6)),
    *((f"B{r}", reflections("B", r), 2**r * math.factorial(r)) for r in (2, 3, 4, 5)),
    *((f"D{r}", reflections("D", r), 2 ** (r - 1) * math.factorial(r)) for r in (3, 4, 5, 6)),
    # All-subset arrangement: OEIS A034997. Threshold functions: OEIS A000609.
    *((f"subsets{r}", subsets(r), count) for r, count in ((2, 6), (3, 32), (4, 370), (5, 11292))),
    *((f"threshold{r}", corners(r), count) for r, count in ((2, 14), (3, 104), (4, 1882))),
    ("threshold5", corners(5), 94572),
]


def check_distinct(normals):
    """Check that leaves are distinct cells; return their number."""
    lines, basis = as_lines(normals)
    signs = set()
    total = 0
    for leaves in all_leaves(lines, basis):
        heights = leaves.witnesses @ lines.T
        assert np.abs(heights).min() > 1e-6
        assert (heights[:, basis[0]] > 0).all()
        np.testing.assert_array_equal(np.take_along_axis(heights > 0, leaves.path, axis=1), leaves.sides)
        np.testing.assert_allclose(np.linalg.norm(leaves.witnesses, axis=1), 1.0)
        signs |= {row.tobytes() for row in heights > 0}
        total += len(leaves.witnesses)
    assert len(signs) == total
    return total


@pytest.mark.parametrize(("normals", "count"), [case[1:] for case in ARRANGEMENTS], ids=[c[0] for c in ARRANGEMENTS])
def test_known_numbers_of_cells(normals, count):
    assert 2 * check_distinct(normals) == count


@pytest.mark.parametrize("batch", [1, 1000])
def test_batches_do_not_change_the_cells(monkeypatch, batch):
    monkeypatch.setattr(module, "_BATCH", batch)
    assert 2 * check_distinct(subsets(4)) == 370
    assert 2 * check_distinct(reflections("B", 4)) == 384


@pytest.mark.parametrize(("n", "r"), [(1, 1), (2, 2), (300, 2), (60, 3), (25, 4), (14, 5), (10, 6), (5, 5)])
def test_general_position(n, r):
    lines, basis = as_lines(np.random.default_rng(n).standard_normal((n, r)))
    total = sum(len(leaves.witnesses) for leaves in all_leaves(lines, basis))
    assert total == sum(math.comb(n - 1, k) for k in range(r))


def test_a_cell_with_many_facets_has_more_than_one_word_of_path():
    # The planes touch a circular cone: one cell has all 150 of them as facets.
    angles = 2 * np.pi * np.arange(150) / 150 + 0.1
    normals = np.column_stack([np.cos(angles), np.sin(angles), np.ones(150)])
    lines, basis = as_lines(normals)
    leaves = all_leaves(lines, basis)
    assert max(part.path.shape[1] for part in leaves) >= 150
    # General position.
    assert sum(len(part.witnesses) for part in leaves) == 1 + 149 + math.comb(149, 2)


def test_lines_closer_than_the_resolution_are_merged():
    for angle, count in ((1e-14, 1), (1e-10, 2)):
        lines = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)], [0.0, 1.0]])
        total = sum(len(leaves.witnesses) for leaves in all_leaves(lines, np.array([0, 2])))
        assert total == 1 + count, angle


def test_rays_do_not_multiply_at_near_intersections(monkeypatch):
    # Data on a grid of 0.1: rounding splits their many common intersections into slivers.
    normals = np.column_stack([load_iris().data[:20], np.ones(20)])
    most = []
    split = module._Cones.split

    def counted(cones, lines):
        parts = split(cones, lines)
        most.append(parts.n_rays.max())
        return parts

    monkeypatch.setattr(module._Cones, "split", counted)
    lines, basis = as_lines(normals)
    assert 2 * sum(len(leaves.witnesses) for leaves in all_leaves(lines, basis)) >= 9020
    assert max(most) < 100


def test_count_bits():
    words = np.random.default_rng(0).integers(0, 2**64, size=(50, 3), dtype=np.uint64)
    words[0] = 2**64 - 1
    words[1] = 0
    expected = [sum(int(word).bit_count() for word in row) for row in words]
    np.testing.assert_array_equal(module.count_bits(words), expected)
