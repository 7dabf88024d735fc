"""Numerical routines on arrays that know nothing of networks."""
