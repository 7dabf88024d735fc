"""Base class of all estimators."""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from cvxrelu._validation import FloatArray, check_choice, check_flag, check_integer, check_number
from cvxrelu.certificates.certificate import Certificate
from cvxrelu.certificates.writer import write_certificate
from cvxrelu.estimators.training import Fit, FitSettings, gates_seed
from cvxrelu.losses.base import Loss
from cvxrelu.networks.network import Network
from cvxrelu.optimize.solution import Solution
from cvxrelu.preprocessing.rows import Standardization, with_bias

Patterns = Literal["sampled", "enumerate", "generate"]
GateKind = Literal["dense", "sparse", "convolutional"]


class ConvexNetworkEstimator(BaseEstimator):
    """Base class of all estimators: validation of parameters, and fitted attributes."""

    _relu: ClassVar[bool]
    _standardize_targets: ClassVar[bool]

    network_: Network
    certificate_: Certificate
    _standardization: Standardization | None

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
            _standardization=None if fit.weighted else fit.standardization,
            objective_=certificate.upper,
            lower_bound_=certificate.lower,
            dual_gap_=certificate.gap,
            n_iter_=solution.n_iter,
            n_neurons_=network.n_neurons,
        )

    def save_certificate(
        self, path: str | os.PathLike[str], X: Any = None, y: Any = None, *, overwrite: bool = False
    ) -> None:
        """Write the certificate of the fit to a file that `load_certificate` and the stand-alone checker read.

        With the training data X and y, the file is about them as they are: it holds the map to the rows that the
        network was trained on (standardised, with a column of ones, classes as numbers), the checker applies it, and
        ``verify(X, y)`` takes the user's own data. Without them it is about ``certificate_.problem.X`` and ``.y``.

        Parameters
        ----------
        path : str or path
            The file; no extension is added.
        X : array_like of shape (n, d), optional
            The features given to `fit`.
        y : array_like of shape (n,) or (n, c), optional
            The targets given to `fit`.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        NotFittedError
            If the estimator is not fitted.
        RejectedCertificate
            If X and y are not the data of the fit.
        ValueError
            If only one of X and y is given; with X and y, if the fit had weights that differ, which no map of rows
            expresses; as `Certificate.save`.
        """
        check_is_fitted(self)
        if (X is None) != (y is None):
            raise ValueError("X and y must be given together, or neither")
        if X is None:
            self.certificate_.save(path, overwrite=overwrite)
            return
        if self._standardization is None:
            raise ValueError(
                "X and y must not be given after a fit with sample weights: the certificate is about weighted rows, "
                "certificate_.problem.X and .y"
            )
        classes = getattr(self, "classes_", None)
        rows = self._standardization.as_map(None if classes is None else classes.tolist())
        data = np.asarray(X, dtype=np.float64), np.asarray(y)
        write_certificate(path, self.certificate_, overwrite=overwrite, rows=rows, data=data)

    def _output(self, X: Any) -> FloatArray:
        """Return the output of the network on raw data."""
        check_is_fitted(self)
        data = validate_data(self, X, dtype=np.float64, reset=False)
        return self._network_output(self.network_, data)

    @staticmethod
    def _network_output(network: Network, X: FloatArray) -> FloatArray:
        return network.predict(with_bias(X) if network.W1.shape[1] > X.shape[1] else X)
