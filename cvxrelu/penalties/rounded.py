"""Penalties and their dual norms, rounded up."""

from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import above, norms_above, singular_values_above
from cvxrelu.penalties.base import Penalty
from cvxrelu.penalties.group_norms import L1, FeatureGroupL1, GroupL1
from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.quadratic import NoPenalty, SquaredL2

PENALTIES = (GroupL1, FeatureGroupL1, L1, SquaredL2, Nuclear, NoPenalty)  # what is known here


def penalty_above(penalty: Penalty, blocks: FloatArray) -> float:
    """Return an upper bound of Omega."""
    if isinstance(penalty, NoPenalty):
        return 0.0
    if isinstance(penalty, Nuclear):
        sizes = singular_values_above(blocks.transpose(1, 0, 2))[1]
    elif isinstance(penalty, SquaredL2):
        sizes = above(0.5 * (blocks * blocks), 2)
    else:
        sizes = norms_above(_groups(penalty, blocks))
    sizes = sizes[sizes != 0.0]
    return float(above(np.sum(sizes), sizes.size))


def _groups(penalty: Penalty, blocks: FloatArray) -> FloatArray:
    """Return the groups of the penalty as rows."""
    flat = blocks.reshape(-1, blocks.shape[-1])
    if isinstance(penalty, FeatureGroupL1):
        return flat.T
    return flat.reshape(-1, 1) if isinstance(penalty, L1) else flat


def dual_norm_above(penalty: Penalty, argument: FloatArray, radius: FloatArray) -> float:
    """Return an upper bound of the dual norm of anything within ``radius`` of the argument."""
    if isinstance(penalty, Nuclear):
        largest, _ = singular_values_above(argument.transpose(1, 0, 2))
        errors = norms_above(radius.transpose(1, 0, 2).reshape(len(largest), -1))
        sizes: Any = above(largest + errors, 1)
    else:
        sizes = norms_above(_groups(penalty, above(np.abs(argument) + radius, 1)))
    return float(np.max(sizes))
