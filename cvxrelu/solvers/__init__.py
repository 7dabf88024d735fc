"""Solvers. Each returns a `SolverResult`, which `cvxrelu.solve` certifies independently."""
