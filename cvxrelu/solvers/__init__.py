"""Solvers: each returns a raw result, which `cvxrelu.solve` certifies and never believes."""
