"""Settings of an experiment; imports nothing heavy, as the command line's help uses them."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The activation of the network."""

    GATED = "gated"
    RELU = "relu"

    @property
    def label(self) -> str:
        """The name in reports."""
        return "gated ReLU" if self is Kind.GATED else "ReLU"


class Task(StrEnum):
    """Kind of prediction: a number or one of two classes; AUTO means classes if there are exactly two values."""

    AUTO = "auto"
    REGRESSION = "regression"
    CLASSIFICATION = "classification"


class Scope(StrEnum):
    """The networks that the lower bound of a certificate holds for."""

    PATTERNS = "patterns"
    GLOBAL = "global"


@dataclass(frozen=True)
class Settings:
    """Settings of a problem and its solver.

    Attributes
    ----------
    kind : Kind
        The activation.
    gates : int
        Number of random gates.
    lam : float
        Strength of the weight decay.
    lam_ratio : float, optional
        lam as a fraction of lam_max, instead of ``lam``.
    loss : str
        Name of a loss of one output.
    seed : int
        Seed of the gates.
    solver : str
        "auto" or the name of a solver; case-insensitive.
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
