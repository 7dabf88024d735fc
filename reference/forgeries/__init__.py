"""Forged certificates: honest files are changed in every way that a forger may think of, and an exact oracle judges."""
