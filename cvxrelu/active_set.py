"""The dual active-set method of Goldfarb and Idnani (1983) for projections onto {p : R p >= b}, many in step.

The rows R are signed rows of X of norm one. Of each block it keeps the tight rows T and a basis of R^d in d slots:
the columns of the pseudo-inverse of R_T, and an orthonormal basis of the null space of R_T. Blocks pivot in step, as
batches of small matrices: NumPy's overhead is paid once for all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray

IndexArray = NDArray[np.intp]

_DEPENDENT = 1e-20  # squared distance of a unit row from the span of the tight rows


@dataclass
class Pivots:
    """Blocks on their way to new tight sets, with arrays of one entry per block.

    Each has a dual feasible point: p = x + R_T'g + (entering multiplier) r, g >= 0, for the row r that enters.
    """

    position: IndexArray
    x: FloatArray
    signs: FloatArray
    tolerance: FloatArray
    basis: FloatArray
    tight: BoolArray
    row: IndexArray
    level: FloatArray
    offset: FloatArray
    gamma: FloatArray
    p: FloatArray
    entering: IndexArray
    entering_gamma: FloatArray
    entering_row: FloatArray
    entering_level: FloatArray

    @classmethod
    def start(
        cls,
        position: IndexArray,
        x: FloatArray,
        signs: FloatArray,
        tolerance: FloatArray,
        basis: FloatArray,
        tight: BoolArray,
        row: IndexArray,
        level: FloatArray,
        offset: FloatArray,
    ) -> "Pivots":
        """Return the blocks with tight rows of negative multipliers dropped.

        ``level`` (B, d) is b of the tight rows in their slots, ``offset`` (B, n) of all rows; (B, 0) if b = 0.
        """
        _drop_negative(x, basis, tight, level)
        p, gamma = on_face(x, basis, tight, level)
        nothing = np.full(len(x), -1)
        gamma = np.maximum(gamma, 0.0)
        zero = np.zeros(len(x))
        return cls(
            position=position,
            x=x,
            signs=signs,
            tolerance=tolerance,
            basis=basis,
            tight=tight,
            row=row,
            level=level,
            offset=offset,
            gamma=gamma,
            p=p,
            entering=nothing,
            entering_gamma=zero,
            entering_row=np.zeros_like(x),
            entering_level=zero.copy(),
        )

    def run(self, unit: FloatArray, columns: FloatArray, enough: float, slack: float, limit: int) -> Iterator["Pivots"]:
        """Yield blocks as they are done: exact, no longer than ``enough``, or after ``limit`` pivots.

        ``unit`` (n, d) are the unsigned unit rows, ``columns`` their transpose.
        """
        n_pivots = 0
        while len(self.x):
            done = self._choose(unit, columns, enough, slack)
            if n_pivots >= limit:
                done |= self.entering_gamma == 0.0
            yield from self._leave(done)
            if len(self.x):
                stuck = self._pivot()
                n_pivots += 1
                if stuck.any():  # a row that is dependent on the tight ones to rounding
                    yield from self._leave(stuck, unfinished=True)

    def _leave(self, done: BoolArray, unfinished: bool = False) -> Iterator["Pivots"]:
        if not done.any():
            return
        leaving = self._select(done)
        if unfinished:  # without the row that was entering, multipliers may be negative again
            _drop_negative(leaving.x, leaving.basis, leaving.tight, leaving.level)
        yield leaving
        stay = np.flatnonzero(~done)
        for name in _FIELDS:
            setattr(self, name, getattr(self, name)[stay])

    def _select(self, chosen: BoolArray) -> "Pivots":
        places = np.flatnonzero(chosen)
        return Pivots(*(getattr(self, name)[places] for name in _FIELDS))

    def _choose(self, unit: FloatArray, columns: FloatArray, enough: float, slack: float) -> BoolArray:
        """Let the most violated row of each block enter that has none; return which blocks need none."""
        done = np.zeros(len(self.x), dtype=bool)
        k = np.flatnonzero(self.entering < 0)
        if len(k):
            every = len(k) == len(done)
            p = self.p if every else self.p[k]
            margins = p @ columns
            margins *= self.signs if every else self.signs[k]
            shifted = self.offset.shape[1] > 0
            if shifted:
                margins -= self.offset if every else self.offset[k]
            j = margins.argmin(axis=1)
            size = row_norms(p)
            allowed = np.maximum(self.tolerance[k], slack * size)
            done[k] = (margins[np.arange(len(k)), j] >= -allowed) | (size <= enough)
            self.entering[k] = j
            self.entering_row[k] = unit[j] * self.signs[k, j][:, None]
            self.entering_gamma[k] = 0.0
            if shifted:
                self.entering_level[k] = self.offset[k, j]
        return done

    def _pivot(self) -> BoolArray:
        """Move along the dual until the entering row is tight or a multiplier is zero, and change the tight set.

        Returns which blocks could not move.
        """
        block = np.arange(len(self.x))
        coordinates = np.matmul(self.basis, self.entering_row[:, :, None])[:, :, 0]
        on_tight = coordinates * self.tight
        on_face = coordinates - on_tight
        squared = np.einsum("ij,ij->i", on_face, on_face)
        direction = np.matmul(on_face[:, None, :], self.basis)[:, 0]
        margin = np.einsum("ij,ij->i", self.entering_row, self.p) - self.entering_level
        ratio = np.full(on_tight.shape, np.inf)
        np.divide(self.gamma, on_tight, out=ratio, where=on_tight > 0.0)
        full = np.full(len(block), np.inf)
        np.divide(-margin, squared, out=full, where=squared > _DEPENDENT)
        leaving = ratio.argmin(axis=1)
        longest = ratio[block, leaving]
        stuck: BoolArray = np.isinf(longest) & np.isinf(full)
        drops = (longest < full) | stuck
        step = np.where(stuck, 0.0, np.minimum(longest, full))
        self.p += step[:, None] * direction
        self.gamma -= step[:, None] * on_tight
        self.entering_gamma += step

        largest = np.abs(on_face).argmax(axis=1)
        slot = np.where(drops, leaving, largest)
        squared[drops] = 1.0
        left, right = self._entry(block, slot, on_tight, on_face, squared, direction)
        dropped = np.flatnonzero(drops & ~stuck)
        if len(dropped):
            self._mark_loose(dropped, slot[dropped])
            left[dropped, :, 0], right[dropped, 0] = _release(self.basis, self.tight, dropped, slot[dropped])
            left[dropped, :, 1] = 0.0
        left[stuck] = 0.0
        right[stuck, 0] = self.basis[stuck, slot[stuck]]
        self.basis -= np.matmul(left, right)
        self.basis[block, slot] = right[:, 0]
        self._mark_tight(np.flatnonzero(~drops), slot[~drops])
        return stuck

    def _entry(
        self,
        block: IndexArray,
        slot: IndexArray,
        on_tight: FloatArray,
        on_face: FloatArray,
        squared: FloatArray,
        direction: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the rank-two change of the bases for the entering rows, as factors (B, d, 2) and (B, 2, d).

        A Householder reflection turns the null space so that its vector in ``slot`` is the one that it loses; the
        pseudo-inverse gets the new row's column, orthogonal to the other tight rows, and its others are corrected.
        """
        left = np.empty((*on_face.shape, 2))
        right = np.empty((len(block), 2, on_face.shape[1]))
        length = np.sqrt(squared)
        pivot = on_face[block, slot]
        shift = np.copysign(length, pivot)
        reflector = on_face.copy()
        reflector[block, slot] += shift
        left[:, :, 0] = on_tight
        left[:, :, 1] = reflector / (squared + np.abs(pivot) * length)[:, None]
        right[:, 0] = direction / squared[:, None]
        right[:, 1] = direction + shift[:, None] * self.basis[block, slot]
        return left, right

    def _mark_tight(self, blocks: IndexArray, slots: IndexArray) -> None:
        self.tight[blocks, slots] = True
        self.row[blocks, slots] = self.entering[blocks]
        self.level[blocks, slots] = self.entering_level[blocks]
        self.gamma[blocks, slots] = self.entering_gamma[blocks]
        self.entering[blocks] = -1

    def _mark_loose(self, blocks: IndexArray, slots: IndexArray) -> None:
        self.tight[blocks, slots] = False
        self.level[blocks, slots] = 0.0
        self.gamma[blocks, slots] = 0.0


