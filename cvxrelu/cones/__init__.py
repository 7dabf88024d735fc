"""The cones of activation patterns: projections and multipliers."""
