"""Base class of classifiers."""

# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
# (scikit-learn has no types)

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from cvxrelu._validation import FloatArray, check_choice
from cvxrelu.estimators.base import ConvexNetworkEstimator
from cvxrelu.estimators.checks import check_weights
from cvxrelu.losses.base import Loss
from cvxrelu.losses.registry import LOSSES, get_loss

_WITH_PROBABILITIES = ("logistic", "softmax")


def _has_probabilities(estimator: Any) -> bool:
    if estimator.loss not in _WITH_PROBABILITIES:
        needed = " or ".join(map(repr, _WITH_PROBABILITIES))
        raise AttributeError(f"predict_proba needs loss={needed}; loss={estimator.loss!r} has no probabilities")
    return True


class NetworkClassifier(ClassifierMixin, ConvexNetworkEstimator):
    """Base class of classifiers."""

    _standardize_targets = False

    classes_: NDArray[Any]

    def _loss(self) -> Loss:
        choices = [name for name, kind in LOSSES.items() if kind.of_labels or name == "squared"]
        return get_loss(check_choice("loss", self.loss, choices))

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Return data, targets encoded for the loss and weights; set the classes, those of positive weight."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        weights = check_weights(sample_weight, X)
        self.classes_ = np.unique(y if weights is None else y[weights > 0.0])
        k = len(self.classes_)
        if k < 2:
            raise ValueError(
                f"y must hold at least two classes on rows of positive weight; got one class, {self.classes_[0]!r}"
            )
        hot = (y[:, None] == self.classes_).astype(np.float64)
        if self._loss().least_outputs > 1:
            return X, hot, weights
        signs = 2.0 * hot - 1.0
        return X, signs[:, 1] if k == 2 else signs, weights

    def decision_function(self, X: Any) -> FloatArray:
        """Return the network's outputs as scores of the classes, the larger the more likely.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Raw data.

        Returns
        -------
        ndarray of shape (n,) or (n, c)
            For two classes, one score per row, positive for the second class: the output, or for "softmax" the
            difference of the two outputs.
        """
        output = self._output(X)
        two = output.ndim == 2 and output.shape[1] == 2
        return output[:, 1] - output[:, 0] if two else output

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the largest output, or for one output the class of its sign.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Raw data.

        Returns
        -------
        ndarray of shape (n,)
            Labels, as given to `fit`.
        """
        scores = self.decision_function(X)
        ranks = (scores > 0.0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[ranks]
        return labels

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probabilities of the classes; only for losses that define them, "logistic" and "softmax".

        Parameters
        ----------
        X : array_like of shape (n, d)
            Raw data.

        Returns
        -------
        ndarray of shape (n, k)
            Rows sum to one. For "logistic" and more than two classes, the k one-vs-rest probabilities divided by their
            sum.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        probabilities: FloatArray = softmax(scores if self.loss == "softmax" else log_expit(scores), axis=1)
        return probabilities
