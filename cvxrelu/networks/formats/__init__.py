"""File and library formats of networks, read and written as arrays."""
