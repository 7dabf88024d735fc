"""Solvers. Each returns a raw result, which `cvxrelu.solve` certifies independently."""
