"""Pricing: the neuron that lowers the objective of a ReLU network most, by local ascent from many starts."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from cvxrelu._validation import BoolArray, FloatArray, check_integer, check_matrix, check_numeric, read_only
from cvxrelu.networks.layers import as_columns
from cvxrelu.networks.network import ReLUNetwork
from cvxrelu.numerics.rounding import EPS, TINY
from cvxrelu.numerics.rows import nonzero_unit_rows

_ROUNDS = 30
_STEPS = 50
_PROGRESS = 1e-4  # a start that gains less in a round, relatively, is dropped
_REFINED, _PROMISING = 200, 0.9  # largest number of points refined, with values above this fraction of the best
_MORE_STEPS, _LESS_PROGRESS = 200, 1e-6  # of their refinement
_POLISHED = 5
_POLISH_ROUNDS = 50
_POLISH_PROGRESS = 1e-12


@dataclass(frozen=True, eq=False)
class NewNeuron:
    """A neuron h(x) = size * sign * (x'u)_+ of one output, to be added to a network.

    Attributes
    ----------
    u : ndarray of shape (d,)
        Direction of the first layer's weights, of norm 1.
    value : float
        |t'(Xu)_+| at the given t. At t = grad F the loss decreases by ``value`` times the neuron's size, to first
        order, so the objective decreases at the rate ``value - lam``.
    sign : float
        Sign of the second layer's weight, -1 or +1: the one that lowers the loss.
    output : int
        The output that the neuron feeds: 0 for t (n,).
    pattern : ndarray of shape (n,), bool
        Its activation pattern, 1[Xu >= 0].
    n_starts : int
        Starts of the local ascent that found it; 0 if ``exact``.
    exact : bool
        Whether no unit vector has a larger value, to rounding: true for data of rank at most 2 and scope "global". Else
        ``value`` is evidence only: a larger one may exist.
    """

    u: FloatArray
    value: float
    sign: float
    output: int
    pattern: BoolArray
    n_starts: int
    exact: bool = False

    def added_to(self, network: ReLUNetwork, size: float) -> ReLUNetwork:
        """Return the network with this neuron added, its layers sqrt(size) u and sign sqrt(size)."""
        w2 = as_columns(network.w2)
        row = np.zeros((1, w2.shape[1]))
        row[0, self.output] = self.sign * np.sqrt(size)
        extended = np.vstack([w2, row])
        W1 = np.vstack([network.W1, np.sqrt(size) * self.u])
        return ReLUNetwork(W1, extended[:, 0] if network.w2.ndim == 1 else extended)


def new_neuron(X: FloatArray, t: FloatArray, u: FloatArray, n_starts: int, *, exact: bool = False) -> NewNeuron:
    """Return the neuron along u (d,), with its value at t (n,) or (n, c)."""
    products = X @ u
    sums = t.reshape(len(X), -1).T @ np.maximum(products, 0.0)
    output = int(np.argmax(np.abs(sums)))
    return NewNeuron(
        u=read_only(u),
        value=abs(float(sums[output])),
        sign=-1.0 if sums[output] > 0.0 else 1.0,
        output=output,
        pattern=read_only(products >= 0.0),
        n_starts=n_starts,
        exact=exact,
    )


def find_neuron(X: Any, t: Any, *, starts: Any = None, n_starts: int = 100, seed: int = 0) -> NewNeuron:
    """Return the best unit vector u found for |t'(Xu)_+|, the value of the dual constraint of ReLU networks.

    With t = grad F at a network's predictions, a neuron with a value above lam lowers the objective
    F + lam/2 (||W1||^2 + ||w2||^2) of that network, whatever its patterns. A value of at most lam proves nothing, as
    this is a local search for the maximum of a non-convex function. For a proven bound use ``scope="global"`` of
    `cvxrelu.certify_network`.

    t'(Xu)_+ is a difference of convex functions, the sum over t_i > 0 minus the sum over t_i < 0. Each round replaces
    the first by its tangent b'u at the current u and maximises the result over the unit ball: the maximiser is along
    b - A c, the residual of the least-squares problem min ||b - A c|| over 0 <= c <= 1, A with columns |t_i| x_i,
    t_i < 0. Exact rounds never lower the value. All starts run in one batch, with a fixed number of accelerated
    projected gradient steps per least-squares problem; the best are polished by exact rounds. The same is done for -t.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data.
    t : array_like of shape (n,) or (n, c)
        The dual variable; with c outputs, the best neuron over all of them is returned.
    starts : array_like of shape (k, d), optional
        Additional starts, such as a network's neurons.
    n_starts : int >= 1
        Number of random starts: Gaussian and whitened Gaussian in the row space, rows, and differences of rows.
    seed : int >= 0
        Seed of the starts.

    Returns
    -------
    NewNeuron
        Its ``n_starts`` counts all starts, given ones included, each of which is used for both signs and every output.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or has the wrong shape.

    References
    ----------
    Pilanci & Ergen, "Neural Networks are Convex Regularizers", ICML 2020, arXiv 2002.10553: the dual constraint.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> t = -y / len(y)  # grad F at the zero network
    >>> neuron = cr.find_neuron(X, t)
    >>> neuron.sign
    1.0
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X))
    >>> abs(neuron.value - problem.lam_max()) < 1e-9  # at a larger lam no neuron is worth its weight decay
    True
    >>> neuron.added_to(cr.ReLUNetwork(np.zeros((0, 2)), np.zeros(0)), size=0.1).n_neurons
    1
    """
    data, dual = check_matrix("X", X).astype(np.float64), check_numeric("t", t).astype(np.float64)
    if dual.ndim not in (1, 2) or len(dual) != len(data):
        raise ValueError(f"t must have shape (n,) or (n, c) with n = {len(data)}; got {dual.shape}")
    n_starts = check_integer("n_starts", n_starts, minimum=1)
    rng = np.random.default_rng(check_integer("seed", seed, minimum=0))
    given = np.empty((0, data.shape[1]))
    if starts is not None:
        given = check_matrix("starts", starts, "(k, d)").astype(np.float64)
        if given.shape[1] != data.shape[1]:
            raise ValueError(f"starts must have the {data.shape[1]} columns of X; got shape {given.shape}")
    return local_maxima(data, dual, given, n_starts, rng)[0]


def local_maxima(
    X: FloatArray,
    t: FloatArray,
    given: FloatArray,
    n_starts: int,
    rng: np.random.Generator,
    *,
    deadline: float = np.inf,
) -> list[NewNeuron]:
    """Return the best neuron of each pattern in which the ascent of `find_neuron` ends, in descending order of value.

    At least one neuron is returned. At ``deadline``, a value of ``time.perf_counter``, the ascent returns the points
    that it has reached.
    """
    # Work in the row space with normalised data: the search does not depend on the scale of X or t.
    units = X / (np.abs(X).max() or 1.0)
    _, sizes, right = np.linalg.svd(units, full_matrices=False)
    rank = max(1, int(np.count_nonzero(sizes > max(X.shape) * EPS * sizes[0])))
    basis, rows = right[:rank], units @ right[:rank].T
    drawn = draw_starts(rows, sizes[:rank], n_starts, rng)
    U = nonzero_unit_rows(np.vstack([drawn, given / (np.abs(given).max(axis=1, keepdims=True) + TINY) @ basis.T]))
    reached, values = [U], [np.full(len(U), -np.inf)]
    for column in t.reshape(len(X), -1).T:
        size = np.abs(column).max()
        for sign in (1.0, -1.0) if size > 0.0 else ():
            ends, heights = _ascend(_Ascent(rows, sign * column / size, deadline), U)
            reached.append(ends)
            values.append(heights * size)
    ends, heights = np.concatenate(reached), np.concatenate(values)
    order = np.argsort(-heights, kind="stable")
    order = order[heights[order] > -np.inf] if np.isfinite(heights).any() else order[:1]
    sides = np.packbits(ends[order] @ rows.T >= 0.0, axis=1)
    first = np.sort(np.unique(sides, axis=0, return_index=True)[1])
    return [new_neuron(X, t, u / np.linalg.norm(u), len(U)) for u in ends[order[first]] @ basis]


def draw_starts(rows: FloatArray, sizes: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Return ``count`` directions (count, r): Gaussian, whitened Gaussian, and +-rows and their differences."""
    kinds = np.arange(count) % 4
    U = rng.standard_normal((count, rows.shape[1]))
    U[kinds == 1] /= np.where(sizes > 0.0, sizes, 1.0)
    i, j = rng.integers(len(rows), size=(2, count))
    signs = rng.choice([-1.0, 1.0], size=(count, 1))
    U[kinds == 2] = (signs * rows[i])[kinds == 2]
    U[kinds == 3] = (rows[i] - rows[j])[kinds == 3]
    return U


