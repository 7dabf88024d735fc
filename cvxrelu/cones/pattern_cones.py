"""Geometry of the pattern cones K_i = {w : (2 D_ji - 1) x_j'w >= 0 for all rows j}.

The polar cone is K_i^o = {-Xt_i'g : g >= 0} with Xt_i = (2 D_i - I) X, so the projection of z onto K_i is
z + Xt_i'g at the non-negative least-squares solution g, the multipliers (Moreau decomposition).
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import scipy
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray
from cvxrelu.cones.interior import NUDGE, rounding, steps_along
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.numerics.row_space import RowSpace
from cvxrelu.numerics.rows import row_norms, safe_row_norms, unit_rows
from cvxrelu.numerics.sparse import with_data
from cvxrelu.patterns.activation_patterns import ActivationPatterns, strictly_inside
from cvxrelu.patterns.packed_mask import PackedMask
from cvxrelu.runtime.memory import require

_BLOCK_BYTES = 2**25
_REDUCED_COST = 1e-9  # tolerance in a linear program scaled to max |z| = 1
_FAR = 1e-6  # largest nudge, relative to the norm of the repaired point
_RCOND = 1e-15  # relative to the largest singular value: rows that differ by less are equal
_REFINEMENTS = 5


class PatternCones:
    """The P cones of the patterns of X, with projections, multipliers and repairs.

    Block b belongs to pattern ``b % P``. All computations are in float64. If n < d, projections and multipliers are
    computed in the row space of X, as cones do not constrain the orthogonal component.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    patterns : ActivationPatterns
        The patterns of X.
    witnesses : pair of ndarrays, optional
        Known value of the attribute `witnesses`.
    """

    def __init__(
        self,
        X: FloatArray,
        patterns: ActivationPatterns,
        witnesses: tuple[FloatArray, BoolArray] | None = None,
    ) -> None:
        self._known = witnesses
        self.X = np.asarray(X, dtype=np.float64)
        self.patterns = patterns
        if isinstance(patterns.D, PackedMask):
            require(float(patterns.D.size), f"The unpacked masks of {len(patterns)} patterns", "take fewer gates")
        self.D = np.asarray(patterns.D)  # unpacked, for access to single entries
        norms = safe_row_norms(self.X)
        self._rows = norms.nonzero()[0]
        self._norms = norms[self._rows]
        self._unit = self.X[self._rows] / self._norms[:, None]

    @cached_property
    def space(self) -> RowSpace | None:
        """The row space of X; None if n >= d."""
        return RowSpace.of(self.X)

    @cached_property
    def witnesses(self) -> tuple[FloatArray, BoolArray]:
        """Strictly interior points (d, P) and a mask (P,) of those found: see `ActivationPatterns.witnesses`.

        If n < d, they are projected onto the row space, which keeps the margins and shortens the points.
        """
        if self._known is not None:
            return self._known
        points, found = self.patterns.witnesses(self.X)
        if self.space is not None:
            projections = self.space.vectors(self.space.coordinates(points.T)).T
            inside = strictly_inside(unit_rows(self.X), self.patterns.D, projections)
            points[:, inside] = projections[:, inside]
        points.flags.writeable = found.flags.writeable = False
        return points, found

    def violations(self, blocks: FloatArray) -> FloatArray:
        """Return max_j (-(2 D_ji - 1) x_j'w)_+ for each block w of ``blocks`` (..., P, d): shape (..., P)."""
        n_patterns, d = blocks.shape[-2:]
        flat = blocks.reshape(-1, d)
        used = np.logical_or.reduce(flat, axis=1).nonzero()[0]  # zero is in every cone
        worst = np.zeros(len(flat))
        step = max(1, _BLOCK_BYTES // (8 * self.X.shape[0]))
        for start in range(0, len(used), step):
            b = used[start : start + step]
            margins = np.where(self.D[:, b % n_patterns], 1.0, -1.0) * (self.X @ flat[b].T)
            worst[b] = np.maximum(-margins.min(axis=0), 0.0)
        return worst.reshape(blocks.shape[:-1])

    def projection_multipliers(
        self,
        Z: FloatArray,
        threshold: float,
        projector: ConeProjector | None = None,
        expired: Callable[[], bool] = lambda: False,
    ) -> sp.csr_array:
        """Return multipliers (B, n) >= 0 that make z_b + Xt_b'g_b the projections of the rows of Z (B, d).

        Rows whose norm is at most ``threshold`` get none. Projections need not be exact once their norm is shown to be
        at most ``threshold``, or when time is up. A projector of the caller starts them from its last tight rows.
        """
        projector = projector or self.projector(len(Z))
        blocks = (row_norms(Z) > threshold).nonzero()[0]
        if self.space is not None:
            longer = Z if len(blocks) == len(Z) else Z[blocks]
            z = self.space.coordinates(longer)
            beyond = self.space.vectors(z)
            remainder = row_norms(np.subtract(longer, beyond, out=beyond)).max(initial=0.0)
            projector.project(blocks, z, np.sqrt(max(threshold**2 - remainder**2, 0.0)), expired=expired)
            return projector.multipliers(blocks, z)
        projector.project(blocks, Z[blocks], threshold, expired=expired)
        return projector.multipliers(blocks, Z[blocks])

    def projector(self, n_blocks: int) -> ConeProjector:
        """Return a new projector, which keeps state between projections: for one caller in one thread.

        If n < d, it projects coordinates in the row space.
        """
        return ConeProjector(self.X if self.space is None else self.space.rows, self.D, n_blocks)

    def project(self, W: FloatArray, blocks: NDArray[np.intp]) -> FloatArray:
        """Return the projections of the rows of W (B, d) onto the cones of the distinct blocks (B,)."""
        if len(blocks) == 0:
            return W
        projector = self.projector(int(blocks.max()) + 1)
        if self.space is None:
            return projector.project(blocks, W)
        w = self.space.coordinates(W)
        return W + self.space.vectors(projector.project(blocks, w) - w)

    def scaled_multipliers(self, Z: FloatArray, scale: FloatArray) -> sp.csr_array:
        """Return multipliers (B, n) >= 0 that minimise ||scale * (z_b + Xt_b'g_b)||_2 for each row z_b of Z (B, d).

        They are the multipliers of projections onto the cones of the scaled rows.
        """
        rows: FloatArray = self.X * scale
        z: FloatArray = Z * scale
        space = RowSpace.of(rows)
        if space is not None:
            rows, z = space.rows, space.coordinates(z)
        projector, blocks = ConeProjector(rows, self.D, len(z)), np.arange(len(z))
        projector.project(blocks, z)
        return projector.multipliers(blocks, z)

    def chebyshev_multipliers(self, z: FloatArray, block: int) -> FloatArray:
        """Return g >= 0 (n,) that minimises ||z + Xt_i'g||_inf, by linear programs; zeros if they fail.

        Row generation: few rows have non-zero multipliers, so the program on some rows is solved repeatedly, adding the
        rows of Xt_i w >= 0 that its dual solution w violates, until there are none.
        """
        gamma = np.zeros(self.X.shape[0])
        size = np.abs(z).max()
        if size == 0.0:
            return gamma
        rows = self._signed_rows(block)
        largest = int(np.argmax(np.abs(z)))
        products = rows[:, largest] * np.sign(z[largest])  # of the dual solution without rows
        chosen = np.zeros(len(rows), dtype=bool)
        while True:
            violating = np.flatnonzero((products < -_REDUCED_COST) & ~chosen)
            if len(violating) == 0:
                break
            chosen[violating[np.argsort(products[violating])[: len(z)]]] = True
            generators = rows[chosen].T
            ones = np.ones((len(z), 1))
            result = scipy.optimize.linprog(
                np.append(np.zeros(generators.shape[1]), 1.0),
                A_ub=np.block([[generators, -ones], [-generators, -ones]]),
                b_ub=np.concatenate([-z, z]) / size,
                bounds=(0.0, None),
            )
            if result.status != 0 or result.x is None:
                break
            gamma[:] = 0.0
            gamma[self._rows[chosen]] = size * np.maximum(result.x[:-1], 0.0) / self._norms[chosen]
            above, below = np.split(-result.ineqlin.marginals, 2)
            products = rows @ (above - below)
        return gamma

    def shift_block(self, z: FloatArray, gamma: FloatArray, block: int) -> FloatArray:
        """Return z + Xt_i'g for one block."""
        signs = np.where(self.D[:, block % len(self.patterns)], 1.0, -1.0)
        shifted: FloatArray = z + (signs * gamma) @ self.X
        return shifted

    def shift(self, Z: FloatArray, multipliers: sp.csr_array) -> FloatArray:
        """Return z_b + Xt_i'g_b for each row b of Z (B, d) and of ``multipliers`` (B, n)."""
        shifted: FloatArray = self._signed(multipliers) @ self.X
        shifted += Z
        return shifted

    def activations(self, W: FloatArray, multipliers: sp.csr_array) -> FloatArray:
        """Return g_b' Xt_i w_b, the complementarity of each row b of W (B, d): shape (B,)."""
        signed = self._signed(multipliers)
        products = np.empty(len(W))
        step = max(1, _BLOCK_BYTES // W[:1].nbytes)
        for start in range(0, len(W), step):
            part = slice(start, start + step)
            chosen = signed if step >= len(W) else signed[part]
            products[part] = np.vecdot(chosen @ self.X, W[part])
        return products

    def _signed(self, multipliers: sp.csr_array) -> sp.csr_array:
        """Return multipliers (B, n) with the signs of the rows in the cones of the blocks."""
        b = np.arange(multipliers.shape[0]).repeat(multipliers.indptr[1:] - multipliers.indptr[:-1])
        signs = np.where(self.D[multipliers.indices, b % len(self.patterns)], 1.0, -1.0)
        return with_data(multipliers, multipliers.data * signs)

    def repair(self, W: FloatArray, blocks: NDArray[np.intp]) -> FloatArray:
        """Return points of the cones near the rows of W (B, d), for distinct blocks (B,).

        Infeasible points are projected and, as rounding leaves projections slightly infeasible, moved along a witness.
        In a non-singular cone the result has non-negative products for every order of summation. In a singular cone, or
        one too thin to move by a small step, points with violations within the rounding of the products are accepted;
        zero, which is in every cone, is the fallback.
        """
        is_outside = [(self._signed_rows(int(b)) @ w).min(initial=0.0) < 0.0 for w, b in zip(W, blocks, strict=True)]
        repaired = W.copy()
        outside = np.flatnonzero(is_outside)
        for i, point in zip(outside, self.project(W[outside], blocks[outside]), strict=True):
            repaired[i] = self._nudge(point, int(blocks[i]), _FAR * float(np.linalg.norm(W[i])))
        return repaired

    def _nudge(self, point: FloatArray, block: int, far: float) -> FloatArray:
        rows = self._signed_rows(block)
        guard = rounding(len(point)) * np.linalg.norm(point)
        directions, found = self.witnesses
        i = block % len(self.patterns)
        if not found[i]:
            return self._move_onto_face(point, rows)
        step = steps_along(guard - rows @ point, rows @ directions[:, i])
        move = NUDGE * step * directions[:, i]
        if np.linalg.norm(move) > far:
            on_face = self._move_onto_face(point, rows)
            if on_face.any():
                return on_face
        nudged = point + move
        return nudged if (rows @ nudged).min() >= 0.0 else np.zeros_like(point)

    def _signs(self, block: int) -> FloatArray:
        return np.where(self.D[self._rows, block % len(self.patterns)], 1.0, -1.0)

    def _move_onto_face(self, point: FloatArray, rows: FloatArray) -> FloatArray:
        """Project a point onto the rows that it violates by more than rounding; return zero if that fails.

        Between rows that agree to ten or more digits the cone is too thin for `ConeProjector` to resolve both.
        """
        moved = point
        selected = np.zeros(len(rows), dtype=np.bool_)
        for _ in range(len(point) + _REFINEMENTS):
            guard = rounding(len(point)) * np.linalg.norm(moved)
            violated = rows @ moved < -guard
            if not violated.any():
                return moved
            selected |= violated
            moved = moved - np.linalg.pinv(rows[selected], rcond=_RCOND) @ (rows[selected] @ moved)
        return np.zeros_like(point)

    def _signed_rows(self, block: int) -> FloatArray:
        rows: FloatArray = self._signs(block)[:, None] * self._unit
        return rows
