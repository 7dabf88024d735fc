"""Training rows of estimators: equal rows merged, features and targets standardised, and the inverse maps."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from cvxrelu._validation import FloatArray
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork

_FAR = 400  # of exponents of two: squares beyond are near the ends of float64


@dataclass(frozen=True, eq=False)
class MergedRows:
    """The distinct rows of (X, Y), sorted, each with the total weight of its copies.

    A fit on them does not depend on the order of the given rows, and integer weights are equivalent to repeated rows to
    the last bit.

    Attributes
    ----------
    X : ndarray of shape (m, d)
        Features.
    Y : ndarray of shape (m, c)
        Targets.
    weights : ndarray of shape (m,)
        Total weights.
    index : ndarray of shape (n,)
        Index of the merged row of each given row.
    """

    X: FloatArray
    Y: FloatArray
    weights: FloatArray
    index: NDArray[np.intp]

    @classmethod
    def of(cls, X: FloatArray, Y: FloatArray, weights: FloatArray) -> Self:
        """Return the merged rows of X (n, d), Y (n, c) and weights (n,)."""
        table = np.ascontiguousarray(np.column_stack([X, Y]) + 0.0)  # -0.0 becomes 0.0
        keys = table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1])))[:, 0]
        _, first, index = np.unique(keys, return_index=True, return_inverse=True)
        index = index.reshape(-1)
        totals = np.bincount(index, weights).astype(np.float64)
        return cls(X[first], Y[first], totals, index)


@dataclass(frozen=True, eq=False)
class Standardization:
    """Standardisation (X - mean) / scale of features, with a column of ones for the bias, and of targets.

    Attributes
    ----------
    x_mean, x_scale : ndarray of shape (d,)
        Mean and scale of the features.
    y_mean, y_scale : ndarray of shape (c,)
        Mean and scale of the targets.
    bias : bool
        Whether a column of ones is appended.
    """

    x_mean: FloatArray
    x_scale: FloatArray
    y_mean: FloatArray
    y_scale: FloatArray
    bias: bool

    @classmethod
    def fit(cls, rows: MergedRows, *, bias: bool, features: bool, targets: bool) -> Self:
        """Return the standardisation by weighted means and standard deviations; columns are centred only with a bias.

        Raises
        ------
        ValueError
            If a column is at the end of the range of float64, so that its scale or its reciprocal is not.
        """
        x_mean, x_scale = _moments("X", rows.X, rows.weights, features, bias)
        y_mean, y_scale = _moments("y", rows.Y, rows.weights, targets, bias)
        return cls(x_mean, x_scale, y_mean, y_scale, bias)

    def features(self, X: FloatArray) -> FloatArray:
        """Return the standardised features (n, d), or (n, d + 1) with the bias."""
        data = (X - self.x_mean) / self.x_scale
        return with_bias(data) if self.bias else data

    def as_map(self, classes: list[Any] | None) -> dict[str, Any]:
        """Return the map from raw to standardised rows as in the header of a certificate file."""
        parts = {"x_shift": self.x_mean, "x_scale": self.x_scale, "y_shift": self.y_mean, "y_scale": self.y_scale}
        return {**{name: part.tolist() for name, part in parts.items()}, "bias": self.bias, "classes": classes}

    def targets(self, Y: FloatArray) -> FloatArray:
        """Return the standardised targets (n, c)."""
        return (Y - self.y_mean) / self.y_scale

    def network(self, network: Network) -> Network:
        """Return the network for raw data, including the bias column if there is one, that predicts raw targets.

        An additional last neuron with constant activation 1 carries the means of the targets.
        """
        W1 = self._raw(network.W1)
        w2 = network.w2 * (self.y_scale if network.w2.ndim == 2 else self.y_scale[0])
        G = self._raw(network.G.T) if isinstance(network, GatedReLUNetwork) else None
        if self.y_mean.any():
            constant = np.zeros((1, W1.shape[1]))
            constant[0, -1] = 1.0
            W1 = np.concatenate([W1, constant])
            w2 = np.concatenate([as_columns(w2), self.y_mean[None]]).reshape(-1, *w2.shape[1:])
            G = None if G is None else np.concatenate([G, constant])
        return ReLUNetwork(W1, w2) if G is None else GatedReLUNetwork(G.T, W1, w2)

    def standardized(self, network: Network) -> Network:
        """Return the network for standardised data that `network` maps to the given one, to rounding.

        Raises
        ------
        ValueError
            If the neuron that carries the means of the targets is not its last.
        """
        W1, w2 = network.W1, as_columns(network.w2)
        G = network.G.T if isinstance(network, GatedReLUNetwork) else None
        if self.y_mean.any():
            constant = np.eye(1, W1.shape[1], W1.shape[1] - 1)
            if not (np.array_equal(W1[-1:], constant) and np.array_equal(w2[-1:], self.y_mean[None])):
                raise ValueError("network must end with the neuron that carries the means of the targets")
            W1, w2, G = W1[:-1], w2[:-1], None if G is None else G[:-1]
        w2 = (w2 / self.y_scale).reshape(-1, *network.w2.shape[1:])
        W1 = self._standardized(W1)
        return ReLUNetwork(W1, w2) if G is None else GatedReLUNetwork(self._standardized(G).T, W1, w2)

    def _standardized(self, rows: FloatArray) -> FloatArray:
        """Map first-layer weights or gates (rows) for raw data to those for standardised data."""
        if not self.bias:
            return rows * self.x_scale
        raw = rows[:, :-1]
        return np.column_stack([raw * self.x_scale, rows[:, -1] + raw @ self.x_mean])

    def _raw(self, rows: FloatArray) -> FloatArray:
        """Map first-layer weights or gates (rows) for standardised data to those for raw data."""
        if not self.bias:
            return rows / self.x_scale
        raw = rows[:, :-1] / self.x_scale
        return np.column_stack([raw, rows[:, -1] - raw @ self.x_mean])


def with_bias(X: FloatArray) -> FloatArray:
    """Return X with a column of ones appended."""
    return np.column_stack([X, np.ones(len(X))])


def _moments(
    name: str, data: FloatArray, weights: FloatArray, scaled: bool, centred: bool
) -> tuple[FloatArray, FloatArray]:
    """Return the means subtracted from the columns and the scales that divide them; 0 and 1 if not ``scaled``."""
    if not scaled:
        return np.zeros(data.shape[1]), np.ones(data.shape[1])
    exponents = _far_exponents(data)  # so that variances neither overflow nor underflow
    scaler = StandardScaler().fit(np.ldexp(data, -exponents), sample_weight=weights)
    with np.errstate(over="ignore", under="ignore"):
        mean, scale = np.ldexp(scaler.mean_, exponents), np.ldexp(scaler.scale_, exponents)
        fits = np.isfinite(1.0 / scale) & np.isfinite(np.ptp(data, axis=0))
    if not fits.all():
        column = int(np.argmin(fits))
        largest = np.abs(data[:, column]).max()
        raise ValueError(
            f"{name} cannot be standardised: its column {column} has values up to {largest:g}, at the end of the range "
            "of float64"
        )
    return mean if centred else np.zeros(data.shape[1]), scale


def _far_exponents(data: FloatArray) -> NDArray[np.intp]:
    """Return the power of two next to the largest entry of each column, 0 where its square is far from the ends."""
    exponents = np.frexp(np.abs(data).max(axis=0))[1]
    return np.where(np.abs(exponents) > _FAR, exponents, 0)
