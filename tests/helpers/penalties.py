"""Every penalty, with random weights and subgradients."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from cvxrelu.penalties import registry
from cvxrelu.penalties.base import NormPenalty
from cvxrelu.penalties.registry import get_penalty

PENALTIES = [get_penalty(name) for name in registry.PENALTIES]
NORMS = [penalty for penalty in PENALTIES if isinstance(penalty, NormPenalty)]
SEEDS = st.integers(0, 2**32 - 1)
STEPS = st.sampled_from([0.0, 0.05, 0.7, 3.0, 100.0])
each_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
each_norm = pytest.mark.parametrize("penalty", NORMS, ids=lambda penalty: penalty.name)
properties = settings(max_examples=40, deadline=None, derandomize=True)


def weights(rng, shape, sparse=True):
    """Return weights; sparse ones have zero blocks, patterns, features or entries, or rank-one patterns."""
    if not sparse:
        return rng.standard_normal(shape)
    ones = (1,) * (len(shape) - 2)
    if rng.random() < 0.3:
        return rng.standard_normal((*shape[:-2], 1, 1)) * rng.standard_normal(shape[-2:])
    masks = [(*shape[:-1], 1), (*ones, shape[-2], 1), (*ones, 1, shape[-1]), shape]
    return rng.standard_normal(shape) * (rng.random(masks[rng.integers(len(masks))]) < 0.7)


def draw(penalty, seed):
    """Return a generator and the shape (c, P, d) or, where allowed, (2, c, P, d)."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.integers(1, 5, 3))
    return rng, shape if penalty.name == "nuclear" or rng.random() < 0.5 else (2, *shape)


def matrix_rows(U):
    """Return the rows (m, d) that represent U (c, P, d) in CVXPY."""
    return U.reshape(-1, U.shape[-1])


def subgradient(penalty, rng, U):
    """Return a point of dOmega(U), without using the penalty."""
    noise = rng.uniform(-1, 1, U.shape)
    if penalty.name == "squared_l2":
        return U
    if penalty.name == "none":
        return 0 * U
    if penalty.name == "nuclear":
        S = np.empty_like(U)
        for i in range(U.shape[1]):
            left, s, right = np.linalg.svd(U[:, i])
            rank = np.count_nonzero(s > 1e-10)
            inner = noise[rank:, i, rank:]
            inner = inner / np.linalg.norm(inner, 2) if inner.size else inner
            S[:, i] = left[:, :rank] @ right[:rank] + left[:, rank:] @ inner @ right[rank:]
        return S
    axes = {"group_l1": -1, "feature_group_l1": tuple(range(U.ndim - 1)), "l1": ()}[penalty.name]
    norms, reach = (np.sqrt(np.sum(array**2, axis=axes, keepdims=True)) for array in (U, noise))
    return np.where(norms > 0, U / np.where(norms > 0, norms, 1), noise / np.maximum(reach, 1))
