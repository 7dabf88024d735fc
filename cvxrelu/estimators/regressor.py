"""Base class of regressors."""

# mypy: disallow-subclassing-any=False
# (scikit-learn has no types)

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from cvxrelu._validation import FloatArray, check_choice
from cvxrelu.estimators.base import ConvexNetworkEstimator
from cvxrelu.estimators.checks import check_weights
from cvxrelu.losses.base import Loss
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.registry import LOSSES, get_loss


class NetworkRegressor(RegressorMixin, ConvexNetworkEstimator):
    """Base class of regressors."""

    _standardize_targets = True

    def _loss(self) -> Loss:
        choices = [name for name, kind in LOSSES.items() if not kind.of_labels]
        name = check_choice("loss", self.loss, choices)
        return Huber(self.delta) if name == Huber.name else get_loss(name)

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Return validated data, targets (n,) or (n, c) and weights."""
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
            Predictions, of the shape of y in `fit`.
        """
        return self._output(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
