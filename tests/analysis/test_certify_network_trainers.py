"""Bounds for networks that scikit-learn and PyTorch trained, on real data."""

import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import scale

import cvxrelu as cr
from reference.datasets.prepare import breast_cancer
from tests.helpers.needs import require
from tests.helpers.random_networks import lowest_with


def mlp(kind, X, y, lam, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_iter is reached
        model = kind(hidden_layer_sizes=(10,), alpha=lam * len(y), max_iter=100, random_state=0, **options)
        return model.fit(X, y)


def test_regressor_of_sklearn_on_diabetes():
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    model = mlp(MLPRegressor, X, y, 1e-2, solver="lbfgs")
    certificate = cr.certify_network(model, X, y, 1e-2)
    weights = sum(np.sum(part**2) for part in model.coefs_)
    fit = 0.5 * np.mean((model.predict(X) - y) ** 2)
    biases = np.sum(model.intercepts_[0] ** 2) + 2 * abs(model.intercepts_[1][0])
    assert certificate.objective_given == pytest.approx(fit + 0.5e-2 * (weights + biases), rel=1e-10)
    assert certificate.lower < certificate.improved_objective < certificate.upper < certificate.objective_given
    assert certificate.improved_objective - certificate.lower <= 1.1e-6 * certificate.improved_objective
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper
    text = str(certificate)
    for part in (
        "11 neurons of 11 inputs",
        "as given",
        "lower bound",
        "gap",
        "scope",
        "patterns",
        "new neuron",
        "improved",
    ):
        assert part in text


def test_classifier_of_sklearn_on_breast_cancer():
    X, y = breast_cancer()
    X = X[:, :-1] * np.sqrt(len(X))
    model = mlp(MLPClassifier, X, y, 1e-2)
    certificate = cr.certify_network(model, X, y, 1e-2, loss="logistic")
    log_loss = -np.mean(np.log(model.predict_proba(X)[np.arange(len(y)), (y > 0).astype(int)]))
    assert certificate.network.objective(certificate.problem.X, y, 0.0, "logistic") == pytest.approx(log_loss, rel=1e-9)
    assert 0.0 < certificate.lower < certificate.improved_objective < certificate.upper
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper


def test_network_of_torch_trained_by_adam_on_breast_cancer():
    torch = require("torch")
    X, y = breast_cancer()
    X = X[:, :-1] * np.sqrt(len(X))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 10), torch.nn.ReLU(), torch.nn.Linear(10, 1))
    steps = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)
    rows, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    for _ in range(200):
        steps.zero_grad()
        (0.5 * (model(rows)[:, 0] - targets).square().mean()).backward()
        steps.step()
    certificate = cr.certify_network(model, X, y, 1e-2)
    assert 0.0 < certificate.lower < certificate.improved_objective < certificate.upper
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper
    assert lowest_with(certificate, certificate.improved_neuron, certificate.improved) < certificate.improved_objective


def test_networks_of_other_trainers_against_the_global_optimum():
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X[:, [2, 8]]), scale(y)  # body mass index and a serum measurement
    model = mlp(MLPRegressor, X, y, 1e-3, solver="lbfgs")
    certificate = cr.certify_network(model, X, y, 1e-3, scope="global")
    assert certificate.improved_objective - certificate.lower <= 1e-6 * certificate.improved_objective
    assert certificate.lower < certificate.upper
    assert lowest_with(certificate, certificate.neuron, certificate.network) < certificate.upper
    assert certificate.proof.method == "branch_and_bound"
    cut = dataclasses.replace(certificate, network=certificate.improved)
    assert lowest_with(cut, certificate.improved_neuron, certificate.improved) >= certificate.lower
