"""Exact transformations of columns and rows of the data."""
