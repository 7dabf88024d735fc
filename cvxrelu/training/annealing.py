"""Training of two-layer ReLU networks by annealing: L-BFGS on wide networks whose activations are ever less smooth.

L-BFGS on the ReLU itself stops at kinks. Minimisers of the smoothed objective move with the smoothing, so each stage
starts near its own, and a wide network has few bad local minima; weight decay then removes the neurons not needed.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.numerics.rows import nonzero_unit_rows
from cvxrelu.training.smoothed_objective import SmoothedObjective

SMOOTHINGS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
_FEW_COLUMNS, _LARGE_LAM = 12, 0.01  # the first smoothing is left out up to so many, from this fraction of lam_max on
_NARROW, _WIDE, _MANY_ROWS = 100, 400, 5_000  # neurons; rows from which on a wide network takes too long
_NARROW_LAM = 0.05  # fraction of lam_max
_MEMORY, _STEPS = 20, 1_000  # of L-BFGS, in each stage
_PROGRESS = 1e-7  # decrease in a step, relative to the loss of the zero network, at which a stage ends
_SMALLEST = 1e-5  # size of a neuron relative to the largest below which it is dropped


@dataclass(frozen=True, eq=False)
class TrainedLayers:
    """TrainedLayers W (m, d) and V (m, c) of a network, with its objective, not smoothed."""

    W: FloatArray
    V: FloatArray
    objective: float


class Annealing:
    """Local training on one data set.

    Data and targets are scaled to root mean squares of one, and networks are scaled back; losses of labels leave the
    targets as they are. Columns, and targets of the Huber loss, of far smaller size than others hardly count.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    Y : ndarray of shape (n, c)
        Targets, which ``loss`` accepts.
    lam : float > 0
        Weight decay lam/2 (||W||^2 + ||V||^2).
    loss : Loss
        The loss.
    """

    def __init__(self, X: FloatArray, Y: FloatArray, lam: float, loss: Loss) -> None:
        x_scale, y_scale = _root_mean_square(X), 1.0
        if loss.rescaled(1.0) is not None:
            y_scale = _root_mean_square(Y)
        self._layer_scale = np.sqrt(y_scale / x_scale)
        self._value_scale = 1.0 if y_scale == 1.0 else y_scale**2
        rescaled = loss if y_scale == 1.0 else loss.rescaled(y_scale)
        assert rescaled is not None
        self._objective = SmoothedObjective(X / x_scale, Y / y_scale, lam / (x_scale * y_scale), rescaled)

    def run(self, rng: np.random.Generator, *, deadline: float = np.inf) -> Iterator[TrainedLayers]:
        """Yield the best network so far after each stage, the last one at the deadline or after Ctrl-C.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of the first neurons.
        deadline : float
            Value of ``time.perf_counter`` at which the last stage ends.

        Raises
        ------
        KeyboardInterrupt
            After the network of the interrupted stage.
        """
        W, V, smoothings = self._start(rng)
        best = TrainedLayers(np.empty((0, W.shape[1])), np.empty((0, V.shape[1])), self._exact(W[:0], V[:0]))
        if len(smoothings) == 0:
            yield best
        for smoothing in smoothings:
            W, V, end = _minimise(self._objective, W, V, smoothing, deadline)
            W, V = balanced(W, V)
            value = self._exact(W, V)
            if value < best.objective:
                best = TrainedLayers(self._layer_scale * W, self._layer_scale * V, value)
            yield best
            if isinstance(end, KeyboardInterrupt):
                raise end
            if end is not None or len(W) == 0:
                return
            self._objective.compile_if_it_pays()

    def _exact(self, W: FloatArray, V: FloatArray) -> float:
        return self._value_scale * self._objective.exact(W, V)

    def _start(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, tuple[float, ...]]:
        """Return the first layers, along rows and differences of rows, and the smoothings: none if zero is optimal."""
        X, Y, objective = self._objective.X, self._objective.Y, self._objective
        t = objective.loss.gradient(np.zeros(Y.shape), Y)
        U = _directions(X, _WIDE, rng)
        values = np.linalg.norm(np.maximum(X @ U.T.astype(np.float32), 0.0).T.astype(np.float64) @ t, axis=1)
        largest = float(values.max())  # at most lam_max
        if largest == 0.0:
            return U[:0], np.empty((0, Y.shape[1])), ()
        fraction = objective.lam / largest
        width = _NARROW if fraction >= _NARROW_LAM else _WIDE if len(X) < _MANY_ROWS else _WIDE // 2
        V = rng.standard_normal((width, Y.shape[1]))
        size = width**-0.25
        few = X.shape[1] <= _FEW_COLUMNS and fraction >= _LARGE_LAM
        return size * U[:width], size * nonzero_unit_rows(V), SMOOTHINGS[1:] if few else SMOOTHINGS


def balanced(W: FloatArray, V: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the layers without negligible neurons, scaled to ||W_j|| = ||V_j||, which minimises the weight decay."""
    first, second = np.linalg.norm(W, axis=1), np.linalg.norm(V, axis=1)
    sizes = first * second
    kept = sizes > _SMALLEST * sizes.max(initial=0.0)
    factors = np.sqrt(second[kept] / first[kept])[:, None]
    return W[kept] * factors, V[kept] / factors


class _TimeUp(Exception):
    """The deadline has passed."""


def _minimise(
    objective: SmoothedObjective, W: FloatArray, V: FloatArray, smoothing: float, deadline: float
) -> tuple[FloatArray, FloatArray, BaseException | None]:
    """Return the layers after L-BFGS on the smoothed objective, or the last ones evaluated and what ended it early."""
    split, (m, d) = W.size, W.shape
    last = np.concatenate([W.ravel(), V.ravel()])

    def evaluate(x: Any) -> tuple[float, Any]:
        nonlocal last
        if time.perf_counter() >= deadline:
            raise _TimeUp
        value, in_W, in_V = objective.evaluate(x[:split].reshape(m, d), x[split:].reshape(m, -1), smoothing)
        last = x.copy()
        # SciPy's tolerance is absolute for values below one.
        return value / objective.at_zero, np.concatenate([in_W.ravel(), in_V.ravel()]) / objective.at_zero

    options: Any = {"maxiter": _STEPS, "maxfun": 2 * _STEPS, "maxcor": _MEMORY, "ftol": _PROGRESS, "gtol": 0.0}
    end: BaseException | None = None
    try:
        last = scipy.optimize.minimize(evaluate, last, jac=True, method="L-BFGS-B", options=options).x
    except (_TimeUp, KeyboardInterrupt) as early:
        end = early
    return last[:split].reshape(m, d), last[split:].reshape(m, -1), end


def _directions(X: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Return unit vectors (count, d): alternately rows with random signs, and differences of two rows."""
    i, j = rng.integers(len(X), size=(2, count))
    signs = rng.choice([-1.0, 1.0], size=(count, 1))
    rows = np.where((np.arange(count) % 2 == 0)[:, None], signs * X[i], X[i].astype(np.float64) - X[j])
    return nonzero_unit_rows(rows)


def _root_mean_square(array: FloatArray) -> float:
    """Return the root mean square of the entries, of ordinary size; 1 if all are zero."""
    return float(np.sqrt(np.mean(np.square(array)))) or 1.0
