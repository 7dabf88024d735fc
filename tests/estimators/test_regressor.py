import numpy as np
import pandas as pd

from tests.helpers.estimators import N, draw, each_regressor


@each_regressor
def test_targets_keep_their_shape(kind):
    X, y, _ = draw(kind, 2)
    assert kind(n_gates=5).fit(X, y).predict(X).shape == (N, 2)
    assert kind(n_gates=5).fit(X, y[:, :1]).predict(X).shape == (N, 1)
    assert kind(n_gates=5).fit(X, y[:, 0]).predict(X).shape == (N,)
    frame = pd.DataFrame(y, columns=["a", "b"])
    model = kind(1e-4, n_gates=30, random_state=0).fit(pd.DataFrame(X, columns=list("uvw")), frame)
    assert model.score(pd.DataFrame(X, columns=list("uvw")), frame) > 0.9
    together, apart = model.predict(pd.DataFrame(X, columns=list("uvw"))), kind(1e-4, n_gates=30, random_state=0)
    np.testing.assert_allclose(together[:, 0], apart.fit(X, y[:, 0]).predict(X), rtol=1e-2)
