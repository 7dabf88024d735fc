"""Whole tasks that return a certified solution: solve, solve globally, follow a path."""
