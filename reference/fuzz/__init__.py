"""Fuzzing: random and known hard problems, solved by "auto" and by single solvers, and judged by independent code."""
