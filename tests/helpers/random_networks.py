"""Random networks and their patterns, for the tests of their bounds."""

import numpy as np
from hypothesis import strategies as st

import cvxrelu as cr

SEEDS = st.integers(0, 2**32 - 1)
LAM = 0.05


def random_network(X, m, rng, scales=0):
    """Return m neurons with layers out of balance by up to 10^scales, one dead and one duplicate if m > 2."""
    W1, w2 = rng.standard_normal((m, X.shape[1])), rng.standard_normal(m)
    factors = 10.0 ** rng.uniform(-scales, scales, m)
    W1, w2 = W1 * factors[:, None], w2 / factors
    if m > 2:
        w2[0] = 0.0
        W1[1], w2[1] = W1[2], w2[2]
    return cr.ReLUNetwork(W1, w2)


def one_feature(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return x[:, None], np.sin(4 * x) + 0.1 * rng.standard_normal(n)


def lowest_with(certificate, neuron, network):
    """Return the smallest objective over the sizes of a new neuron, by a grid search."""
    problem = certificate.problem
    sizes = 2.0 ** np.arange(4, -40, -1)
    return min(
        neuron.added_to(network, size).objective(problem.X, problem.y, problem.lam, problem.loss) for size in sizes
    )
