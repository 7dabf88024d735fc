"""Train the non-convex network of a problem by SGD or Adam in PyTorch, with the settings of arXiv 2202.01331.

This script runs in the peers environment; see `reference.peers` for the problem, `reference.peers.job` for the files.

    gated   a neuron for each gate and output: D_i X w1 w2, with weight decay lam; returns U, the products w1 w2
    relu    100 ReLU neurons, each of which feeds all outputs; returns W1 and w2, with ||W1_i|| = ||w2_i||

Mini-batches have a tenth of the rows, the step size is halved every 100 epochs, and a run has 2,000 epochs. The paper
takes the best of seven step sizes. Here the runs of all step sizes take turns of a few epochs, and the worse half is
abandoned after each quarter of --time-limit, which limits their sum. `tol` is a relative accuracy with respect to the
lower bound in PROBLEM.npz: training stops when the best network so far attains it, which no user could know. At a
further, smaller tolerance training continues from there, and the time counts from the start.

The time is that of the epochs of all runs, including the evaluations of the objective between turns.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reference.peers.job import Clock, Problem, Solve, load, parse, parser, run

if TYPE_CHECKING:
    from reference.peers.job import Array

STEPS = (10.0, 5.0, 1.0, 0.5, 0.1, 0.01, 0.001)
_WIDTH = 100
_EPOCHS, _HALVED_EVERY, _BATCHES = 2000, 100, 10
_TURN = 5  # epochs between evaluations of the objective


class Training:
    """Runs of all step sizes; each `solve` continues where the last one stopped."""

    def __init__(self, problem: Problem, options: argparse.Namespace) -> None:
        import torch

        network = Network(problem, options)
        optimizer = getattr(torch.optim, options.optimizer)
        self._alive = [Run(network, optimizer, step) for step in STEPS]
        self._best = self._alive[0]
        self._spent = 0.0
        self._halvings = [quarter / 4 * options.time_limit for quarter in (1, 2, 3)]

    def solve(self, problem: Problem, options: argparse.Namespace, clock: Clock) -> Solve:
        """Train until the accuracy is reached, the time is up or all epochs are done."""
        with clock:
            while not (reached := self._accuracy(problem) <= options.tol):
                spent = self._spent + clock.so_far()
                if spent >= options.time_limit or not self._train_next(spent):
                    break
        self._spent += clock.seconds
        W1, w2 = self._best.weights
        details = {"converged": reached, "step": self._best.step}
        if problem.kind == "relu":
            return Solve([], self._spent, self._best.epoch, details, network=balanced(W1, w2))
        return Solve([W1 * w2[..., None]], self._spent, self._best.epoch, details)

    def _accuracy(self, problem: Problem) -> float:
        return (self._best.lowest - problem.lower) / abs(self._best.lowest)

    def _train_next(self, spent: float) -> bool:
        """Train the run whose turn it is; return False if none is left."""
        while self._halvings and spent >= self._halvings[0]:
            self._halvings.pop(0)
            self._alive = sorted(self._alive, key=lambda each: each.lowest)[: max(1, len(self._alive) // 2)]
        self._alive = [each for each in self._alive if each.epoch < _EPOCHS]
        if not self._alive:
            return False
        run = min(self._alive, key=lambda each: each.epoch)
        run.train()
        self._best = min(self._best, run, key=lambda each: each.lowest)
        return True


class Run:
    """Run with one step size; all runs have the same initial weights."""

    def __init__(self, network: Network, optimizer: Any, step: float) -> None:
        import torch

        self.step, self.epoch = step, 0
        self._network = network
        self._rng = torch.Generator().manual_seed(0)
        self._layers = network.initial_layers(self._rng)
        self._optimizer = optimizer(self._layers, lr=step)
        self.weights = self._copy()
        self.lowest = network.objective(*self._layers)

    def train(self) -> None:
        """Train for some epochs and keep the weights if they are the best; end a run that diverged."""
        import torch

        n = self._network.n
        for _ in range(min(_TURN, _EPOCHS - self.epoch)):
            self._optimizer.param_groups[0]["lr"] = self.step * 0.5 ** (self.epoch // _HALVED_EVERY)
            for rows in torch.randperm(n, generator=self._rng).split(-(-n // _BATCHES)):
                self._optimizer.zero_grad()
                self._network.penalised(*self._layers, rows).backward()
                self._optimizer.step()
            self.epoch += 1
        value = self._network.objective(*self._layers)
        if not math.isfinite(value):
            self.epoch = _EPOCHS
        elif value < self.lowest:
            self.lowest, self.weights = value, self._copy()

    def _copy(self) -> tuple[Array, Array]:
        import numpy as np

        first, second = (layer.detach().numpy().astype(np.float64) for layer in self._layers)
        return first, second


class Network:
    """Network to train: layers W1 (c, P, d) and w2 (c, P) if gated, (m, d) and (m, c) if ReLU."""

    def __init__(self, problem: Problem, options: argparse.Namespace) -> None:
        import torch

        self._dtype = getattr(torch, options.dtype)
        self.n, self._d = problem.X.shape
        self._X = torch.from_numpy(problem.X).to(self._dtype)
        self._y = torch.from_numpy(problem.y.reshape(self.n, -1)).to(self._dtype)
        self._D = torch.from_numpy(problem.patterns()).to(self._dtype)
        self._lam, self._loss, self._gated = problem.lam, problem.loss, problem.kind == "gated"

    def initial_layers(self, rng: Any) -> tuple[Any, Any]:
        """Return Gaussian layers with standard deviations 1/sqrt(d) and 1/sqrt(number of neurons)."""
        import torch

        c, P = self._y.shape[1], self._D.shape[1]
        shapes = ((c, P, self._d), (c, P)) if self._gated else ((_WIDTH, self._d), (_WIDTH, c))
        first, second = (
            (torch.randn(shape, generator=rng, dtype=self._dtype) / scale**0.5).requires_grad_()
            for shape, scale in zip(shapes, (self._d, P if self._gated else _WIDTH), strict=True)
        )
        return first, second

    def penalised(self, W1: Any, w2: Any, rows: Any) -> Any:
        """Return the loss over the given rows plus lam/2 (||W1||^2 + ||w2||^2)."""
        return self._value(W1, w2, rows) + 0.5 * self._lam * (W1.square().sum() + w2.square().sum())

    def objective(self, W1: Any, w2: Any) -> float:
        """Return the objective of the balanced network, which has the same predictions."""
        import torch

        with torch.no_grad():
            sizes = w2.abs() if self._gated else w2.norm(dim=-1)
            return float(self._value(W1, w2, slice(None)) + self._lam * (W1.norm(dim=-1) * sizes).sum())

    def _value(self, W1: Any, w2: Any, rows: Any) -> Any:
        X, y = self._X[rows], self._y[rows]
        if self._gated:
            neurons = (X @ W1.reshape(-1, self._d).T).reshape(len(X), *w2.shape)
            f = (neurons * self._D[rows][:, None] * w2).sum(dim=-1)
        else:
            f = (X @ W1.T).relu() @ w2
        return loss(self._loss, f, y) / len(X)


def loss(name: str, f: Any, y: Any) -> Any:
    """Return the loss of predictions f (n, c), summed over rows and outputs."""
    import torch

    functional = torch.nn.functional

    if name == "squared":
        return 0.5 * (f - y).square().sum()
    if name == "huber":
        return functional.huber_loss(f, y, reduction="sum")
    if name == "logistic":
        return functional.softplus(-y * f).sum()
    if name == "softmax":
        return functional.cross_entropy(f, y, reduction="sum")
    raise SystemExit(f"there is no loss {name!r}")


def balanced(W1: Array, w2: Array) -> tuple[Array, Array]:
    """Return layers W1 (m, d), w2 (m, c) with ||W1_i|| = ||w2_i|| for each neuron and the same predictions."""
    import numpy as np

    sizes = np.linalg.norm(W1, axis=1), np.linalg.norm(w2, axis=1)
    used = (sizes[0] > 0) & (sizes[1] > 0)
    ratio = np.sqrt(sizes[1][used] / sizes[0][used])[:, None]
    return W1[used] * ratio, w2[used] / ratio


def main() -> None:
    """Parse the command line, train once and write an answer for each accuracy."""
    arguments = parser("Train the network of one problem.", ("gated", "relu"), max_iters=0)
    arguments.add_argument("--optimizer", choices=("SGD", "Adam"), required=True)
    options = parse(arguments)

    import torch

    torch.set_num_threads(options.threads)
    problem = load(options.problem)
    run(options, problem, Training(problem, options).solve, ("torch", "numpy"))


if __name__ == "__main__":
    main()
