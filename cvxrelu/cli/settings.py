"""What an experiment is asked to do. Imports nothing heavy: the command line's help reads its choices here."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The activation of the network."""

    GATED = "gated"
    RELU = "relu"

    @property
    def label(self) -> str:
        """The name that people read."""
        return "gated ReLU" if self is Kind.GATED else "ReLU"


class Task(StrEnum):
    """What is predicted: a number, or one of two classes; AUTO: classes if there are exactly two values."""

    AUTO = "auto"
    REGRESSION = "regression"
    CLASSIFICATION = "classification"


class Scope(StrEnum):
    """What the bounds of a network's certificate hold for."""

    PATTERNS = "patterns"
    GLOBAL = "global"


@dataclass(frozen=True)
class Settings:
    """What is solved and how.

    Attributes
    ----------
    kind : Kind
        The activation.
    gates : int
        Random gates to sample.
    lam : float
        Strength of the weight decay.
    lam_ratio : float, optional
        The same as a share of lam_max, in place of ``lam``.
    loss : str
        Name of a loss of one output.
    seed : int
        Seed of the gates.
    solver : str
        "auto" or the name of a solver, in any case.
    tol, max_iter, time_limit
        As in `cvxrelu.solve`.
    """

    kind: Kind
    gates: int
    lam: float
    lam_ratio: float | None = None
    loss: str = "squared"
    seed: int = 0
    solver: str = "auto"
    tol: float = 1e-6
    max_iter: int | None = None
    time_limit: float | None = None
