"""Geometry of the pattern cones K_i = {w : (2 D_ji - 1) x_j'w >= 0 for all rows j}.

The polar cone is K_i^o = {-Xt_i'g : g >= 0} with Xt_i = (2 D_i - I) X, so the projection of z onto K_i is
z + Xt_i'g at the non-negative least-squares solution g: the multipliers (DESIGN: Moreau decomposition).
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
from cvxrelu.numerics.rows import row_norms, safe_norm, safe_row_norms, unit_rows
from cvxrelu.patterns.activation_patterns import ActivationPatterns, strictly_inside
from cvxrelu.patterns.packed_mask import PackedMask
from cvxrelu.runtime.memory import require

_BLOCK_BYTES = 2**25
_REDUCED_COST = 1e-9  # of a linear program in which z has size 1
_FAR = 1e-6  # of the norm of what is repaired: a nudge may cost that
_SAME = 1e-15  # share of the largest singular value: rows that differ by less are the same
_REFINEMENTS = 5


class PatternCones:
    """The P cones of the patterns of X, with projections, multipliers and repairs.

    Blocks are numbered ``b``; block b belongs to pattern ``b % P``. Everything is computed in float64. Where n < d,
    projections and their multipliers are those of the part in the row space of X, the only one that a cone constrains.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    patterns : ActivationPatterns
        The patterns of X.
    witnesses : pair of ndarrays, optional
        What `witnesses` is to be, where it is known.
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
        self.D = np.asarray(patterns.D)  # entries are picked one by one: packed ones are unpacked
        norms = safe_row_norms(self.X)
        self._rows = np.flatnonzero(norms)
        self._norms = norms[self._rows]
        self._unit = self.X[self._rows] / self._norms[:, None]

    @cached_property
    def space(self) -> RowSpace | None:
        """The row space of X, None where n >= d."""
        return RowSpace.of(self.X)

    @cached_property
    def witnesses(self) -> tuple[FloatArray, BoolArray]:
        """Strict interior points (d, P) and which were found (P,), as `ActivationPatterns.witnesses` gives them.

        Where n < d, their parts in the row space: as far inside, and shorter.
        """
        if self._known is not None:
            return self._known
        points, found = self.patterns.witnesses(self.X)
        if self.space is not None:
            parts = self.space.vectors(self.space.coordinates(points.T)).T
            inside = strictly_inside(unit_rows(self.X), self.patterns.D, parts)
            points[:, inside] = parts[:, inside]
        points.flags.writeable = found.flags.writeable = False
        return points, found

    def violations(self, blocks: FloatArray) -> FloatArray:
        """Return max_j (-(2 D_ji - 1) x_j'w)_+ for each block w of ``blocks`` (..., P, d): shape (..., P)."""
        n_patterns, d = blocks.shape[-2:]
        flat = blocks.reshape(-1, d)
        used = np.flatnonzero(np.any(flat, axis=1))  # zero is in every cone
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
        enough: float,
        projector: ConeProjector | None = None,
        expired: Callable[[], bool] = lambda: False,
    ) -> sp.csr_array:
        """Return multipliers (B, n) >= 0 that make z_b + Xt_b'g_b the projections of the rows of Z (B, d).

        Rows whose norm is at most ``enough`` get none; those whose projection is shown to be no longer need not be
        exact, nor those that are left when the time is up. With a projector of the caller's they start from the tight
        rows of its last ones.
        """
        projector = projector or self.projector(len(Z))
        blocks = np.flatnonzero(row_norms(Z) > enough)
        if self.space is not None:
            z = self.space.coordinates(Z[blocks])
            rest = row_norms(Z[blocks] - self.space.vectors(z)).max(initial=0.0)
            projector.project(blocks, z, np.sqrt(max(enough**2 - rest**2, 0.0)), expired=expired)
            return projector.multipliers(blocks, z)
        projector.project(blocks, Z[blocks], enough, expired=expired)
        return projector.multipliers(blocks, Z[blocks])

    def projector(self, n_blocks: int) -> ConeProjector:
        """Return a new projector, which learns from its projections: one for each caller, for one thread.

        Where n < d it projects coordinates in the row space.
        """
        return ConeProjector(self.X if self.space is None else self.space.rows, self.D, n_blocks)

    def project(self, W: FloatArray, blocks: NDArray[np.intp]) -> FloatArray:
        """Return the projections of the rows of W (B, d) onto the cones of the blocks (B,), which differ."""
        if len(blocks) == 0:
            return W
        projector = self.projector(int(blocks.max()) + 1)
        if self.space is None:
            return projector.project(blocks, W)
        w = self.space.coordinates(W)
        return W + self.space.vectors(projector.project(blocks, w) - w)

    def scaled_multipliers(self, Z: FloatArray, scale: FloatArray) -> sp.csr_array:
        """Return multipliers (B, n) >= 0 that minimise ||scale * (z_b + Xt_b'g_b)||_2 for each row z_b of Z (B, d).

        They are those of projections onto the cones of the scaled rows.
        """
        rows: FloatArray = self.X * scale
        z: FloatArray = Z * scale
        space = RowSpace.of(rows)
        if space is not None:
            rows, z = space.rows, space.coordinates(z)
        projector, blocks = ConeProjector(rows, self.D, len(z)), np.arange(len(z))
        projector.project(blocks, z)
        return projector.multipliers(blocks, z)

    def euclidean_multipliers(self, z: FloatArray, block: int) -> FloatArray:
        """Return g >= 0 (n,) that makes z + Xt_i'g the projection of z onto K_i, by non-negative least squares.

        A solver that gives up yields zeros: any g >= 0 is a valid proof, only a weaker one.
        """
        gamma = np.zeros(self.X.shape[0])
        size = safe_norm(z)
        if not 0.0 < size < np.inf:
            return gamma
        rows, target = self._unit, -z / size
        if self.space is not None:
            rows, target = self.space.rows[self._rows] / self._norms[:, None], self.space.coordinates(target)
        generators = (self._signs(block)[:, None] * rows).T
        lengths = np.linalg.norm(generators, axis=0)
        used = lengths > 0.0
        if not used.any():  # SciPy's nnls frees memory twice
            return gamma
        try:
            solution, _ = scipy.optimize.nnls(generators[:, used] / lengths[used], target)
        except RuntimeError:
            return gamma
        gamma[self._rows[used]] = size * solution / (lengths[used] * self._norms[used])
        return gamma

    def chebyshev_multipliers(self, z: FloatArray, block: int) -> FloatArray:
        """Return g >= 0 (n,) that minimises ||z + Xt_i'g||_inf, by linear programs; zeros if they fail.

        Few rows have multipliers: the program on some of them is solved again with those that its dual w violates,
        Xt_i w >= 0, until there are none.
        """
        gamma = np.zeros(self.X.shape[0])
        size = np.abs(z).max()
        if size == 0.0:
            return gamma
        rows = self._signed_rows(block)
        largest = int(np.argmax(np.abs(z)))
        products = rows[:, largest] * np.sign(z[largest])  # those of the w without rows
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
        entries = multipliers.tocoo()
        b, j = entries.coords
        signs = np.where(self.D[j, b % len(self.patterns)], 1.0, -1.0)
        signed = sp.csr_array((entries.data * signs, (b, j)), shape=multipliers.shape)
        shifted: FloatArray = Z + signed @ self.X
        return shifted

    def activations(self, W: FloatArray, multipliers: sp.csr_array) -> FloatArray:
        """Return g_b' Xt_i w_b, the complementarity of each row b of W (B, d): shape (B,)."""
        products: FloatArray = np.sum(self.shift(np.zeros_like(W), multipliers) * W, axis=1)
        return products

    def repair(self, W: FloatArray, blocks: NDArray[np.intp]) -> FloatArray:
        """Return points of the cones near the rows of W (B, d), whose blocks (B,) differ.

        Those that miss their cones are projected and nudged along the witness of a strict interior: rounding keeps a
        projection from being exactly feasible. In a non-singular cone the witness leads to a point whose products are
        non-negative in whatever order they are summed. In a singular cone, or one so thin that the witness leads far
        away, points whose violation is within the rounding of the products themselves are taken; zero, which is in
        every cone, where none is found.
        """
        outside = [(self._signed_rows(int(b)) @ w).min(initial=0.0) < 0.0 for w, b in zip(W, blocks, strict=True)]
        repaired = W.copy()
        places = np.flatnonzero(outside)
        for place, point in zip(places, self.project(W[places], blocks[places]), strict=True):
            repaired[place] = self._nudge(point, int(blocks[place]), _FAR * float(np.linalg.norm(W[place])))
        return repaired

    def _nudge(self, point: FloatArray, block: int, far: float) -> FloatArray:
        rows = self._signed_rows(block)
        guard = rounding(len(point)) * np.linalg.norm(point)
        directions, found = self.witnesses
        i = block % len(self.patterns)
        if not found[i]:
            return self._onto_face(point, rows)
        step = steps_along(guard - rows @ point, rows @ directions[:, i])
        move = NUDGE * step * directions[:, i]
        if np.linalg.norm(move) > far:
            near = self._onto_face(point, rows)
            if near.any():
                return near
        nudged = point + move
        return nudged if (rows @ nudged).min() >= 0.0 else np.zeros_like(point)

    def _signs(self, block: int) -> FloatArray:
        return np.where(self.D[self._rows, block % len(self.patterns)], 1.0, -1.0)

    def _onto_face(self, point: FloatArray, rows: FloatArray) -> FloatArray:
        """Return a point near this one on the rows that it violates by more than rounding; zero where there is none.

        Between rows that agree to ten digits and more, the cone is too thin for `ConeProjector` to see both of them.
        """
        moved = point
        met = np.zeros(len(rows), dtype=np.bool_)
        for _ in range(len(point) + _REFINEMENTS):
            guard = rounding(len(point)) * np.linalg.norm(moved)
            violated = rows @ moved < -guard
            if not violated.any():
                return moved
            met |= violated
            moved = moved - np.linalg.pinv(rows[met], rcond=_SAME) @ (rows[met] @ moved)
        return np.zeros_like(point)

    def _signed_rows(self, block: int) -> FloatArray:
        rows: FloatArray = self._signs(block)[:, None] * self._unit
        return rows
