"""Random and known-bad problems, solved by "auto" and by single solvers, and judged independently of the package."""
