"""The convex programs C-GReLU and C-ReLU, their duals and their CVXPY forms."""
