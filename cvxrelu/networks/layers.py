"""Layers of a network with biases, as in other libraries.

In this package's networks a bias is the weight of a column of ones, the last of X.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cvxrelu._validation import FloatArray


def as_columns(w2: FloatArray) -> FloatArray:
    """Return a second layer (m,) or (m, c) as (m, c)."""
    return w2[:, None] if w2.ndim == 1 else w2


def one_axis(w2: FloatArray) -> FloatArray:
    """Return a second layer (m, c) as (m,) if it has one output."""
    return w2[:, 0] if w2.shape[1] == 1 else w2


@dataclass(frozen=True, eq=False)
class Layers:
    """Arrays of a two-layer network with biases: h(x) = (W1 x + b1)_+ w2 + b2.

    Attributes
    ----------
    W1, b1 : arrays of shape (m, d) and (m,)
        Hidden layer; None for an absent bias.
    w2, b2 : arrays of shape (m,) or (m, c), and (c,)
        Output layer.
    G, g0 : arrays of shape (d, m) and (m,), optional
        Gates: a neuron is W1_i x + b1_i if x'g_i + g0_i >= 0, else 0.
    """

    W1: Any
    b1: Any
    w2: Any
    b2: Any = None
    G: Any = None
    g0: Any = None

    @property
    def biased(self) -> bool:
        """Whether any bias is present, even if zero."""
        return any(bias is not None for bias in (self.b1, self.b2, self.g0))
