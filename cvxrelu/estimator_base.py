"""What the estimators for scikit-learn share: parameters, what is known after training, and prediction."""

# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
# (scikit-learn has no types)

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import sklearn.exceptions
from numpy.typing import NDArray
from scipy.special import expit, log_expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from cvxrelu._validation import FloatArray, check_choice, check_flag, check_integer, check_number
from cvxrelu.certificates import Certificate
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses import Huber, Loss, get_loss
from cvxrelu.networks import Network
from cvxrelu.solution import Solution
from cvxrelu.standardization import with_bias
from cvxrelu.status import Status
from cvxrelu.training import Plan, Training

Patterns = Literal["sampled", "enumerate", "generate"]
GateKind = Literal["dense", "sparse", "convolutional"]


class EstimatorConvergenceWarning(ConvergenceWarning, sklearn.exceptions.ConvergenceWarning):
    """A ConvergenceWarning that filters of scikit-learn's class catch too."""


class ConvexNetworkEstimator(BaseEstimator):
    """What all estimators share: checked parameters, training, and what is known after it."""

    _relu: ClassVar[bool]
    _standardize_targets: ClassVar[bool]

    network_: Network
    certificate_: Certificate

    def _loss(self) -> Loss:
        """Return the loss that the parameters name."""
        raise NotImplementedError

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Return data (n, d), targets as the loss takes them and weights, checked."""
        raise NotImplementedError

    def _plan(self) -> Plan:
        """Return the parameters, checked."""
        patterns = check_choice("patterns", self.patterns, ("sampled", "enumerate", "generate"))
        if patterns == "generate":
            if not self._relu:
                raise ValueError("patterns must be 'sampled' or 'enumerate' for gated networks; got 'generate'")
            if self.solver != "auto" or self.max_iter is not None:
                raise ValueError(
                    "solver and max_iter must be left as they are for patterns='generate', which time_limit limits; "
                    f"got solver={self.solver!r}, max_iter={self.max_iter!r}"
                )
        if self.gate_options is not None and not isinstance(self.gate_options, Mapping):
            raise TypeError(f"gate_options must be a dict or None; got {self.gate_options!r}")
        unknown = set(self.gate_options or ()) - {"order", "image_shape", "kernel_size"}
        if unknown:
            raise ValueError(
                f"gate_options may hold order, image_shape, kernel_size; got {', '.join(sorted(map(str, unknown)))}"
            )
        return Plan(
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
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            verbose=bool(self.verbose),
        )

    def _keep(self, training: Training, solution: Solution) -> None:
        """Set what is known after training, all at once: an interrupt leaves no mixture of two trainings."""
        network, certificate = training.network(solution), training.certificate(solution)
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


class NetworkRegressor(RegressorMixin, ConvexNetworkEstimator):
    """What the regressors share."""

    _standardize_targets = True

    def _loss(self) -> Loss:
        if check_choice("loss", self.loss, ("squared", "huber")) == "squared":
            return get_loss("squared")
        return Huber(self.delta)

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Return data, targets (n,) or (n, c) and weights, checked."""
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        return X, np.asarray(y, dtype=np.float64), check_weights(sample_weight, X)

    def predict(self, X: Any) -> FloatArray:
        """Return the network's predictions.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Raw data.

        Returns
        -------
        ndarray of shape (n,) or (n, c)
            As y was in `fit`.
        """
        return self._output(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _has_probabilities(estimator: Any) -> bool:
    if estimator.loss == "squared":
        raise AttributeError("predict_proba needs loss='logistic' or 'softmax'; loss='squared' has no probabilities")
    return True


class NetworkClassifier(ClassifierMixin, ConvexNetworkEstimator):
    """What the classifiers share."""

    _standardize_targets = False

    classes_: NDArray[Any]

    def _loss(self) -> Loss:
        return get_loss(check_choice("loss", self.loss, ("logistic", "softmax", "squared")))

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Return data, targets as the loss takes them and weights; set the classes, those of positive weight."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        weights = check_weights(sample_weight, X)
        self.classes_ = np.unique(y if weights is None else y[weights > 0.0])
        k = len(self.classes_)
        if k < 2:
            raise ValueError(
                f"y must hold two classes or more, on rows of positive weight; got one class, {self.classes_[0]!r}"
            )
        hot = (y[:, None] == self.classes_).astype(np.float64)
        if self.loss == "softmax":
            return X, hot, weights
        signs = 2.0 * hot - 1.0
        return X, signs[:, 1] if k == 2 else signs, weights

    def decision_function(self, X: Any) -> FloatArray:
        """Return the network's outputs: the larger, the more of the class.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Raw data.

        Returns
        -------
        ndarray of shape (n,) or (n, c)
            Of two classes, one number, positive for the second: the output, or for "softmax" the difference of the two.
        """
        output = self._output(X)
        two = output.ndim == 2 and output.shape[1] == 2
        return output[:, 1] - output[:, 0] if two else output

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the largest output, or that of the sign of the one output.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Raw data.

        Returns
        -------
        ndarray of shape (n,)
            Labels, as they were in `fit`.
        """
        scores = self.decision_function(X)
        ranks = (scores > 0.0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[ranks]
        return labels

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probabilities of the classes; not for loss="squared", which has none.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Raw data.

        Returns
        -------
        ndarray of shape (n, k)
            Rows add up to one. Of more than two classes and "logistic", the k probabilities of one class against the
            rest, divided by their sum.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        probabilities: FloatArray = softmax(scores if self.loss == "softmax" else log_expit(scores), axis=1)
        return probabilities


def check_alpha(alpha: Any, patterns: str) -> float:
    """Return alpha >= 0, or > 0 where the patterns need it."""
    return check_number("alpha", alpha, minimum=0.0, strict=patterns == "generate")


def check_outputs(targets: FloatArray, patterns: str) -> None:
    """Raise ValueError for several outputs and patterns="generate"."""
    if patterns == "generate" and targets.ndim == 2 and targets.shape[1] > 1:
        raise ValueError(
            f"patterns='generate' needs one output, there is no global bound for more; got {targets.shape[1]}: take "
            "'sampled', or one estimator for each output"
        )


def check_weights(sample_weight: Any, X: FloatArray) -> FloatArray | None:
    """Return sample weights >= 0, not all zero, as float64; None for none."""
    if sample_weight is None:
        return None
    weights: FloatArray = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weights.min() < 0.0 or not weights.any():
        raise ValueError(
            f"sample_weight must be >= 0 and not all zero; got entries from {weights.min():g} to {weights.max():g}"
        )
    return weights


def shortfall(certificate: Certificate, solution: Solution, tol: float) -> str:
    """Say by how much a fit misses tol, and what to do."""
    status = Status.STALLED if solution.status is Status.OPTIMAL else solution.status
    return f"a certified relative gap of {certificate.rel_gap:.2e}, above tol = {tol:.2e}. {status.advice}"
