"""Base class of all estimators."""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from cvxrelu._validation import FloatArray, check_choice, check_flag, check_integer, check_number
from cvxrelu.certificates.certificate import Certificate
from cvxrelu.estimators.training import Fit, FitSettings, gates_seed
from cvxrelu.losses.base import Loss
from cvxrelu.networks.network import Network
from cvxrelu.optimize.solution import Solution
from cvxrelu.preprocessing.rows import with_bias

Patterns = Literal["sampled", "enumerate", "generate"]
GateKind = Literal["dense", "sparse", "convolutional"]


class ConvexNetworkEstimator(BaseEstimator):
    """Base class of all estimators: validation of parameters, and fitted attributes."""

    _relu: ClassVar[bool]
    _standardize_targets: ClassVar[bool]

    network_: Network
    certificate_: Certificate

    def _loss(self) -> Loss:
        """Return the loss that the parameters specify."""
        raise NotImplementedError

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Validate data (n, d), targets and weights; return them with targets encoded for the loss."""
        raise NotImplementedError

    def _settings(self) -> FitSettings:
        """Return the validated parameters."""
        patterns = check_choice("patterns", self.patterns, ("sampled", "enumerate", "generate"))
        if patterns == "generate":
            if not self._relu:
                raise ValueError("patterns must be 'sampled' or 'enumerate' for gated networks; got 'generate'")
            if self.solver != "auto" or self.max_iter is not None:
                raise ValueError(
                    "solver and max_iter must have their defaults for patterns='generate', which time_limit limits; "
                    f"got solver={self.solver!r}, max_iter={self.max_iter!r}"
                )
        if self.gate_options is not None and not isinstance(self.gate_options, Mapping):
            raise TypeError(f"gate_options must be a dict or None; got {self.gate_options!r}")
        unknown = set(self.gate_options or ()) - {"order", "image_shape", "kernel_size"}
        if unknown:
            raise ValueError(
                f"gate_options may hold order, image_shape, kernel_size; got {', '.join(sorted(map(str, unknown)))}"
            )
        return FitSettings(
            relu=self._relu,
            loss=self._loss(),
            patterns=patterns,
            n_gates=check_integer("n_gates", self.n_gates, minimum=1),
            gate_kind=check_choice("gate_kind", self.gate_kind, ("dense", "sparse", "convolutional")),
            gate_options=dict(self.gate_options or {}),
            bias=check_flag("fit_intercept", self.fit_intercept),
            standardize=check_flag("standardize", self.standardize),
            standardize_targets=self._standardize_targets,
            solver=self.solver,
            tol=check_number("tol", self.tol, minimum=0.0, strict=True),
            max_iter=self.max_iter,
            time_limit=self.time_limit,
            seed=gates_seed(self.random_state),
            verbose=bool(self.verbose),
        )

    def _keep(self, fit: Fit, solution: Solution) -> None:
        """Set the fitted attributes, all at once: an interrupt leaves no mixture of two fits."""
        network, certificate = fit.network(solution), fit.certificate(solution)
        self.__dict__.update(
            network_=network,
            certificate_=certificate,
            objective_=certificate.upper,
            lower_bound_=certificate.lower,
            dual_gap_=certificate.gap,
            n_iter_=solution.n_iter,
            n_neurons_=network.n_neurons,
        )

    def _output(self, X: Any) -> FloatArray:
        """Return the output of the network on raw data."""
        check_is_fitted(self)
        data = validate_data(self, X, dtype=np.float64, reset=False)
        return self._network_output(self.network_, data)

    @staticmethod
    def _network_output(network: Network, X: FloatArray) -> FloatArray:
        return network.predict(with_bias(X) if network.W1.shape[1] > X.shape[1] else X)
