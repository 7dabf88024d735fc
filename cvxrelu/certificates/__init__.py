"""Certificates of optimality: bounds recomputed from weights and data."""
