"""Square roots of generalised Jacobians of the proximal maps, for semismooth Newton steps.

Arrays have the shape (c, k, d): outputs, patterns, features. Each Jacobian M is symmetric with 0 <= M <= I, and is
block diagonal over patterns.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray


class ProxJacobian(ABC):
    """The square root M^(1/2) of a Jacobian at a point."""

    @abstractmethod
    def half(self, v: FloatArray) -> FloatArray:
        """Return M^(1/2) v."""

    @abstractmethod
    def support(self) -> BoolArray | None:
        """Return a mask (c, k) of the blocks outside of which M is zero; None for all blocks."""

    @abstractmethod
    def diagonal(self, a: FloatArray) -> FloatArray:
        """Return the diagonal of M^(1/2) diag(a) M^(1/2), or an estimate of it."""

    @abstractmethod
    def astype(self, dtype: type[np.floating]) -> Self:
        """Return it in another precision."""


@dataclass(frozen=True, eq=False)
class GroupJacobian(ProxJacobian):
    """Jacobian of block soft-thresholding: M = s (I - e e') + e e', s = 1 - threshold / ||w||, e = w / ||w||.

    Attributes
    ----------
    shrinkage : ndarray of shape (c, k)
        s, 0 for blocks that are shrunk to zero.
    directions : ndarray of shape (c, k, d)
        e, 0 for these blocks.
    """

    shrinkage: FloatArray
    directions: FloatArray

    def half(self, v: FloatArray) -> FloatArray:
        """Return sqrt(s) v + (1 - sqrt(s)) e (e'v)."""
        root = np.sqrt(self.shrinkage)
        along = (1.0 - root) * np.einsum("ckd,ckd->ck", v, self.directions)
        halved: FloatArray = root[..., None] * v + along[..., None] * self.directions
        return halved

    def support(self) -> BoolArray:
        """Return the mask of blocks that are not shrunk to zero."""
        used: BoolArray = self.shrinkage > 0.0
        return used

    def diagonal(self, a: FloatArray) -> FloatArray:
        """Return the diagonal of M^(1/2) diag(a) M^(1/2)."""
        root = np.sqrt(self.shrinkage)[..., None]
        squares = self.directions**2
        along = np.sum(squares * a, axis=-1, keepdims=True)
        diagonal: FloatArray = root**2 * a + 2.0 * root * (1 - root) * squares * a + (1 - root) ** 2 * squares * along
        return diagonal

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return it in another precision."""
        return type(self)(self.shrinkage.astype(dtype), self.directions.astype(dtype))


@dataclass(frozen=True, eq=False)
class EntryJacobian(ProxJacobian):
    """Jacobian of soft-thresholding: 1 for non-zero entries of the prox, else 0."""

    mask: FloatArray

    def half(self, v: FloatArray) -> FloatArray:
        """Return v on the non-zero entries."""
        return self.mask * v

    def support(self) -> BoolArray:
        """Return the mask of blocks with non-zero entries."""
        used: BoolArray = np.any(self.mask, axis=-1)
        return used

    def diagonal(self, a: FloatArray) -> FloatArray:
        """Return a on the non-zero entries."""
        return self.mask * a

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return it in another precision."""
        return type(self)(self.mask.astype(dtype))


@dataclass(frozen=True, eq=False)
class SpectralJacobian(ProxJacobian):
    """Jacobian of singular-value thresholding of each pattern's matrix (c, d) = Q diag(s) R' (Lewis & Sendov 2001).

    In the bases Q and R the symmetric part of a direction is multiplied by (p_i - p_j) / (s_i - s_j), the antisymmetric
    part by (p_i + p_j) / (s_i + s_j), and components outside Q or R by p_i / s_i, with p = (s - threshold)_+.
    """

    left: FloatArray
    right: FloatArray
    symmetric: FloatArray
    antisymmetric: FloatArray
    outside: FloatArray

    def half(self, v: FloatArray) -> FloatArray:
        """Return M^(1/2) v: the same map with the square roots of the multipliers."""
        matrices = v.transpose(1, 0, 2)
        Qt = self.left.transpose(0, 2, 1)
        half: FloatArray = np.zeros_like(matrices)
        inside = Qt @ matrices @ self.right.transpose(0, 2, 1)
        transposed = inside.transpose(0, 2, 1)
        core = 0.5 * (self.symmetric * (inside + transposed) + self.antisymmetric * (inside - transposed))
        half = self.left @ core @ self.right
        if self.right.shape[1] < self.right.shape[2]:
            remainder = Qt @ matrices - inside @ self.right
            half = half + self.left @ (self.outside[:, :, None] * remainder)
        if self.left.shape[2] < self.left.shape[1]:
            remainder = matrices @ self.right.transpose(0, 2, 1) - self.left @ inside
            half = half + (remainder * self.outside[:, None, :]) @ self.right
        return np.ascontiguousarray(half.transpose(1, 0, 2))

    def support(self) -> None:
        """Return None: patterns are shrunk as a whole."""

    def diagonal(self, a: FloatArray) -> FloatArray:
        """Return a, an upper estimate, as M <= I."""
        return a

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return it in another precision."""
        parts = (self.left, self.right, self.symmetric, self.antisymmetric, self.outside)
        return type(self)(*(array.astype(dtype) for array in parts))


def block_jacobian(w: FloatArray, threshold: float) -> GroupJacobian:
    """Return the Jacobian of the block soft-thresholding of w (c, k, d)."""
    norms = np.linalg.norm(w, axis=-1)
    active = norms > threshold
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=active)
    return GroupJacobian(active - threshold * inverse, inverse[..., None] * w)


def entry_jacobian(w: FloatArray, threshold: float) -> EntryJacobian:
    """Return the Jacobian of the soft-thresholding of w (c, k, d)."""
    return EntryJacobian((np.abs(w) > threshold).astype(w.dtype))


def spectral_jacobian(w: FloatArray, threshold: float) -> SpectralJacobian:
    """Return the Jacobian of the singular-value thresholding of the matrices w[:, i, :] of w (c, k, d)."""
    left, s, right = np.linalg.svd(w.transpose(1, 0, 2), full_matrices=False)
    p = np.maximum(s - threshold, 0.0)
    gaps = s[:, :, None] - s[:, None, :]
    equal = (s[:, :, None] + s[:, None, :] > 2.0 * threshold).astype(w.dtype)
    differences = p[:, :, None] - p[:, None, :]
    symmetric = np.divide(differences, gaps, out=equal, where=np.abs(gaps) > 1e-12 * s[:, :1, None])
    sums = s[:, :, None] + s[:, None, :]
    antisymmetric = np.divide(p[:, :, None] + p[:, None, :], sums, out=np.zeros_like(sums), where=sums > 0.0)
    outside = np.divide(p, s, out=np.zeros_like(s), where=s > 0.0)
    roots = (np.sqrt(np.clip(array, 0.0, 1.0)) for array in (symmetric, antisymmetric, outside))
    return SpectralJacobian(left, right, *roots)
