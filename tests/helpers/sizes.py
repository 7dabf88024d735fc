"""Sizes at the ends of float64."""

SIZES = [1e-300, 1e-200, 1e-160, 1e160, 1e200, 1e300]
