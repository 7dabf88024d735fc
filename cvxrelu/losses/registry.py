"""Registry of losses by name."""

from __future__ import annotations

from typing import Final

from cvxrelu._validation import check_choice
from cvxrelu.losses.base import Loss
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from cvxrelu.losses.squared import Squared

__all__ = ["LOSSES", "get_loss"]

LOSSES: Final[dict[str, type[Loss]]] = {loss.name: loss for loss in (Squared, Huber, Logistic, SoftmaxCrossEntropy)}


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name with its default parameters, or the instance itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``loss`` is neither a string nor an instance of `Loss`.
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a Loss or one of {', '.join(LOSSES)}; got {loss!r}")
    return LOSSES[check_choice("loss", loss, LOSSES)]()
