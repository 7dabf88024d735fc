"""The convex programs C-GReLU and C-ReLU, and the same as CVXPY programs."""
