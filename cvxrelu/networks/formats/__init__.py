"""Foreign formats of networks, read and written as arrays."""
