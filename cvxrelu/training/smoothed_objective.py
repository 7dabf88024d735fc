"""Objective and gradient of a two-layer network with smoothed activations, in float32 with sums in float64."""

import time

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.smoothed_relu import SAVINGS, activate, activate_by_numpy, chain, chain_by_numpy
from cvxrelu.runtime.compilation import PreparedArray

_BLOCK = 120_000  # activations of a block of rows: what the cache of a core holds
_FEWEST_ROWS = 64


class SmoothedObjective:
    """F(phi(X W') V) + lam/2 (||W||^2 + ||V||^2) for W (m, d) and V (m, c), at a smoothing eps.

    phi is the ReLU smoothed over a half width of eps ||W_j|| in neuron j, so that it stays homogeneous: neurons can be
    rescaled as those of the ReLU. The products are in float32, the loss and the sums over blocks of rows in float64.
    Memory: 8 bytes for each row and neuron, and X in float32.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data, of ordinary size: products are computed in float32.
    Y : ndarray of shape (n, c)
        Targets.
    lam : float > 0
        Strength of the weight decay.
    loss : Loss
        The loss F.

    Attributes
    ----------
    at_zero : float
        The objective of the zero network; 1 if that is 0.
    """

    def __init__(self, X: FloatArray, Y: FloatArray, lam: float, loss: Loss) -> None:
        self.X = np.ascontiguousarray(X, dtype=np.float32)
        self.Y, self.lam, self.loss = Y, lam, loss
        self.at_zero = loss.value(np.zeros(Y.shape), Y) or 1.0
        self._compiled = activate.is_ready() and chain.is_ready()
        self._set_width(0)

    def compile_if_it_pays(self) -> None:
        """Compile the kernels if NumPy has taken as long in their place as that takes, where it is allowed."""
        for each in SAVINGS:
            each.spend()
        self._compiled = activate.is_ready() and chain.is_ready()

    def evaluate(self, W: FloatArray, V: FloatArray, eps: float) -> tuple[float, FloatArray, FloatArray]:
        """Return the objective at W (m, d), V (m, c) for a smoothing eps > 0, and its gradients in W and in V."""
        started = time.thread_time()
        n, m = len(self.X), len(W)
        if m != self._width:
            self._set_width(m)
        norms = np.linalg.norm(W, axis=1)
        widths = np.maximum(eps * norms, np.finfo(np.float32).tiny).astype(np.float32)
        transposed = np.ascontiguousarray(W.T, dtype=np.float32)
        second = V.astype(np.float32)
        first_pass, second_pass = (activate, chain) if self._compiled else (activate_by_numpy, chain_by_numpy)
        f = np.empty(self.Y.shape)
        for rows, A, D in self._blocks:
            np.matmul(self.X[rows], transposed, out=A.array)
            first_pass(A, D, widths)
            f[rows] = A.array @ second
        value = self.loss.value(f, self.Y)
        # Residuals of order one: those of the loss have the factor 1/n, which float32 could not add up.
        R = (n * self.loss.gradient(f, self.Y)).astype(np.float32)
        across = np.ascontiguousarray(second.T)
        in_W, in_V, sums = np.zeros(W.shape), np.zeros(V.shape), np.zeros(m)
        part, row = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
        for rows, A, D in self._blocks:
            part[:] = 0.0
            in_V += A.array.T @ R[rows]
            second_pass(D, R[rows], across, part, row)
            in_W += D.array.T @ self.X[rows]
            sums += part
        in_W += (eps * sums / np.maximum(norms, TINY))[:, None] * W
        in_W /= n
        in_V /= n
        decay = 0.5 * self.lam * float(np.vdot(W, W) + np.vdot(V, V))
        if not self._compiled:
            for each in SAVINGS:
                each.add(0.25 * (time.thread_time() - started))
        return value + decay, in_W + self.lam * W, in_V + self.lam * V

    def exact(self, W: FloatArray, V: FloatArray) -> float:
        """Return the objective of the ReLU network in float64 arithmetic, for the X of `evaluate`."""
        f = np.empty(self.Y.shape)
        for rows in self._rows(len(W)):
            f[rows] = np.maximum(self.X[rows].astype(np.float64) @ W.T, 0.0) @ V
        return self.loss.value(f, self.Y) + 0.5 * self.lam * float(np.vdot(W, W) + np.vdot(V, V))

    def _set_width(self, m: int) -> None:
        """Allocate activations and slopes of m neurons, by blocks of rows."""
        self._width = m
        rows = self._rows(m)
        activations, slopes = (
            [PreparedArray(np.empty((len(self.X[each]), m), dtype=np.float32)) for each in rows] for _ in range(2)
        )
        self._blocks = list(zip(rows, activations, slopes, strict=True))

    def _rows(self, m: int) -> list[slice]:
        """Return slices of rows whose activations stay in the cache."""
        size = max(_FEWEST_ROWS, _BLOCK // max(m, 1))
        return [slice(start, start + size) for start in range(0, len(self.X), size)]