class _Ascent:
    """Rounds of the ascent of t'(Xu)_+, a difference of convex functions, until a deadline."""

    def __init__(self, rows: FloatArray, t: FloatArray, deadline: float) -> None:
        self._deadline = deadline
        up, down = t > 0.0, t < 0.0
        self._up = t[up, None] * rows[up]
        self._down = -t[down, None] * rows[down]
        self._step = 1.0 / max(float(np.linalg.norm(self._down, 2)) ** 2, TINY) if len(self._down) else 0.0

    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return time.perf_counter() >= self._deadline

    def values(self, U: FloatArray) -> FloatArray:
        """Return t'(Xu)_+ for each row u of U."""
        gain, loss = (np.maximum(U @ part.T, 0.0).sum(axis=1) for part in (self._up, self._down))
        difference: FloatArray = gain - loss
        return difference

    def round(self, U: FloatArray, steps: int) -> FloatArray:
        """Return the next directions (S, r), with the least-squares problems solved approximately."""
        B = self._tangents(U)
        C = (U @ self._down.T > 0.0).astype(np.float64)
        Y, momentum = C, 1.0
        for _ in range(steps):
            if self.is_over():
                break
            following = np.clip(Y - self._step * ((Y @ self._down - B) @ self._down.T), 0.0, 1.0)
            after = 0.5 + np.sqrt(0.25 + momentum**2)
            Y = following + (momentum - 1.0) / after * (following - C)
            C, momentum = following, after
        return B - C @ self._down

    def exact_round(self, u: FloatArray) -> FloatArray:
        """Return the next direction (r,) from u (r,), with the least-squares problem solved to rounding."""
        b: FloatArray = self._tangents(u[None])[0]
        if not len(self._down):
            return b
        c = scipy.optimize.lsq_linear(self._down.T, b, bounds=(0.0, 1.0), method="bvls").x
        residual: FloatArray = b - c @ self._down
        return residual

    def _tangents(self, U: FloatArray) -> FloatArray:
        tangents: FloatArray = (U @ self._up.T > 0.0) @ self._up
        return tangents


