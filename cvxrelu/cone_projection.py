"""Projections onto the pattern cones {p : R p >= 0}, many at a time, each started from the face of the last one.

The dual of a projection, min over g >= 0 of 1/2 ||x + R'g||^2, is solved by the active-set method of Goldfarb and
Idnani (1983). Blocks pivot in step, as batches of small matrices: NumPy's overhead is paid once for all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray

IndexArray = NDArray[np.intp]

_ACCURACY = 1e-11  # of a projection, relative to its argument
_DEPENDENT = 1e-20  # squared distance of a unit row from the span of the tight rows
_NOISE = 1e-6  # of R'g, relative to the argument
_CHUNK_BYTES = 2**25


class ConeProjector:
    """Projections of blocks onto the cones K_i = {p : (2 D_ji - 1) x_j'p >= 0 for all rows j}.

    Block b belongs to pattern ``b % P``. Of each block's last projection p of x it keeps the tight rows T and a basis
    of R^d in d slots: the columns of the pseudo-inverse of R_T, and an orthonormal basis of the null space of R_T.
    With it, p is the part of x in the null space, and the multipliers are minus the other coordinates.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    D : ndarray of shape (n, P), bool
        The patterns.
    n_blocks : int
        Number of blocks.
    """

    def __init__(self, X: FloatArray, D: BoolArray, n_blocks: int) -> None:
        norms = np.linalg.norm(X, axis=1)
        self._rows = np.flatnonzero(norms)
        self._norms = norms[self._rows]
        self._unit = X[self._rows] / self._norms[:, None]
        self._unit_columns = np.ascontiguousarray(self._unit.T)
        self._active = np.ascontiguousarray(D[self._rows].T)
        self.n_blocks = n_blocks
        self._shape = (n_blocks, len(X))
        d = X.shape[1]
        self._slot = np.full(n_blocks, -1)  # place of a block in the arrays below, from its first projection on
        self._basis = np.empty((0, d, d))
        self._tight = np.empty((0, d), dtype=bool)
        self._row = np.empty((0, d), dtype=np.intp)
        self._gamma = np.empty((0, d))
        self._normal = np.zeros((n_blocks, d))  # R'g of the last projection
        self._normal_squared = np.zeros(n_blocks)

    def bounds(self, blocks: IndexArray, x: FloatArray) -> FloatArray:
        """Return upper bounds of ||proj_K x||: min over a >= 0 of ||x + a R'g||, g >= 0 of the last projection."""
        return row_norms(x + self._scales(blocks, x)[:, None] * self._normal[blocks])

    def project(
        self,
        blocks: IndexArray,
        x: FloatArray,
        enough: float = 0.0,
        slack: float = 0.0,
        max_pivots: int | None = None,
    ) -> FloatArray:
        """Return the projections of the rows of x (B, d) onto the cones of the blocks (B,), which differ.

        Whatever the limits, a result is x + R'g for some g >= 0: its norm is at least that of the projection.

        Parameters
        ----------
        enough : float
            Projections that are shown to be no longer than that need not be exact.
        slack : float
            Constraints may be violated by that times ||p||, for unit rows.
        max_pivots : int, optional
            Changes of the tight set that are allowed to each block, or a few more; by default 20 d.
        """
        p = np.empty_like(x)
        step = max(1, _CHUNK_BYTES // (8 * (self._unit.shape[0] + self._unit.shape[1] ** 2)))
        limit = 20 * x.shape[1] if max_pivots is None else max_pivots
        for start in range(0, len(blocks), step):
            part = slice(start, start + step)
            p[part] = self._project(blocks[part], x[part], enough, slack, limit)
        return p

    def faces(self, blocks: IndexArray) -> tuple[FloatArray, BoolArray]:
        """Return bases (B, d, d), whose rows marked by the mask (B, d) span the faces of the last projections."""
        slots = self._slot[blocks]
        return self._basis[slots], ~self._tight[slots]

    def multipliers(self, blocks: IndexArray, x: FloatArray) -> sp.csr_array:
        """Return multipliers (n_blocks, n) >= 0 of the rows of X that attain the `bounds` of x."""
        known = self._slot[blocks] >= 0
        blocks, x = blocks[known], x[known]
        slots = self._slot[blocks]
        i, j = np.nonzero(self._tight[slots])
        rows = self._row[slots][i, j]
        values = (self._scales(blocks, x)[:, None] * self._gamma[slots])[i, j] / self._norms[rows]
        return sp.csr_array((values, (blocks[i], self._rows[rows])), shape=self._shape)

    def _scales(self, blocks: IndexArray, x: FloatArray) -> FloatArray:
        inner = np.einsum("ij,ij->i", x, self._normal[blocks])
        scales: FloatArray = np.maximum(-inner, 0.0) / np.maximum(self._normal_squared[blocks], np.finfo(float).tiny)
        return scales

    def _project(self, blocks: IndexArray, x: FloatArray, enough: float, slack: float, limit: int) -> FloatArray:
        slots = self._slots(blocks)
        basis, tight = self._basis[slots], self._tight[slots]
        tolerance = _ACCURACY * row_norms(x)
        signs = np.where(self._active[blocks % len(self._active)], 1.0, -1.0)
        p, gamma = _on_face(x, basis, tight)
        left = (gamma < -tolerance[:, None]).any(axis=1)
        np.maximum(gamma, 0.0, out=gamma)
        size = row_norms(p)
        margins = ((p @ self._unit_columns) * signs).min(axis=1, initial=0.0)
        left |= (margins < -np.maximum(tolerance, slack * size)) & (size > enough)
        if left.any():
            k = np.flatnonzero(left)
            pivots = _Pivots.start(k, x[k], signs[k], tolerance[k], basis[k], tight[k], self._row[slots[k]])
            for done in pivots.run(self._unit, self._unit_columns, enough, slack, limit):
                p[done.position], gamma[done.position] = _on_face(done.x, done.basis, done.tight)
                s = slots[done.position]
                self._basis[s], self._tight[s], self._row[s] = done.basis, done.tight, done.row
            np.maximum(gamma, 0.0, out=gamma)
        normal = p - x
        # What is left of x that is in its cone is rounding, not R'g: scaled up, it would bound nothing.
        noise = row_norms(normal) <= _NOISE * row_norms(x)
        normal[noise], gamma[noise] = 0.0, 0.0
        self._gamma[slots] = gamma
        self._normal[blocks] = normal
        self._normal_squared[blocks] = np.einsum("ij,ij->i", normal, normal)
        return p

    def _slots(self, blocks: IndexArray) -> IndexArray:
        new = blocks[self._slot[blocks] < 0]
        if len(new):
            first, d = len(self._basis), self._basis.shape[1]
            self._slot[new] = first + np.arange(len(new))
            self._basis = np.concatenate([self._basis, np.broadcast_to(np.eye(d), (len(new), d, d))])
            self._tight = np.concatenate([self._tight, np.zeros((len(new), d), dtype=bool)])
            self._row = np.concatenate([self._row, np.zeros((len(new), d), dtype=np.intp)])
            self._gamma = np.concatenate([self._gamma, np.zeros((len(new), d))])
        return self._slot[blocks]


@dataclass
class _Pivots:
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
    gamma: FloatArray
    p: FloatArray
    entering: IndexArray
    entering_gamma: FloatArray
    entering_row: FloatArray

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
    ) -> "_Pivots":
        """Return the blocks with tight rows of negative multipliers dropped."""
        _drop_negative(x, basis, tight)
        p, gamma = _on_face(x, basis, tight)
        nothing = np.full(len(x), -1)
        gamma = np.maximum(gamma, 0.0)
        zero = np.zeros(len(x))
        return cls(position, x, signs, tolerance, basis, tight, row, gamma, p, nothing, zero, np.zeros_like(x))

    def run(
        self, unit: FloatArray, columns: FloatArray, enough: float, slack: float, limit: int
    ) -> Iterator["_Pivots"]:
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

    def _leave(self, done: BoolArray, unfinished: bool = False) -> Iterator["_Pivots"]:
        if not done.any():
            return
        leaving = self._select(done)
        if unfinished:  # without the row that was entering, multipliers may be negative again
            _drop_negative(leaving.x, leaving.basis, leaving.tight)
        yield leaving
        stay = np.flatnonzero(~done)
        for name in _FIELDS:
            setattr(self, name, getattr(self, name)[stay])

    def _select(self, chosen: BoolArray) -> "_Pivots":
        places = np.flatnonzero(chosen)
        return _Pivots(*(getattr(self, name)[places] for name in _FIELDS))

    def _choose(self, unit: FloatArray, columns: FloatArray, enough: float, slack: float) -> BoolArray:
        """Let the most violated row of each block enter that has none; return which blocks need none."""
        done = np.zeros(len(self.x), dtype=bool)
        k = np.flatnonzero(self.entering < 0)
        if len(k):
            every = len(k) == len(done)
            p = self.p if every else self.p[k]
            margins = p @ columns
            margins *= self.signs if every else self.signs[k]
            j = margins.argmin(axis=1)
            size = row_norms(p)
            allowed = np.maximum(self.tolerance[k], slack * size)
            done[k] = (margins[np.arange(len(k)), j] >= -allowed) | (size <= enough)
            self.entering[k] = j
            self.entering_row[k] = unit[j] * self.signs[k, j][:, None]
            self.entering_gamma[k] = 0.0
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
        margin = np.einsum("ij,ij->i", self.entering_row, self.p)
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
        self.gamma[blocks, slots] = self.entering_gamma[blocks]
        self.entering[blocks] = -1

    def _mark_loose(self, blocks: IndexArray, slots: IndexArray) -> None:
        self.tight[blocks, slots] = False
        self.gamma[blocks, slots] = 0.0


_FIELDS = tuple(field.name for field in fields(_Pivots))


def row_norms(x: FloatArray) -> FloatArray:
    """Return the Euclidean norms of the rows of x."""
    norms: FloatArray = np.sqrt(np.einsum("ij,ij->i", x, x))
    return norms


def _on_face(x: FloatArray, basis: FloatArray, tight: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return the projections of x onto the null spaces of the tight rows, and the multipliers in their slots."""
    coordinates = np.matmul(basis, x[:, :, None])[:, :, 0]
    on_tight = coordinates * tight
    p: FloatArray = np.matmul((coordinates - on_tight)[:, None, :], basis)[:, 0]
    return p, -on_tight


def _release(
    basis: FloatArray, tight: BoolArray, blocks: IndexArray, slots: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Return the rank-one change of the bases when rows that were tight in ``slots`` are not, as its factors.

    A column of the pseudo-inverse is orthogonal to the other tight rows: normalised, it joins the null space.
    """
    loose = basis[blocks, slots]
    loose /= row_norms(loose)[:, None]
    return np.matmul(basis[blocks], loose[:, :, None])[:, :, 0] * tight[blocks], loose


def _drop_negative(x: FloatArray, basis: FloatArray, tight: BoolArray) -> None:
    """Drop tight rows, those of the most negative multipliers first, until all multipliers are >= 0."""
    _, gamma = _on_face(x, basis, tight)
    blocks = np.arange(len(x))
    while True:
        slots = gamma[blocks].argmin(axis=1)
        negative = gamma[blocks, slots] < 0.0
        blocks, slots = blocks[negative], slots[negative]
        if not len(blocks):
            return
        tight[blocks, slots] = False
        change, loose = _release(basis, tight, blocks, slots)
        basis[blocks] -= np.matmul(change[:, :, None], loose[:, None, :])
        basis[blocks, slots] = loose
        gamma[blocks] += change * np.einsum("ij,ij->i", loose, x[blocks])[:, None]
        gamma[blocks, slots] = 0.0
