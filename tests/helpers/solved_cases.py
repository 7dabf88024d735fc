"""Solved problems of every kind, for the tests of the checker."""

import functools

import cvxrelu as cr
from tests.helpers.cases import all_cases

CASES = list(all_cases())


@functools.cache
def solved(case):
    problem = case.build()
    return problem, cr.solve(problem, tol=1e-6)
