"""Random gates: dense, feature-sparse and convolutional (arXiv 2202.01331)."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cvxrelu._validation import (
    BoolArray,
    FloatArray,
    check_choice,
    check_flag,
    check_integer,
    check_matrix,
    check_number,
)
from cvxrelu.patterns.activation_patterns import ActivationPatterns

_BLOCK_BYTES = 2**25
_OPTIONS = {"dense": (), "sparse": ("order",), "convolutional": ("image_shape", "kernel_size")}


def sample_patterns(
    X: ArrayLike,
    n_gates: int,
    kind: str = "dense",
    seed: int | np.random.Generator = 0,
    *,
    bias: bool = False,
    active_proportion: float | None = None,
    order: int | None = None,
    image_shape: Sequence[int] | None = None,
    kernel_size: int | Sequence[int] | None = None,
) -> ActivationPatterns:
    """Return the distinct activation patterns of random gates.

    ``n_gates`` is the number of gates sampled; fewer patterns remain where gates share a pattern or have
    the all-zero pattern, which is dropped. The same seed gives the same patterns.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data.
    n_gates : int
        Number of gates to sample.
    kind : {"dense", "sparse", "convolutional"}
        "dense": ``rng.standard_normal((d, n_gates))``. "sparse": Gaussians on subsets of the features.
        "convolutional": Gaussians on random patches of images, over all channels.
    seed : int or numpy.random.Generator
        Source of randomness.
    bias : bool
        Whether the last column of X is the constant of a bias. Gates are then sampled for the other
        features and get the bias 0, or the one that ``active_proportion`` asks for.
    active_proportion : float in (0, 1), optional
        Share of the rows of X, to the nearest k / n with 0 < k < n, on which each gate is active; equal
        products of several rows change it. Needs ``bias=True`` and two rows. The bias makes the gate change
        sign half-way between the products of two rows.
    order : int, optional
        Of "sparse" only: each subset has at most this many features, 1 by default. With no more subsets than
        gates, gate i has subset i modulo their number, so each has the same number of gates or one less.
        With more subsets than gates, each gate has its own, drawn uniformly at random.
    image_shape : (height, width) or (channels, height, width), optional
        Of "convolutional" only: each row of X, without the bias column, is an image of this shape,
        flattened in C order. By default a square image of one channel.
    kernel_size : int or (height, width), optional
        Of "convolutional" only: size of the patches, 3 by default.

    Returns
    -------
    ActivationPatterns
        P <= n_gates patterns with their gates (d, P).

    Raises
    ------
    ValueError
        If X is empty, not 2-D or not finite, an argument is out of its range, does not fit X or does not
        belong to ``kind``, or every sampled gate is inactive on all rows.
    TypeError
        If X does not hold real numbers or an argument has another type.

    References
    ----------
    Mishkin, Sahiner & Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks", ICML 2022,
    arXiv 2202.01331.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.random.default_rng(0).standard_normal((100, 16))
    >>> cr.sample_patterns(X, n_gates=50, seed=0)
    ActivationPatterns(50 patterns of 100 rows, gates in 16 features)
    >>> sparse = cr.sample_patterns(X, n_gates=50, kind="sparse", order=2)  # each gate on two features
    >>> np.count_nonzero(sparse.G, axis=0).max().item()
    2
    >>> images = cr.sample_patterns(X, n_gates=50, kind="convolutional", kernel_size=2)  # the rows are 4 x 4 images
    >>> np.count_nonzero(images.G, axis=0).max().item()
    4
    """
    data = check_matrix("X", X)
    n_gates = check_integer("n_gates", n_gates, minimum=1)
    rng = _generator(seed)
    features = _without_bias(data) if check_flag("bias", bias) else data
    share = _check_share(active_proportion, bias, len(data))

    d = features.shape[1]
    G = sample_gates(d, n_gates, kind, rng, order=order, image_shape=image_shape, kernel_size=kernel_size)
    if bias:
        biases = np.zeros(n_gates) if share is None else -_thresholds(features, G, share) / float(data[0, -1])
        G = np.vstack([G, biases])
    return ActivationPatterns.from_gates(data, G)


def sample_gates(
    d: int,
    n_gates: int,
    kind: str,
    rng: np.random.Generator,
    *,
    order: int | None = None,
    image_shape: Sequence[int] | None = None,
    kernel_size: int | Sequence[int] | None = None,
) -> FloatArray:
    """Return random gates (d, n_gates) without a bias; arguments and errors are those of `sample_patterns`."""
    kind = check_choice("kind", kind, _OPTIONS)
    for name, value in (("order", order), ("image_shape", image_shape), ("kernel_size", kernel_size)):
        if value is not None and name not in _OPTIONS[kind]:
            accepting = next(other for other, names in _OPTIONS.items() if name in names)
            raise ValueError(f"{name} is an option of kind={accepting!r} only; got {name}={value!r} for kind={kind!r}")
    if kind == "sparse":
        support = _sparse_support(rng, d, n_gates, 1 if order is None else order)
    elif kind == "convolutional":
        support = _patch_support(rng, d, n_gates, image_shape, 3 if kernel_size is None else kernel_size)
    else:
        return rng.standard_normal((d, n_gates))
    return np.where(support, rng.standard_normal((d, n_gates)), 0.0)


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(check_integer("seed, if not a numpy.random.Generator,", seed, minimum=0))


def _without_bias(X: FloatArray) -> FloatArray:
    if X.shape[1] < 2:
        raise ValueError(f"X must have a feature beside the constant column of bias=True; got shape {X.shape}")
    constant = X[0, -1]
    if constant == 0.0 or (X[:, -1] != constant).any():
        low, high = X[:, -1].min(), X[:, -1].max()
        raise ValueError(
            f"with bias=True the last column of X must be constant and not zero; got entries from {low:g} to {high:g}"
        )
    return X[:, :-1]


def _check_share(active_proportion: float | None, bias: bool, n: int) -> float | None:
    if active_proportion is None:
        return None
    if not bias:
        raise ValueError(f"active_proportion needs bias=True; got active_proportion={active_proportion!r} without")
    share = check_number("active_proportion", active_proportion, minimum=0.0, maximum=1.0, strict=True)
    if share == 1.0:
        raise ValueError("active_proportion must be a number > 0 and < 1; got 1.0")
    if n < 2:
        raise ValueError("active_proportion needs an X of two rows or more; got one row")
    return share


def _thresholds(X: FloatArray, G: FloatArray, share: float) -> FloatArray:
    """Return the value that the share of the products X g exceeds, for each gate (P,).

    Half-way between two products and not on one, where rounding would decide whether that row is active.
    """
    n = X.shape[0]
    active = min(max(round(share * n), 1), n - 1)
    thresholds = np.empty(G.shape[1])
    step = max(1, _BLOCK_BYTES // (8 * n))
    for start in range(0, G.shape[1], step):
        columns = slice(start, start + step)
        ordered = np.partition(X @ G[:, columns], (n - active - 1, n - active), axis=0)
        thresholds[columns] = ordered[n - active - 1 : n - active + 1].mean(axis=0)
    return thresholds


def _sparse_support(rng: np.random.Generator, d: int, n_gates: int, order: Any) -> BoolArray:
    order = check_integer("order", order, minimum=1)
    if order > d:
        raise ValueError(f"order must be at most the number of features, {d}; got {order}")
    sizes = range(1, order + 1)
    counts = [math.comb(d, size) for size in sizes]
    total = sum(counts)
    subsets: list[tuple[int, ...]]
    if total <= n_gates:
        subsets = [subset for size in sizes for subset in combinations(range(d), size)]
    else:
        # Repeats are drawn again, so that no more than n_gates subsets are ever held.
        distinct: dict[tuple[int, ...], None] = {}
        odds = [count / total for count in counts]
        while len(distinct) < n_gates:
            size = int(rng.choice(sizes, p=odds))
            distinct[tuple(np.sort(rng.choice(d, size, replace=False)).tolist())] = None
        subsets = list(distinct)
    support = np.zeros((d, n_gates), dtype=np.bool_)
    for i in range(n_gates):
        support[list(subsets[i % len(subsets)]), i] = True
    return support


def _patch_support(rng: np.random.Generator, d: int, n_gates: int, image_shape: Any, kernel_size: Any) -> BoolArray:
    channels, height, width = _check_image_shape(image_shape, d)
    kernel = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    kernel_height, kernel_width = _check_sizes("kernel_size", kernel, (2,), "an integer or (height, width)")
    if kernel_height > height or kernel_width > width:
        raise ValueError(f"kernel_size must fit the image of {height} x {width}; got {kernel_height} x {kernel_width}")
    in_rows = _windows(rng, height, kernel_height, n_gates)
    in_columns = _windows(rng, width, kernel_width, n_gates)
    patch = in_rows[:, None, :] & in_columns[None, :, :]
    return np.tile(patch.reshape(height * width, n_gates), (channels, 1))


def _windows(rng: np.random.Generator, length: int, size: int, n_gates: int) -> BoolArray:
    offsets = np.arange(length)[:, None] - rng.integers(0, length - size, size=n_gates, endpoint=True)
    return (offsets >= 0) & (offsets < size)


def _check_image_shape(image_shape: Any, d: int) -> tuple[int, int, int]:
    if image_shape is None:
        side = math.isqrt(d)
        if side * side != d:
            raise ValueError(
                f"image_shape must be given, as (height, width) or (channels, height, width): "
                f"{d} features are not a square image of one channel"
            )
        return 1, side, side
    shape = _check_sizes("image_shape", image_shape, (2, 3), "(height, width) or (channels, height, width)")
    if math.prod(shape) != d:
        raise ValueError(
            f"image_shape must have as many entries as X has features (without a bias column), {d}; "
            f"got {shape} with {math.prod(shape)}"
        )
    channels, height, width = (1, *shape)[-3:]
    return channels, height, width


def _check_sizes(name: str, value: Any, lengths: tuple[int, ...], accepts: str) -> tuple[int, ...]:
    if np.ndim(value) != 1 or len(value) not in lengths:
        raise ValueError(f"{name} must be {accepts}; got {value!r}")
    return tuple(check_integer(f"each entry of {name}", entry, minimum=1) for entry in value)
