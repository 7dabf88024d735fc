"""Generalised Jacobians of the penalties' proximal maps, by their square roots: what a semismooth Newton step needs.

Arrays have the shape (c, k, d): outputs, patterns, features. Each Jacobian M is symmetric, 0 <= M <= I, and acts
within a pattern.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray


class ProxJacobian(ABC):
    """M^(1/2) at one point."""

    @abstractmethod
    def half(self, v: FloatArray) -> FloatArray:
        """Return M^(1/2) v."""

    @abstractmethod
    def support(self) -> BoolArray | None:
        """Return the blocks (c, k) outside of which M is zero; None for all."""

    @abstractmethod
    def diagonal(self, a: FloatArray) -> FloatArray:
        """Return the diagonal of M^(1/2) diag(a) M^(1/2), or an estimate of it."""

    @abstractmethod
    def astype(self, dtype: type[np.floating]) -> Self:
        """Return it in another precision."""


@dataclass(frozen=True, eq=False)
class GroupJacobian(ProxJacobian):
    """Of the shrinkage of blocks: M = s (I - e e') + e e', s = 1 - threshold / ||w||, e = w / ||w||; 0 at zero blocks.

    Attributes
    ----------
    shrinkage : ndarray of shape (c, k)
        s, 0 for blocks that are shrunk to zero.
    directions : ndarray of shape (c, k, d)
        e, 0 for those blocks.
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
        """Return the blocks that are not shrunk to zero."""
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
    """Of soft thresholding: 1 for entries that survive."""

    mask: FloatArray

    def half(self, v: FloatArray) -> FloatArray:
        """Return the surviving entries of v."""
        return self.mask * v

    def support(self) -> BoolArray:
        """Return the blocks with surviving entries."""
        used: BoolArray = np.any(self.mask, axis=-1)
        return used

    def diagonal(self, a: FloatArray) -> FloatArray:
        """Return a on the surviving entries."""
        return self.mask * a

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return it in another precision."""
        return type(self)(self.mask.astype(dtype))


@dataclass(frozen=True, eq=False)
class SpectralJacobian(ProxJacobian):
    """Of the shrinkage of singular values of each pattern's matrix (c, d) = Q diag(s) R' (Lewis & Sendov 2001).

    In the bases Q and R the symmetric part of a direction is multiplied by (p_i - p_j) / (s_i - s_j), the
    antisymmetric part by (p_i + p_j) / (s_i + s_j), what is orthogonal to R by p_i / s_i; p = (s - threshold)_+.
    """

    left: FloatArray
    right: FloatArray
    symmetric: FloatArray
    antisymmetric: FloatArray
    outside: FloatArray

    def half(self, v: FloatArray) -> FloatArray:
        """Return M^(1/2) v: the same map with the roots of the multipliers."""
        matrices = v.transpose(1, 0, 2)
        Qt = self.left.transpose(0, 2, 1)
        half: FloatArray = np.zeros_like(matrices)
        inside = Qt @ matrices @ self.right.transpose(0, 2, 1)
        turned = inside.transpose(0, 2, 1)
        core = 0.5 * (self.symmetric * (inside + turned) + self.antisymmetric * (inside - turned))
        half = self.left @ core @ self.right
        if self.right.shape[1] < self.right.shape[2]:
            rest = Qt @ matrices - inside @ self.right
            half = half + self.left @ (self.outside[:, :, None] * rest)
        if self.left.shape[2] < self.left.shape[1]:
            rest = matrices @ self.right.transpose(0, 2, 1) - self.left @ inside
            half = half + (rest * self.outside[:, None, :]) @ self.right
        return np.ascontiguousarray(half.transpose(1, 0, 2))

    def support(self) -> None:
        """Return None: patterns are shrunk as a whole."""

    def diagonal(self, a: FloatArray) -> FloatArray:
        """Return a, a rough estimate: M is at most the identity."""
        return a

    def astype(self, dtype: type[np.floating]) -> Self:
        """Return it in another precision."""
        parts = (self.left, self.right, self.symmetric, self.antisymmetric, self.outside)
        return type(self)(*(part.astype(dtype) for part in parts))


def block_jacobian(w: FloatArray, threshold: float) -> GroupJacobian:
    """Return the Jacobian of the shrinkage of the blocks of w (c, k, d)."""
    norms = np.linalg.norm(w, axis=-1)
    active = norms > threshold
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=active)
    return GroupJacobian(active - threshold * inverse, inverse[..., None] * w)


def entry_jacobian(w: FloatArray, threshold: float) -> EntryJacobian:
    """Return the Jacobian of soft thresholding of the entries of w (c, k, d)."""
    return EntryJacobian((np.abs(w) > threshold).astype(w.dtype))


def spectral_jacobian(w: FloatArray, threshold: float) -> SpectralJacobian:
    """Return the Jacobian of the shrinkage of the singular values of the matrices w[:, i, :] of w (c, k, d)."""
    left, s, right = np.linalg.svd(w.transpose(1, 0, 2), full_matrices=False)
    p = np.maximum(s - threshold, 0.0)
    apart = s[:, :, None] - s[:, None, :]
    same = (s[:, :, None] + s[:, None, :] > 2.0 * threshold).astype(w.dtype)
    differences = p[:, :, None] - p[:, None, :]
    symmetric = np.divide(differences, apart, out=same, where=np.abs(apart) > 1e-12 * s[:, :1, None])
    sums = s[:, :, None] + s[:, None, :]
    antisymmetric = np.divide(p[:, :, None] + p[:, None, :], sums, out=np.zeros_like(sums), where=sums > 0.0)
    outside = np.divide(p, s, out=np.zeros_like(s), where=s > 0.0)
    roots = (np.sqrt(np.clip(part, 0.0, 1.0)) for part in (symmetric, antisymmetric, outside))
    return SpectralJacobian(left, right, *roots)
