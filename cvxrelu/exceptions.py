"""Exceptions and warnings of the package."""

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
    """The solver cannot solve the problem at all; the message names a remedy."""


class SolverNotAvailableError(SolverError):
    """The solver is not installed, has no licence, or its licence limits the size."""


class InsufficientMemoryError(SolverError, MemoryError):
    """The problem needs more memory than is free; raised before allocation, with a remedy."""


class CertificateError(RuntimeError):
    """Bounds contradict each other by more than rounding: a bug, never a result."""


class ConvergenceWarning(UserWarning):
    """The certified gap is above the tolerance; the best point found is returned."""


class CompilationCacheWarning(UserWarning):
    """Compiled kernels cannot be cached, so every process compiles them again, which takes seconds."""


class ProgramSizeWarning(UserWarning):
    """The CVXPY program about to be built may not fit in memory."""


class UnsupportedOptionWarning(UserWarning):
    """The solver does not support a requested option or limit."""


class StartNotUsedWarning(UnsupportedOptionWarning):
    """The solver cannot start from given weights."""
