"""Annealing: networks near the proven optimum, never worse than their start, in any scale, within limits."""

import time

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import cvxrelu as cr
from cvxrelu.training.annealing import Annealing
from reference.datasets.prepare import prepare
from tests.helpers.losses import each_loss, targets

SQUARED = cr.Squared()


def cancer(rank, n=200):
    X, classes = load_breast_cancer(return_X_y=True)
    return prepare(X[:n, : rank - 1]), (2.0 * classes[:n] - 1.0)[:, None]


def last(X, Y, lam, loss=SQUARED):
    *_, layers = Annealing(X, Y, lam, loss).run(np.random.default_rng(0))
    return layers


def objective(layers, X, Y, lam, loss=SQUARED):
    return cr.ReLUNetwork(layers.W, layers.V).objective(X, Y, lam, loss)


@pytest.mark.parametrize(("rank", "optimum"), [(3, 0.20766048), (6, 0.14428806)])
def test_networks_are_near_the_proven_optimum(rank, optimum):
    X, Y = cancer(rank)
    layers = last(X, Y, 1e-3)
    assert optimum <= layers.objective <= optimum * (1.0 + 1e-3)
    assert objective(layers, X, Y, 1e-3) == pytest.approx(layers.objective, rel=1e-6)


@each_loss
def test_training_improves_stage_by_stage(loss):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((60, 4)), targets(loss, rng, 60, 3)
    stages = [each.objective for each in Annealing(X, Y, 1e-3, loss).run(rng)]
    assert stages == sorted(stages, reverse=True)
    assert stages[-1] < 0.9 * loss.value(np.zeros(Y.shape), Y)


@pytest.mark.parametrize(("of_X", "of_y"), [(1e-12, 1.0), (1e9, 1.0), (1.0, 1e-9), (1e6, 1e12)])
def test_scales_do_not_matter(of_X, of_y):
    X, Y = cancer(3)
    plain, scaled = last(X, Y, 1e-3), last(of_X * X, of_y * Y, of_X * of_y * 1e-3)
    assert scaled.objective == pytest.approx(of_y**2 * plain.objective, rel=1e-5)
    assert objective(scaled, of_X * X, of_y * Y, of_X * of_y * 1e-3) == pytest.approx(scaled.objective, rel=1e-5)


@pytest.mark.parametrize("delta", [1.0, 1e-4])
def test_the_threshold_of_huber_does_not_end_the_training(delta):
    """Where all residuals are beyond it, the loss is delta times the absolute one, whatever delta."""
    X, Y = cancer(3)
    layers = last(X, Y, 1e-3 * delta, cr.Huber(delta))
    assert layers.objective < 0.5 * cr.Huber(delta).value(np.zeros(Y.shape), Y)


def test_no_neuron_is_left_above_lam_max():
    X, Y = cancer(3)
    layers = last(X, Y, 10.0)
    assert len(layers.W) == 0
    assert layers.objective == SQUARED.value(np.zeros(Y.shape), Y)


def test_it_ends_at_the_deadline():
    X, Y = cancer(6)
    stages = list(Annealing(X, Y, 1e-3, SQUARED).run(np.random.default_rng(0), deadline=time.perf_counter()))
    assert len(stages) == 1


@pytest.mark.parametrize("X", [np.zeros((5, 3)), np.ones((1, 2)), np.eye(3)[:, :2]])
def test_degenerate_data(X):
    Y = np.arange(1.0, len(X) + 1.0)[:, None]
    layers = last(X, Y, 1e-3)
    assert layers.objective <= SQUARED.value(np.zeros(Y.shape), Y)
    assert objective(layers, X, Y, 1e-3) == pytest.approx(layers.objective, rel=1e-6)
