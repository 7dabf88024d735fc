"""Scale the columns of X to norm one, and map weights, gates and networks back exactly."""

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_matrix, check_numeric, read_only
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.problems.base import ConvexProblem, check_problem

ProblemT = TypeVar("ProblemT", bound=ConvexProblem)


@dataclass(frozen=True, eq=False)
class ColumnScaling:
    """Scaling of the columns of X by positive divisors, such as their l2 norms on the training data, without centring.

    With X_s = X / scale, a weight w_s of the scaled problem is w = w_s / scale of the original one, and a gate g
    is g_s = g * scale. Row by row x'w = x_s'w_s and x'g = x_s'g_s, so that

    - predictions are the same, on the training data and on new data,
    - patterns are the same, and cones map onto each other: (2 D_i - I) X_s w_s >= 0 iff (2 D_i - I) X w >= 0.

    The penalty acts on the scaled weights, so the scaled problem is a different one: its lam_max, optimum and
    certificate do not apply to the original problem at the same lam. A network that is mapped back has the predictions
    of the scaled one, but another weight decay.

    Everything holds to rounding. If a product x'g is zero to rounding, the sign of the scaled gate, or of the one
    mapped back, may differ: problems keep their masks D, but a gated network may switch that neuron on that row. Zero
    rows are unaffected, and scaling by powers of two is exact.

    Parameters
    ----------
    scale : array_like of shape (d,)
        Divisor > 0 of each column; stored as a read-only float64 copy.

    Raises
    ------
    TypeError
        If scale does not hold real numbers.
    ValueError
        If scale is not 1-D, or an entry is not finite or not > 0.

    References
    ----------
    Mishkin, Sahiner & Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks", ICML 2022,
    arXiv 2202.01331: its experiments scale columns to norm one.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((20, 3)) * [1.0, 10.0, 100.0], rng.standard_normal(20)
    >>> problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, n_gates=10, seed=0), lam=0.001)
    >>> scaling = cr.ColumnScaling.fit(X)
    >>> scaled = cr.solve(scaling.problem(problem)).network()
    >>> network = scaling.network(scaled)  # for raw data
    >>> np.allclose(network.predict(X), scaled.predict(scaling.transform(X)))
    True
    """

    scale: FloatArray

    def __post_init__(self) -> None:
        scale = check_numeric("scale", self.scale).astype(np.float64)
        if scale.ndim != 1:
            raise ValueError(f"scale must have shape (d,), one entry for each column of X; got shape {scale.shape}")
        if (scale <= 0.0).any():
            k = int(np.argmax(scale <= 0.0))
            raise ValueError(f"scale must be > 0; got {scale[k]} at index {k}")
        object.__setattr__(self, "scale", read_only(scale))

    @classmethod
    def fit(cls, X: Any) -> Self:
        """Return the scaling by the l2 norms of the columns of X; zero columns are not scaled.

        Parameters
        ----------
        X : array_like of shape (n, d)
            The training data.

        Returns
        -------
        ColumnScaling

        Raises
        ------
        TypeError, ValueError
            If X is not a finite, non-empty 2-D array of real numbers.
        """
        data = check_matrix("X", X).astype(np.float64)
        # Divide first, as the squares of tiny or huge entries under- or overflow.
        largest = np.abs(data).max(axis=0)
        largest[largest == 0.0] = 1.0
        norms = largest * np.linalg.norm(data / largest, axis=0)
        return cls(np.where(norms > 0.0, norms, 1.0))

    def transform(self, X: Any) -> FloatArray:
        """Return X / scale, as float32 if X is float32, else as float64.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training or new data.

        Returns
        -------
        ndarray of shape (n, d)

        Raises
        ------
        TypeError, ValueError
            If X is not a finite, non-empty 2-D array of real numbers with d columns.
        """
        data = check_matrix("X", X)
        if data.shape[1] != len(self.scale):
            raise ValueError(f"X must have the {len(self.scale)} columns of the scaling; got {data.shape[1]}")
        return (data / self.scale).astype(data.dtype)

    def problem(self, problem: ProblemT) -> ProblemT:
        """Return the problem on X / scale, with gates G * scale and the same masks, y, lam, loss and penalty.

        Masks computed as 1[X G >= 0] match the scaled data, underflow aside: the rounding error of x'g is at most
        d eps |x|'|g|, which scaling does not change, and which is at most d eps ||x_s|| ||g_s||.

        Parameters
        ----------
        problem : ConvexGatedReLU or ConvexReLU
            The problem on the raw data.

        Returns
        -------
        ConvexGatedReLU or ConvexReLU
            A problem of the same kind.

        Raises
        ------
        TypeError
            If ``problem`` is not a problem.
        ValueError
            If its X has another number of columns, or its masks differ from 1[X G >= 0] by more than that rounding,
            which columns of very different sizes can hide before they are scaled.
        """
        check_problem(problem)
        data = self.transform(problem.X)
        gates = problem.patterns.G
        patterns = ActivationPatterns(problem.patterns.D, None if gates is None else gates * self.scale[:, None])
        return type(problem)(data, problem.y, patterns, problem.lam, problem.loss, problem.penalty)

    def weights(self, weights: Weights) -> Weights:
        """Return the weights of the original problem with the predictions of the given weights of the scaled one.

        Parameters
        ----------
        weights : ndarray (c, P, d), or pair of them
            U, or (V, W), of the scaled problem.

        Returns
        -------
        ndarray (c, P, d), or pair of them

        Raises
        ------
        TypeError, ValueError
            If they are not finite arrays of real numbers of that shape.
        """
        if not isinstance(weights, tuple | list):
            return self._unscaled("weights", weights)
        if len(weights) != 2:
            raise ValueError(f"weights must be an array U or a pair (V, W); got {len(weights)} arrays")
        return self._unscaled("V", weights[0]), self._unscaled("W", weights[1])

    def network(self, network: Network) -> Network:
        """Return the network for raw data with the predictions of ``network`` on scaled data.

        Parameters
        ----------
        network : ReLUNetwork or GatedReLUNetwork
            The network of the scaled problem; its first layer and its gates are divided by scale.

        Returns
        -------
        ReLUNetwork or GatedReLUNetwork
            A network of the same kind.

        Raises
        ------
        TypeError
            If ``network`` is not a network.
        ValueError
            If it has another number of inputs.
        """
        if not isinstance(network, ReLUNetwork | GatedReLUNetwork):
            raise TypeError(f"network must be a ReLUNetwork or GatedReLUNetwork; got {type(network).__name__}")
        d = len(self.scale)
        if network.W1.shape[1] != d:
            raise ValueError(f"network must have the {d} inputs of the scaling; got {network.W1.shape[1]}")
        W1 = network.W1 / self.scale
        if isinstance(network, GatedReLUNetwork):
            return GatedReLUNetwork(network.G / self.scale[:, None], W1, network.w2)
        return ReLUNetwork(W1, network.w2)

    def _unscaled(self, name: str, value: Any) -> FloatArray:
        blocks = check_numeric(name, value)
        if blocks.ndim != 3 or blocks.shape[2] != len(self.scale):
            raise ValueError(f"{name} must have shape (c, P, d) with d = {len(self.scale)}; got {blocks.shape}")
        return blocks / self.scale
