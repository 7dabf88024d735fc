"""Two-layer networks, and their way to and from the convex programs and files."""
