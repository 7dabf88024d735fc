"""Cells of a central arrangement of hyperplanes, by recursive splitting of cones given by their extreme rays.

A hyperplane {w : e'w = 0} is called a line here, after its normal: +e and -e are the same.

Each cone stores its extreme rays and the lines that still cut it. It is split by the most central line, so that the
remaining lines decrease with the size of the cone and the work is proportional to the number of cells. New rays lie on
the edges that the line crosses: the double description method of Motzkin, Raiffa, Thompson & Thrall (1953), reviewed by
Fukuda & Prodon, "Double description method revisited" (1996). Cells are the leaves of a tree, so each occurs once.

Effects of rounding: rays are non-negative combinations of older rays, so the cones of a level cover the space however
lines that touch them are classified. A misclassification, or a cone thinner than `RESOLUTION`, can only add a sliver or
merge one with its neighbour. Leaves are candidates: callers must verify their signs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray

# Unit vectors closer than this are equal; a product of unit vectors below it is zero. Rays are accurate to a few eps
# times the condition number of the lines that define them: this allows a condition number of about 1000.
RESOLUTION = 2.0**-40

# Coordinates of rays held at once in products with lines.
_BATCH = 2**20
_WORD = 64

IntArray = NDArray[np.intp]


@dataclass
class Leaves:
    """Cells: cones that no line cuts.

    Attributes
    ----------
    witnesses : ndarray of shape (m, r)
        A unit vector inside each cell.
    path : ndarray of shape (m, k), int
        The lines that separate each cell from the others.
    sides : ndarray of shape (m, k), bool
        Whether the cell is on the positive side of those lines.
    """

    witnesses: FloatArray
    path: IntArray
    sides: NDArray[np.bool_]


def half_of_the_cells(lines: FloatArray, basis: IntArray) -> Iterator[Leaves]:
    """Yield the cells on the positive side of line ``basis[0]``; the other cells are their negatives.

    Memory is independent of the number of cells.

    Parameters
    ----------
    lines : ndarray of shape (N, r), float64
        Unit normals that span the space.
    basis : ndarray of shape (r,), int
        Lines that form a well-conditioned basis.
    """
    r = lines.shape[1]
    axes = np.linalg.inv(lines[basis]).T
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    others = np.setdiff1d(np.arange(len(lines)), basis)
    size = max(1, _BATCH // (r * r * max(r, len(others))))
    for start in range(0, 2 ** (r - 1), size):
        codes = np.arange(start, min(start + size, 2 ** (r - 1)))
        sides = np.ones((len(codes), r), dtype=np.bool_)
        sides[:, 1:] = (codes[:, None] >> np.arange(r - 1)) & 1
        stack = [_Cones.orthants(axes, basis, sides, others, lines)]
        while stack:
            cones = stack.pop()
            if cones.work * r > _BATCH and len(cones) > 1:
                half = len(cones) // 2
                stack += [cones.take(np.arange(half, len(cones))), cones.take(np.arange(half))]
                continue
            leaf = cones.n_lines == 0
            if leaf.any():
                yield cones.take(np.flatnonzero(leaf)).leaves()
            if not leaf.all():
                stack.append(cones.take(np.flatnonzero(~leaf)).split(lines))


@dataclass
class _Cones:
    """Cones of equal depth in the tree, stored one after another in flat arrays.

    ``tight[i]`` has bit b if ray i lies on line ``path[:, b]`` of its cone.
    """

    rays: FloatArray  # (R, r)
    tight: NDArray[np.uint64]  # (R, words)
    n_rays: IntArray  # (C,)
    cutting: IntArray  # (L,)
    n_lines: IntArray  # (C,)
    path: IntArray  # (C, depth)
    sides: NDArray[np.bool_]  # (C, depth)

    @classmethod
    def orthants(
        cls, axes: FloatArray, basis: IntArray, sides: NDArray[np.bool_], others: IntArray, lines: FloatArray
    ) -> Self:
        """Return the cones on the given sides (C, r) of the basis lines, whose rays are +-axes."""
        count, r = sides.shape
        rays = (np.where(sides, 1.0, -1.0)[:, :, None] * axes).reshape(-1, r)
        tight = np.zeros((r, -(-r // _WORD)), dtype=np.uint64)
        for i in range(r):
            for b in range(r):
                if b != i:
                    tight[i, b // _WORD] |= _bit(b)
        cones = cls(
            rays,
            np.tile(tight, (count, 1)),
            np.full(count, r),
            np.tile(others, count),
            np.full(count, len(others)),
            np.tile(basis, (count, 1)),
            sides,
        )
        cones.drop_uncut_lines(lines)
        return cones

    def __len__(self) -> int:
        return len(self.n_rays)

    @property
    def work(self) -> int:
        """Number of products of rays and lines."""
        return int(self.n_rays @ self.n_lines)

    def take(self, which: IntArray) -> "_Cones":
        """Return a subset of the cones."""
        rays = _ranges(_starts(self.n_rays)[which], self.n_rays[which])
        cutting = _ranges(_starts(self.n_lines)[which], self.n_lines[which])
        return _Cones(
            self.rays[rays],
            self.tight[rays],
            self.n_rays[which],
            self.cutting[cutting],
            self.n_lines[which],
            self.path[which],
            self.sides[which],
        )

    def centres(self) -> FloatArray:
        """Return the sum of the unit rays of each cone, an interior point."""
        return np.add.reduceat(self.rays, _starts(self.n_rays), axis=0)

    def leaves(self) -> Leaves:
        """Return the cones as cells."""
        centres = self.centres()
        return Leaves(centres / np.linalg.norm(centres, axis=1, keepdims=True), self.path, self.sides)

    def split(self, lines: FloatArray) -> "_Cones":
        """Return both parts of each cone, split by the most central of its lines."""
        count, r = len(self), lines.shape[1]
        ray_cone = np.repeat(np.arange(count), self.n_rays)
        index = self._most_central(lines)
        chosen = self.cutting[index]
        heights = np.einsum("ij,ij->i", self.rays, lines[chosen][ray_cone])
        above, below = np.flatnonzero(heights > RESOLUTION), np.flatnonzero(heights < -RESOLUTION)
        on = np.flatnonzero(np.abs(heights) <= RESOLUTION)

        # Edges that cross the line: an edge is on at least r - 2 lines. Extra pairs do no harm, but pairs on the same
        # lines, of which a face has many, would multiply: one of each is kept.
        p, q = _pairs(above, below, ray_cone, count)
        common = self.tight[p] & self.tight[q]
        edges = np.flatnonzero(count_bits(common) >= r - 2)
        edges = edges[_first_of_each(ray_cone[p[edges]], common[edges])]
        p, q, common = p[edges], q[edges], common[edges]
        new = self.rays[p] * -heights[q][:, None] + self.rays[q] * heights[p][:, None]
        new /= np.linalg.norm(new, axis=1, keepdims=True)

        depth = self.path.shape[1]
        tight = np.vstack([self.tight, common])
        if depth % _WORD == 0:
            tight = np.column_stack([tight, np.zeros(len(tight), dtype=np.uint64)])
        crossing = np.arange(len(self.rays), len(tight))
        tight[on, depth // _WORD] |= _bit(depth)
        tight[crossing, depth // _WORD] |= _bit(depth)

        # Part 2 i of cone i is above the line, part 2 i + 1 below.
        source = np.concatenate([above, on, crossing, below, on, crossing])
        cone = np.concatenate([ray_cone, ray_cone[p]])[source]
        part = 2 * cone
        part[len(above) + len(on) + len(crossing) :] += 1
        order = np.argsort(part, kind="stable")
        source = source[order]

        remaining = np.ones(len(self.cutting), dtype=np.bool_)
        remaining[index] = False
        n_lines = np.repeat(self.n_lines - 1, 2)
        starts = np.repeat(_starts(self.n_lines - 1), 2)
        path = np.column_stack([self.path, chosen])
        sides = np.column_stack([np.repeat(self.sides, 2, axis=0), np.tile([True, False], count)])
        parts = _Cones(
            np.vstack([self.rays, new])[source],
            tight[source],
            np.bincount(part, minlength=2 * count),
            self.cutting[remaining][_ranges(starts, n_lines)],
            n_lines,
            np.repeat(path, 2, axis=0),
            sides,
        )
        parts.drop_uncut_lines(lines)
        return parts

    def _most_central(self, lines: FloatArray) -> IntArray:
        """Return the index in ``cutting`` of the line nearest to the centre of each cone."""
        cone = np.repeat(np.arange(len(self)), self.n_lines)
        offsets = np.abs(np.einsum("ij,ij->i", lines[self.cutting], self.centres()[cone]))
        smallest = np.minimum.reduceat(offsets, _starts(self.n_lines))
        indices = np.flatnonzero(offsets == smallest[cone])
        return indices[np.unique(cone[indices], return_index=True)[1]]

    def drop_uncut_lines(self, lines: FloatArray) -> None:
        """Keep the lines with rays on both sides."""
        if len(self.cutting) == 0:
            return
        cone = np.repeat(np.arange(len(self)), self.n_lines)
        counts = self.n_rays[cone]
        rays = self.rays[_ranges(_starts(self.n_rays)[cone], counts)]
        heights = np.einsum("ij,ij->i", rays, lines[np.repeat(self.cutting, counts)])
        starts = _starts(counts)
        cuts = np.maximum.reduceat(heights, starts) > RESOLUTION
        cuts &= np.minimum.reduceat(heights, starts) < -RESOLUTION
        self.cutting = self.cutting[cuts]
        self.n_lines = np.bincount(cone[cuts], minlength=len(self))


def _starts(counts: IntArray) -> IntArray:
    """Return the start of each part in a flat array."""
    starts: IntArray = np.cumsum(counts) - counts
    return starts


def _ranges(starts: IntArray, counts: IntArray) -> IntArray:
    """Return the concatenated ranges start, ..., start + count - 1."""
    ranges: IntArray = np.repeat(starts - _starts(counts), counts) + np.arange(counts.sum())
    return ranges


def _pairs(above: IntArray, below: IntArray, ray_cone: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Return all pairs of a ray above and a ray below in the same cone."""
    n_below = np.bincount(ray_cone[below], minlength=count)[ray_cone[above]]
    starts = _starts(np.bincount(ray_cone[below], minlength=count))[ray_cone[above]]
    return np.repeat(above, n_below), below[_ranges(starts, n_below)]


def _first_of_each(owner: IntArray, words: NDArray[np.uint64]) -> IntArray:
    """Return the first index of each distinct pair of an owner and a row of words, ascending."""
    order = np.lexsort((*words.T, owner))
    differs = np.ones(len(order), dtype=np.bool_)
    differs[1:] = np.diff(owner[order]) != 0
    differs[1:] |= (words[order[1:]] != words[order[:-1]]).any(axis=1)
    return np.sort(order[differs])


def _bit(b: int) -> np.uint64:
    return np.uint64(1 << (b % _WORD))


def count_bits(words: NDArray[np.uint64]) -> IntArray:
    """Return the number of set bits in each row; np.bitwise_count needs NumPy 2."""
    x = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    counts: IntArray = ((x * np.uint64(0x0101010101010101)) >> np.uint64(56)).sum(axis=1).astype(np.intp)
    return counts
