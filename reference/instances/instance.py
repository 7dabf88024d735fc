"""Instances: problems defined by data, gates, loss and lam, and reproducible bit for bit on any machine."""

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

import cvxrelu as cr
from reference.datasets.prepare import prepare
from reference.datasets.real import is_regression, load_table
from reference.datasets.synthetic import CLASSES, SYNTHETIC

Array = NDArray[np.float64]
Size = Literal["small", "medium", "large"]
Kind = Literal["gated", "relu"]
Problem = cr.ConvexGatedReLU | cr.ConvexReLU
_DATA_BITS, _GATE_BITS = 22, 12


class Posed(Protocol):
    """Interface of an instance for the comparison."""

    @property
    def name(self) -> str:
        """Name of the instance."""

    @property
    def version(self) -> int:
        """Version, increased when the problem behind the name changes."""

    @property
    def size(self) -> Size:
        """Size class."""

    @property
    def kind(self) -> Kind:
        """C-GReLU or C-ReLU."""

    def problem(self) -> Problem:
        """Build the problem."""


@dataclass(frozen=True)
class Instance:
    """A convex program of the comparison.

    X is the data set, prepared by `reference.datasets.prepare.prepare` (real data) or as it is (synthetic), and the
    gates are Gaussian. For reproducibility on all machines and libraries, every column of X and the targets are rounded
    to multiples of 2^-22 of the power of two above their largest entry, and the gates to multiples of 2^-12: products
    x_j'g_i are then exact in float64 in any order of summation, unless scales of columns differ by more than 2^10 / d.

    Attributes
    ----------
    data : str
        A name that `reference.datasets.real.load_table` knows, or one of `reference.datasets.synthetic.SYNTHETIC`.
    kind : {"gated", "relu"}
        C-GReLU or C-ReLU.
    n_gates : int
        Number of sampled gates; repeated and empty patterns are dropped.
    strength : float
        Ratio of lam to ``problem.lam_max()``, with lam rounded to six digits; lam itself if ``absolute``.
    size : {"small", "medium", "large"}
        "small": interior-point solvers take seconds; "medium": ours takes seconds; "large": minutes or more.
    loss : str
        Name of the loss. Labels are -1 and +1, with an output for each class if there are more than two; the softmax
        loss has one-hot targets.
    penalty : str
        Name of the penalty.
    gates : {"dense", "sparse", "convolutional"}
        Kind of the gates.
    rows : int, optional
        Keep this many rows, the first of ``default_rng(0).permutation(n)``.
    seed : int
        Seed of the gates.
    absolute : bool
        Whether ``strength`` is lam itself.
    raw : bool
        Whether real data are only divided by their largest entry and get a column of ones, as needed for images with
        convolutional gates.
    version : int
        Increased when the problem behind the name changes.
    """

    data: str
    kind: Kind
    n_gates: int
    strength: float
    size: Size
    loss: str = "squared"
    penalty: str = "group_l1"
    gates: str = "dense"
    rows: int | None = None
    seed: int = 0
    absolute: bool = False
    raw: bool = False
    version: int = 1

    @property
    def name(self) -> str:
        """Name on the command line, in files and tables."""
        data = self.data if self.rows is None else f"{self.data}-{self.rows}"
        parts = [data, self.kind, self.loss, f"P{self.n_gates}", f"{self.strength:g}"]
        parts += [part for part, usual in ((self.penalty, "group_l1"), (self.gates, "dense")) if part != usual]
        parts += [f"seed{self.seed}"] if self.seed else []
        return "/".join(parts)

    def problem(self) -> Problem:
        """Build the problem; raise the errors of `reference.datasets.real.load_table`."""
        X, y = self._data()
        bias = self.gates == "convolutional"
        gates = cr.sample_patterns(X, self.n_gates, self.gates, self.seed, bias=bias).G
        patterns = cr.ActivationPatterns.from_gates(
            X, np.round(np.ldexp(np.asarray(gates), _GATE_BITS)) / 2**_GATE_BITS
        )
        cls = cr.ConvexReLU if self.kind == "relu" else cr.ConvexGatedReLU
        problem = cls(X, y, patterns, lam=self.strength, loss=self.loss, penalty=self.penalty)
        if self.absolute:
            return problem
        return problem.with_lam(float(f"{self.strength * problem.lam_max():.5e}"))

    def _data(self) -> tuple[Array, Array]:
        """Return X (n, d) and targets (n,) or (n, c), rounded to their grids."""
        X: Array
        targets: Array | NDArray[np.intp]
        if self.data in SYNTHETIC:
            X, targets = SYNTHETIC[self.data]()
            classes = np.unique(targets, return_inverse=True)[1] if self.data in CLASSES else None
        else:
            X, targets = load_table(self.data)
            classes = None if is_regression(self.data) else np.asarray(targets, dtype=np.intp)
        if self.rows is not None:
            kept = np.random.default_rng(0).permutation(len(X))[: self.rows]
            X, targets, classes = X[kept], targets[kept], None if classes is None else classes[kept]
        if self.raw:
            X = np.column_stack([X / np.abs(X).max(), np.ones(len(X))])
        elif self.data not in SYNTHETIC:
            X = prepare(X)
        if classes is not None:
            return on_grid(X), self._classes(classes)
        y = np.asarray(targets, dtype=np.float64)
        return on_grid(X), on_grid(y if self.data in SYNTHETIC else (y - y.mean(axis=0)) / y.std(axis=0))

    def _classes(self, classes: NDArray[np.intp]) -> Array:
        hot: Array = np.eye(classes.max() + 1)[classes]
        if self.loss == "softmax":
            return hot
        signs = 2.0 * hot - 1.0
        return signs[:, 1] if signs.shape[1] == 2 else signs


def on_grid(values: Array) -> Array:
    """Return each column rounded to multiples of 2^-22 of the power of two above its largest entry."""
    _, exponents = np.frexp(np.abs(values).max(axis=0))
    rounded: Array = np.ldexp(np.round(np.ldexp(values, _DATA_BITS - exponents)), exponents - _DATA_BITS)
    return rounded


def gates_on_grid(X: Array, patterns: cr.ActivationPatterns) -> cr.ActivationPatterns:
    """Return the patterns of the gates after rounding these to multiples of 2^-12."""
    G = np.asarray(patterns.G)
    return cr.ActivationPatterns.from_gates(X, np.round(G * 2.0**_GATE_BITS) / 2.0**_GATE_BITS)


def fingerprint(problem: Problem) -> str:
    """Return the SHA-256 of X, y and D: float64 in little-endian order row by row, and the bits of D, packed."""
    digest = hashlib.sha256()
    for array in (problem.X, problem.y):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    digest.update(np.packbits(np.asarray(problem.patterns.D, dtype=np.bool_)).tobytes())
    return digest.hexdigest()
