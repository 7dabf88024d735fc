"""Non-convex baselines: ReLU and gated-ReLU networks trained by SGD or Adam in PyTorch, the extra ``torch``."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cvxrelu._validation import (
    FloatArray,
    check_choice,
    check_integer,
    check_matrix,
    check_number,
    check_targets,
    read_only,
)
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses.base import Loss, require_range
from cvxrelu.losses.registry import get_loss
from cvxrelu.losses.weighted import Weighted
from cvxrelu.networks.network import GatedReLUNetwork, Network, ReLUNetwork
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.packed_mask import PackedMask

_OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """Result of `train_network`: an upper bound on the global optimum, without a certificate.

    Attributes
    ----------
    network : ReLUNetwork or GatedReLUNetwork
        The network with the smallest full objective among the initial one and those after each epoch.
    objective : float
        ``network.objective(X, y, lam, loss)``.
    history : ndarray of shape (1 + epochs,)
        The full objective at the start and after each epoch run. The last entry of a diverged run is not finite.
    patterns : ActivationPatterns or None
        The distinct non-zero patterns on X of all neurons at the start and after every step, in the order of their
        first visit, each with the neuron's weights at that moment as its gate. They include those of ``network``.
        None if not requested, for gated networks, and if no neuron was ever active.
    """

    network: Network
    objective: float
    history: FloatArray
    patterns: ActivationPatterns | None


def train_network(
    X: ArrayLike,
    y: ArrayLike,
    n_neurons: int | None,
    lam: float,
    *,
    loss: str | Loss = "squared",
    gates: ArrayLike | None = None,
    optimizer: str = "adam",
    learning_rate: float = 1e-2,
    batch_size: int | None = None,
    n_epochs: int = 1000,
    decay: float = 0.5,
    decay_every: int | None = 100,
    seed: int = 0,
    track_patterns: bool = False,
) -> TrainingRun:
    """Minimise F(h(X)) + lam/2 (||W1||_F^2 + ||w2||_F^2) over W1 and w2 by SGD or Adam, without a guarantee.

    h(x) = sum_i (x'W1_i)_+ w2_i (NC-ReLU) or, with gates, sum_i 1[x'g_i >= 0] (x'W1_i) w2_i (NC-GReLU).
    Needs PyTorch, ``pip install 'cvxrelu[torch]'``; all computation is in float64 on the CPU. The initial weights are
    Gaussian, with standard deviation 1/sqrt(d) for W1 and 1/sqrt(m) for w2. Each step uses the gradient of the
    objective with F taken over the mini-batch and the full regulariser, an unbiased estimate. Equal arguments give
    equal runs; no global random state is read or changed. PyTorch's number of threads is not changed: on small data or
    a busy machine ``torch.set_num_threads(1)`` can be much faster.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data. A bias is the weight of a constant column.
    y : array_like of shape (n,) or (n, c)
        Targets; w2 is (m,) or (m, c) accordingly.
    n_neurons : int or None
        Number m of neurons. With gates, their number or None.
    lam : float >= 0
        Strength of the weight decay.
    loss : str or Loss
        "squared", "logistic", "softmax", "huber", or any other loss, scaled by 1/n. Its value and gradient methods are
        used; PyTorch differentiates the network.
    gates : array_like of shape (d, m), optional
        Fixed gates of a gated network. By default the network is a ReLU network.
    optimizer : {"adam", "sgd"}
        PyTorch's optimizer with its defaults (SGD without momentum).
    learning_rate : float > 0
        Initial step size.
    batch_size : int, optional
        Rows in a mini-batch, at most n; the rows are shuffled in each epoch and the last batch may be smaller.
        By default, and always for `Weighted` losses, all rows, in one step per epoch.
    n_epochs : int >= 0
        Number of passes over the rows.
    decay : float, 0 < decay <= 1
        Factor of the step size every ``decay_every`` epochs.
    decay_every : int, optional
        Epochs between two decays; None for a constant step size.
    seed : int >= 0
        Seed of the initial weights and of the shuffling.
    track_patterns : bool
        Whether to collect the activation patterns of a ReLU network, at the cost of a product with X in each step.

    Returns
    -------
    TrainingRun
        The best network and the history of the run.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, does not match the others, or has another type.
    ImportError
        If PyTorch is not installed.

    Warns
    -----
    ConvergenceWarning
        If the objective becomes infinite or NaN; the run ends and the best network so far is returned.

    References
    ----------
    Mishkin, Sahiner & Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks", ICML 2022,
    arXiv 2202.01331: baselines of the experiments, and C-ReLU with the patterns of an SGD run.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> run = cr.train_network(X, y, n_neurons=8, lam=0.01, n_epochs=200, seed=0, track_patterns=True)
    >>> run.network.n_neurons, len(run.history)
    (8, 201)
    >>> best = cr.solve_global(X, y, lam=0.01)
    >>> best.lower <= run.objective  # the bound holds for every network, however it was trained
    True
    >>> cr.solve(cr.ConvexReLU(X, y, run.patterns, lam=0.01)).objective <= run.objective
    True
    """
    data = check_matrix("X", X).astype(np.float64)
    targets = check_targets(y, len(data)).astype(np.float64)
    loss = get_loss(loss)
    loss.check_targets(targets)
    require_range(loss, targets)
    G, m = _check_neurons(gates, n_neurons, data.shape[1])
    lam = check_number("lam", lam, minimum=0.0)
    method = _OPTIMIZERS[check_choice("optimizer", optimizer, _OPTIMIZERS)]
    learning_rate = check_number("learning_rate", learning_rate, minimum=0.0, strict=True)
    batch = _check_batch_size(batch_size, len(data), loss)
    n_epochs = check_integer("n_epochs", n_epochs, minimum=0)
    decay = check_number("decay", decay, minimum=0.0, maximum=1.0, strict=True)
    period = max(n_epochs, 1) if decay_every is None else check_integer("decay_every", decay_every, minimum=1)
    seed = check_integer("seed", seed, minimum=0)
    check_number("seed", seed, minimum=0.0, maximum=2.0**63)  # PyTorch's range
    if not isinstance(track_patterns, bool):
        raise TypeError(f"track_patterns must be True or False; got {track_patterns!r}")

    torch = _import_torch()
    rng = torch.Generator().manual_seed(seed)
    W1, w2 = _start(torch, rng, data.shape[1], m, targets.shape[1])
    inputs = torch.from_numpy(data)
    active = None if G is None else torch.from_numpy(data @ G >= 0.0)
    objective_of = _Objective(torch, loss, lam, inputs, torch.from_numpy(targets), active)
    steps = getattr(torch.optim, method)([W1, w2], lr=learning_rate)
    visited = _Visited(len(data)) if track_patterns and G is None else None

    weights = W1.detach().numpy(), w2.detach().numpy()  # views, as steps are in place
    best, history = [array.copy() for array in weights], [objective_of.value(W1, w2)]

    def visit() -> None:
        if visited is not None:
            # PyTorch's product, as alternating between its threads and NumPy's would slow both down.
            visited.add((inputs @ W1.detach().T).numpy(), weights[0])

    visit()
    lowest = history[0]
    rates = (learning_rate * decay ** (epoch // period) for epoch in range(n_epochs))
    for objective in _epochs(objective_of, W1, w2, steps, rates, lambda: _batches(torch, rng, len(data), batch), visit):
        history.append(objective)
        if not np.isfinite(objective):
            warnings.warn(
                f"train_network diverged: the objective is {objective} after epoch {len(history) - 1} of {n_epochs}; "
                f"the best network so far is returned (try a learning_rate below {learning_rate:g})",
                ConvergenceWarning,
                stacklevel=2,
            )
            break
        if objective < lowest:
            lowest, best = objective, [array.copy() for array in weights]

    if visited is not None:
        visited.add(data @ best[0].T, best[0])  # NumPy's product may round to other signs at zero
    if np.ndim(y) == 1:
        best[1] = best[1][:, 0]
    network = ReLUNetwork(*best) if G is None else GatedReLUNetwork(G, *best)
    patterns = None if visited is None else visited.patterns()
    return TrainingRun(network, network.objective(data, targets, lam, loss), read_only(np.array(history)), patterns)


def _start(torch: Any, rng: Any, d: int, m: int, c: int) -> tuple[Any, Any]:
    """Return initial W1 (m, d) and w2 (m, c), as tensors with gradients."""
    W1, w2 = (
        (torch.randn(shape, generator=rng, dtype=torch.float64) / scale**0.5).requires_grad_()
        for shape, scale in (((m, d), d), ((m, c), m))
    )
    return W1, w2


def _epochs(
    objective: "_Objective",
    W1: Any,
    w2: Any,
    steps: Any,
    rates: Iterable[float],
    batches: Callable[[], Iterator[Any]],
    visit: Callable[[], None],
) -> Iterator[float]:
    """Run one epoch for each step size; call ``visit`` after each step, and yield the objective after each epoch."""
    for rate in rates:
        steps.param_groups[0]["lr"] = rate
        for rows in batches():
            steps.zero_grad()
            objective.differentiate(W1, w2, rows)
            steps.step()
            visit()
        yield objective.value(W1, w2)


class _Visited:
    """The distinct non-zero patterns of the weights seen so far, packed to bits, with the first gate of each."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.gates: dict[bytes, FloatArray] = {}

    def add(self, products: FloatArray, W1: FloatArray) -> None:
        """Add the patterns of the rows of W1 (m, d), given X W1' (n, m); columns that overflow are left out."""
        packed = np.packbits(products >= 0.0, axis=0).T
        for i in np.flatnonzero(np.isfinite(products).all(axis=0) & packed.any(axis=1)).tolist():
            key = packed[i].tobytes()
            if key not in self.gates:
                self.gates[key] = W1[i].copy()

    def patterns(self) -> ActivationPatterns | None:
        """Return all patterns in the order of their first visit; None if there are none."""
        if not self.gates:
            return None
        bits = np.frombuffer(b"".join(self.gates), dtype=np.uint8).reshape(len(self.gates), -1)
        return ActivationPatterns(PackedMask(bits, self.n), np.array(list(self.gates.values())).T)


class _Objective:
    """F + lam/2 (||W1||_F^2 + ||w2||_F^2) of tensors: the loss computes F and its gradient, PyTorch the rest."""

    def __init__(self, torch: Any, loss: Loss, lam: float, X: Any, Y: Any, active: Any) -> None:
        self.torch, self.loss, self.lam = torch, loss, lam
        self.X, self.Y, self.active = X, Y, active

    def value(self, W1: Any, w2: Any) -> float:
        """Return the objective over all rows."""
        with self.torch.no_grad(), np.errstate(all="ignore"):
            f, decay = self._parts(W1, w2, slice(None))
            return self.loss.value(f.numpy(), self.Y.numpy()) + float(decay)

    def differentiate(self, W1: Any, w2: Any, rows: Any) -> None:
        """Add the gradient, with F taken over the rows, to the gradients of the tensors."""
        f, decay = self._parts(W1, w2, rows)
        with np.errstate(all="ignore"):
            gradient = self.loss.gradient(f.detach().numpy(), self.Y[rows].numpy())
        self.torch.autograd.backward((f, decay), (self.torch.from_numpy(gradient), None))

    def _parts(self, W1: Any, w2: Any, rows: Any) -> tuple[Any, Any]:
        """Return the predictions for the rows, and the weight decay."""
        products = self.X[rows] @ W1.T
        hidden = products.relu() if self.active is None else products * self.active[rows]
        return hidden @ w2, 0.5 * self.lam * (W1.square().sum() + w2.square().sum())


def _batches(torch: Any, rng: Any, n: int, size: int | None) -> Iterator[Any]:
    """Yield the rows of each step of an epoch."""
    if size is None:
        yield slice(None)
    else:
        yield from torch.randperm(n, generator=rng).split(size)


def _check_neurons(gates: ArrayLike | None, n_neurons: int | None, d: int) -> tuple[FloatArray | None, int]:
    if gates is None:
        return None, check_integer("n_neurons", n_neurons, minimum=1)
    G = check_matrix("gates", gates, "(d, m)").astype(np.float64)
    if G.shape[0] != d:
        raise ValueError(f"gates must have one row for each of the {d} features of X; got shape {G.shape}")
    if n_neurons is not None and check_integer("n_neurons", n_neurons, minimum=1) != G.shape[1]:
        raise ValueError(f"n_neurons must be None or the number of gates, {G.shape[1]}; got {n_neurons}")
    return G, G.shape[1]


def _check_batch_size(batch_size: int | None, n: int, loss: Loss) -> int | None:
    if batch_size is not None and check_integer("batch_size", batch_size, minimum=1) > n:
        raise ValueError(f"batch_size must be None or at most the {n} rows of X; got {batch_size}")
    if batch_size is not None and isinstance(loss, Weighted):
        raise ValueError(f"batch_size must be None for a loss with a weight for each row; got {batch_size}")
    return batch_size


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "train_network trains non-convex networks in PyTorch, which cannot be imported; "
            "install it with pip install 'cvxrelu[torch]'"
        ) from error
    return torch
