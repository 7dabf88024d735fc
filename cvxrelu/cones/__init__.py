"""Cones of activation patterns: projections and multipliers."""
