"""Accelerated proximal-gradient methods."""
