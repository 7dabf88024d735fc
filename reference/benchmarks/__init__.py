"""Benchmarks of cvxrelu, one command each."""
