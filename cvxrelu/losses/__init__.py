"""Losses: values, conjugates, proximal operators and their CVXPY atoms."""