def _ascend(ascent: _Ascent, U: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the points at which the ascent from the unit rows of U (S, r) ends, and their values (S,)."""
    U, values = U.copy(), ascent.values(U)
    _climb(ascent, U, values, np.arange(len(U)), _STEPS, _PROGRESS)
    promising = np.argsort(-values, kind="stable")[:_REFINED]
    promising = promising[values[promising] > _PROMISING * values[promising[0]]]
    _climb(ascent, U, values, promising, _MORE_STEPS, _LESS_PROGRESS)
    for i in _distinct_best(values):
        for _ in range(_POLISH_ROUNDS):
            if ascent.is_over():
                break
            following = nonzero_unit_rows(ascent.exact_round(U[i])[None])
            reached = ascent.values(following)[0]
            if not reached > values[i] + _POLISH_PROGRESS * abs(values[i]):
                break
            U[i], values[i] = following[0], reached
    return U, values


def _climb(
    ascent: _Ascent, U: FloatArray, values: FloatArray, moving: NDArray[np.intp], steps: int, progress: float
) -> None:
    """Move the rows ``moving`` of U by rounds of ``steps``, each row until its relative gain is below ``progress``."""
    for _ in range(_ROUNDS):
        if not len(moving) or ascent.is_over():
            return
        following = nonzero_unit_rows(ascent.round(U[moving], steps))
        reached = ascent.values(following)
        better = reached > values[moving]
        gained = reached - values[moving] > progress * np.abs(reached)
        U[moving[better]], values[moving[better]] = following[better], reached[better]
        moving = moving[gained]


def _distinct_best(values: FloatArray) -> list[int]:
    """Return the indices of the largest values that differ by more than the relative progress of a round."""
    chosen: list[int] = []
    for i in np.argsort(-values).tolist():
        if len(chosen) == _POLISHED:
            break
        if not chosen or values[i] < values[chosen[-1]] - _PROGRESS * abs(values[chosen[-1]]):
            chosen.append(i)
    return chosen
