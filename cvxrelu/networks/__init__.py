"""Two-layer networks, and their conversion to and from convex weights and files."""
