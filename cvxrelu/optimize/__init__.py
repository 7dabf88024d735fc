"""High-level routines that return certified solutions: solve, global solve and regularization paths."""
