"""What an inner solver may spend."""

import time
from dataclasses import dataclass
from typing import Self

import numpy as np

from cvxrelu.solvers.monitor import Limits


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Newton steps in all, and a moment of `time.perf_counter`."""

    steps: int
    deadline: float

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Return what the limits allow from now on."""
        left = np.inf if limits.time_limit is None else limits.time_limit
        return cls(steps=limits.max_iter, deadline=time.perf_counter() + left)

    def spent(self, steps: int) -> bool:
        """Return whether nothing is left after so many steps."""
        return steps >= self.steps or time.perf_counter() >= self.deadline