_FIELDS = tuple(field.name for field in fields(Pivots))


def row_norms(x: FloatArray) -> FloatArray:
    """Return the Euclidean norms of the rows of x."""
    norms: FloatArray = np.sqrt(np.einsum("ij,ij->i", x, x))
    return norms


def on_face(x: FloatArray, basis: FloatArray, tight: BoolArray, level: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the projections of x onto {p : R_T p = b_T}, and the multipliers of the tight rows in their slots."""
    coordinates = np.matmul(basis, x[:, :, None])[:, :, 0]
    p: FloatArray = np.matmul(np.where(tight, level, coordinates)[:, None, :], basis)[:, 0]
    if level.any():
        shift = np.matmul((level * tight)[:, None, :], basis)[:, 0]
        coordinates -= np.matmul(basis, shift[:, :, None])[:, :, 0]
    return p, -coordinates * tight


def _release(
    basis: FloatArray, tight: BoolArray, blocks: IndexArray, slots: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Return the rank-one change of the bases when rows that were tight in ``slots`` are not, as its factors.

    A column of the pseudo-inverse is orthogonal to the other tight rows: normalised, it joins the null space.
    """
    loose = basis[blocks, slots]
    loose /= row_norms(loose)[:, None]
    return np.matmul(basis[blocks], loose[:, :, None])[:, :, 0] * tight[blocks], loose


def _drop_negative(x: FloatArray, basis: FloatArray, tight: BoolArray, level: FloatArray) -> None:
    """Drop tight rows, those of the most negative multipliers first, until all multipliers are >= 0."""
    p, gamma = on_face(x, basis, tight, level)
    blocks = np.arange(len(x))
    while True:
        slots = gamma[blocks].argmin(axis=1)
        negative = gamma[blocks, slots] < 0.0
        blocks, slots = blocks[negative], slots[negative]
        if not len(blocks):
            return
        tight[blocks, slots] = False
        level[blocks, slots] = 0.0
        change, loose = _release(basis, tight, blocks, slots)
        basis[blocks] -= np.matmul(change[:, :, None], loose[:, None, :])
        basis[blocks, slots] = loose
        step = np.einsum("ij,ij->i", loose, x[blocks] - p[blocks])[:, None]
        p[blocks] += step * loose
        gamma[blocks] += change * step
        gamma[blocks, slots] = 0.0
