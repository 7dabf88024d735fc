"""Invalid parameters, targets and weights of the estimators."""

import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.estimators import draw


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alpha": -1.0}, ValueError, "alpha must be a finite number >= 0; got -1.0"),
        ({"alpha": "1"}, TypeError, "alpha must be a finite number >= 0; got '1'"),
        ({"alpha": 0.0, "patterns": "generate"}, ValueError, "alpha must be a finite number > 0; got 0.0"),
        ({"n_gates": 0}, ValueError, "n_gates must be an integer >= 1; got 0"),
        ({"gate_kind": "round"}, ValueError, "gate_kind must be one of .*; got 'round'"),
        ({"gate_options": {"order": 2}}, ValueError, "order is an option of kind='sparse' only"),
        ({"gate_options": 3}, TypeError, "gate_options must be a dict or None; got 3"),
        ({"gate_options": {"size": 3}}, ValueError, "gate_options may hold order, image_shape, kernel_size; got size"),
        ({"patterns": "all"}, ValueError, "patterns must be one of 'enumerate', 'generate', 'sampled'; got 'all'"),
        (
            {"patterns": "generate", "solver": "SCS"},
            ValueError,
            "solver and max_iter must have their defaults .*solver='SCS'",
        ),
        ({"patterns": "enumerate"}, ValueError, "patterns='enumerate' is not feasible for these data.*distinct lines"),
        ({"loss": "hinge"}, ValueError, "loss must be one of .*; got 'hinge'"),
        ({"loss": "huber", "delta": 0.0}, ValueError, "delta must be a finite number > 0; got 0.0"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept must be True or False; got 1"),
        ({"standardize": "no"}, TypeError, "standardize must be True or False; got 'no'"),
        ({"warm_start": None}, TypeError, "warm_start must be True or False; got None"),
        ({"solver": "NONE"}, ValueError, "solver must be one of"),
        ({"tol": 0.0}, ValueError, "tol must be a finite number > 0; got 0.0"),
        ({"max_iter": 0}, ValueError, "max_iter must be an integer >= 1; got 0"),
        ({"time_limit": -1}, ValueError, "time_limit must be a finite number > 0"),
        ({"random_state": "x"}, ValueError, "cannot be used to seed"),
    ],
)
def test_errors_name_the_parameter(options, error, message):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 8))
    model = cr.ConvexReLURegressor(**options)
    with pytest.raises(error, match=message):
        model.fit(X, X[:, 0])
    assert not hasattr(model, "network_")


def test_generated_patterns_are_for_relu_networks_of_one_output():
    X, y, _ = draw(cr.ConvexReLURegressor, 2)
    with pytest.raises(ValueError, match="patterns='generate' needs one output, .*; got 2: use 'sampled'"):
        cr.ConvexReLURegressor(patterns="generate").fit(X, y)
    with pytest.raises(ValueError, match="patterns must be 'sampled' or 'enumerate' for gated networks"):
        cr.GatedReLURegressor(patterns="generate").fit(X, y)
