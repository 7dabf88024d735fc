"""What an inner solver may spend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from cvxrelu.solvers.monitor import Limits


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Newton steps in all, and whether the time of a round is up."""

    steps: int
    expired: Callable[[], bool]

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Return what the limits allow from now to the next check of the gap."""
        return cls(steps=limits.max_iter, expired=limits.rounds())

    def spent(self, steps: int) -> bool:
        """Return whether nothing is left after so many steps."""
        return steps >= self.steps or self.expired()
