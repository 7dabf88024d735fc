"""Sampling of random gates: dense, feature-sparse and convolutional (arXiv 2202.01331)."""

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

    Samples ``n_gates`` gates. Duplicate and all-zero patterns are dropped, so there may be fewer patterns. The same
    seed gives the same patterns.

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
        Seed or generator.
    bias : bool
        Whether the last column of X is constant, for a bias. Gates are then sampled for the other features, with bias 0
        or the bias that gives ``active_proportion``.
    active_proportion : float in (0, 1), optional
        Fraction of the rows of X on which each gate is active, rounded to k / n with 0 < k < n; ties between rows
        change it. Needs ``bias=True`` and at least two rows. The bias puts the threshold half-way between the products
        of two rows.
    order : int, optional
        For "sparse": largest number of features in each subset, 1 by default. If there are at most ``n_gates`` subsets,
        gates cycle through them; otherwise each gate has a distinct subset, drawn uniformly.
    image_shape : (height, width) or (channels, height, width), optional
        For "convolutional": shape of the image that each row of X (without the bias column) holds in C order. By
        default a square image of one channel.
    kernel_size : int or (height, width), optional
        For "convolutional": size of the patches, 3 by default.

    Returns
    -------
    ActivationPatterns
        P <= n_gates patterns with their gates (d, P).

    Raises
    ------
    ValueError
        If X is empty, not 2-D or not finite, an argument is out of range, does not match X or does not apply to
        ``kind``, or every sampled gate is inactive on all rows.
    TypeError
        If X does not hold real numbers or an argument has a wrong type.

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
    fraction = _check_proportion(active_proportion, bias, len(data))

    d = features.shape[1]
    G = sample_gates(d, n_gates, kind, rng, order=order, image_shape=image_shape, kernel_size=kernel_size)
    if bias:
        biases = np.zeros(n_gates) if fraction is None else -_thresholds(features, G, fraction) / float(data[0, -1])
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
    """Return random gates (d, n_gates) without a bias; arguments and errors as for `sample_patterns`."""
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
        raise ValueError(f"with bias=True X must have a feature beside the constant column; got shape {X.shape}")
    constant = X[0, -1]
    if constant == 0.0 or (X[:, -1] != constant).any():
        low, high = X[:, -1].min(), X[:, -1].max()
        raise ValueError(
            f"with bias=True the last column of X must be constant and non-zero; got entries from {low:g} to {high:g}"
        )
    return X[:, :-1]


def _check_proportion(active_proportion: float | None, bias: bool, n: int) -> float | None:
    if active_proportion is None:
        return None
    if not bias:
        raise ValueError(f"active_proportion needs bias=True; got active_proportion={active_proportion!r}")
    fraction = check_number("active_proportion", active_proportion, minimum=0.0, maximum=1.0, strict=True)
    if fraction == 1.0:
        raise ValueError("active_proportion must be a number > 0 and < 1; got 1.0")
    if n < 2:
        raise ValueError("active_proportion needs at least two rows of X; got one")
    return fraction


def _thresholds(X: FloatArray, G: FloatArray, fraction: float) -> FloatArray:
    """Return the value exceeded by the given fraction of the products X g, for each gate (P,).

    It is half-way between two products, so that rounding does not decide whether a row is active.
    """
    n = X.shape[0]
    active = min(max(round(fraction * n), 1), n - 1)
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
        # Rejection of repeats: never holds more than n_gates subsets.
        distinct: dict[tuple[int, ...], None] = {}
        probabilities = [count / total for count in counts]
        while len(distinct) < n_gates:
            size = int(rng.choice(sizes, p=probabilities))
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
