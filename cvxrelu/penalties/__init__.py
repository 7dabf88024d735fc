"""Penalties: values, dual norms, proximal operators and their CVXPY atoms."""
