"""Registry of penalties by name."""

from __future__ import annotations

from typing import Final

from cvxrelu._validation import check_choice
from cvxrelu.penalties.base import Penalty
from cvxrelu.penalties.group_norms import L1, FeatureGroupL1, GroupL1
from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.quadratic import NoPenalty, SquaredL2

__all__ = ["PENALTIES", "get_penalty"]

PENALTIES: Final[dict[str, type[Penalty]]] = {
    penalty.name: penalty for penalty in (GroupL1, FeatureGroupL1, L1, SquaredL2, Nuclear, NoPenalty)
}


def get_penalty(penalty: str | Penalty) -> Penalty:
    """Return the penalty of that name, or the instance itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``penalty`` is neither a string nor an instance of `Penalty`.
    """
    if isinstance(penalty, Penalty):
        return penalty
    if not isinstance(penalty, str):
        raise TypeError(f"penalty must be a Penalty or one of {', '.join(PENALTIES)}; got {penalty!r}")
    return PENALTIES[check_choice("penalty", penalty, PENALTIES)]()
