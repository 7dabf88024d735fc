"""Named errors and warnings: what the user catches or filters."""

__all__ = [
    "CertificateError",
    "CompilationCacheWarning",
    "ConvergenceWarning",
    "InsufficientMemoryError",
    "ProgramSizeWarning",
    "SolverError",
    "SolverNotAvailableError",
    "UnsupportedOptionWarning",
]


class SolverError(RuntimeError):
    """A solver could not take the problem at all; the message names the remedy."""


class SolverNotAvailableError(SolverError):
    """The solver is not installed, has no licence, or its licence limits the size."""


class InsufficientMemoryError(SolverError, MemoryError):
    """More memory would be needed than is free: said before anything is allocated, with what to do."""


class CertificateError(RuntimeError):
    """Two bounds contradict each other by more than rounding: a bug, never a result."""


class ConvergenceWarning(UserWarning):
    """The certified gap is above the tolerance; the best point found is returned."""


class CompilationCacheWarning(UserWarning):
    """Compiled kernels cannot be cached here, so that each process compiles them again, for seconds."""


class ProgramSizeWarning(UserWarning):
    """A CVXPY program is about to be built that may not fit in memory."""


class UnsupportedOptionWarning(UserWarning):
    """The solver has no option for a limit that was asked of it."""


class StartNotUsedWarning(UnsupportedOptionWarning):
    """The solver cannot start from given weights."""
