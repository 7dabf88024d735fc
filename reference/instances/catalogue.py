"""Catalogue of all instances by size, and their selection by name."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import get_args

from reference.instances.instance import Instance, Size

_small, _medium, _large = (partial(Instance, size=size) for size in ("small", "medium", "large"))


def _small_real() -> Iterator[Instance]:
    for data in ("iris", "wine", "linnerud"):
        yield _small(data, "gated", 20, 0.1)
        yield _small(data, "relu", 8, 0.1)
    for strength in (0.3, 0.03, 0.003):
        yield _small("breast_cancer", "gated", 20, strength)
        yield _small("breast_cancer", "relu", 6, strength)
    yield _small("diabetes", "gated", 50, 0.1)
    yield _small("diabetes", "gated", 50, 0.01, loss="huber")
    yield _small("diabetes", "relu", 12, 0.1)
    yield _small("diabetes", "relu", 8, 0.05, loss="huber")
    yield _small("breast_cancer", "gated", 10, 0.1, loss="logistic")
    yield _small("iris", "gated", 15, 0.05, loss="softmax")
    yield _small("iris", "relu", 6, 0.1, loss="softmax")
    yield _small("wine", "gated", 10, 0.1, loss="softmax")
    yield _small("wine", "gated", 20, 0.1, penalty="nuclear")
    yield _small("iris", "gated", 20, 0.1, penalty="feature_group_l1")
    yield _small("iris", "gated", 20, 0.1, penalty="l1")
    yield _small("wine", "relu", 8, 1e-3, penalty="squared_l2", absolute=True)
    for data in ("sonar", "ionosphere", "heart", "monk-2"):
        yield _small(data, "gated", 20, 0.1)
        yield _small(data, "relu", 6, 0.1)
    yield _small("heart", "gated", 20, 0.1, loss="logistic")
    yield _small("heart", "relu", 8, 0.1, loss="logistic")
    yield _small("hayes-roth", "relu", 10, 0.1, loss="softmax")


def _small_synthetic() -> Iterator[Instance]:
    for published in ("", "_published"):
        yield _small(f"paper_100x10{published}", "gated", 40, 0.1)
        yield _small(f"paper_100x10{published}", "relu", 10, 0.1)
    for data in ("duplicates", "opposites", "wide", "collinear", "ill_conditioned", "badly_scaled"):
        yield _small(data, "gated", 30, 0.05)
        yield _small(data, "relu", 10, 0.05)
    yield _small("one_feature", "relu", 100, 1e-3)
    yield _small("spiked", "relu", 10, 1e-3)
    yield _small("outliers", "relu", 10, 0.01, loss="huber")
    yield _small("collinear", "relu", 10, 1e-5)
    yield _small("paper_100x10", "relu", 10, 1e-6)
    yield _small("duplicates", "gated", 30, 1e-5)
    yield _small("unbalanced", "gated", 20, 0.05, loss="logistic")
    yield _small("unbalanced", "relu", 8, 0.05, loss="logistic")
    yield _small("separable", "gated", 20, 1e-3, loss="logistic")


def _medium_sized() -> Iterator[Instance]:
    yield _medium("breast_cancer", "gated", 500, 1e-3, absolute=True)
    yield _medium("breast_cancer", "relu", 50, 1e-3, absolute=True)
    yield _medium("breast_cancer", "relu", 200, 0.01)
    yield _medium("ionosphere", "gated", 500, 0.01)
    yield _medium("ionosphere", "relu", 50, 0.01)
    yield _medium("sonar", "gated", 500, 0.003)
    yield _medium("spambase", "gated", 500, 5e-4, absolute=True)
    yield _medium("spambase", "relu", 50, 0.1, rows=1000)
    yield _medium("pima", "gated", 300, 0.01, loss="logistic")
    yield _medium("pima", "relu", 50, 0.01, loss="huber")
    yield _medium("german", "relu", 40, 0.05, loss="logistic")
    yield _medium("vehicle", "gated", 100, 0.1, loss="softmax")
    yield _medium("phoneme", "gated", 300, 0.01)
    yield _medium("twonorm", "gated", 100, 0.1)
    yield _medium("segment", "gated", 200, 0.03)
    yield _medium("digits", "gated", 200, 0.1, gates="convolutional", raw=True)
    yield _medium("digits", "relu", 20, 0.1)
    yield _medium("tic-tac-toe", "relu", 50, 0.05)
    yield _medium("splice", "gated", 50, 0.1, gates="sparse")
    yield _medium("paper_250x50", "gated", 1000, 0.01)
    yield _medium("paper_250x50", "relu", 50, 0.05)
    yield _medium("paper_250x50_published", "relu", 50, 0.05)
    yield _medium("paper_1000x100", "gated", 300, 0.01)
    yield _medium("ill_conditioned", "gated", 1000, 1e-4)


def _large_sized() -> Iterator[Instance]:
    yield _large("vehicle", "gated", 200, 0.01, loss="softmax")
    yield _large("spambase", "relu", 200, 0.01)
    yield _large("magic", "gated", 1000, 0.01)
    yield _large("magic", "relu", 100, 0.01)
    yield _large("letter", "gated", 200, 0.1)
    yield _large("optdigits", "gated", 500, 0.03)
    yield _large("optdigits", "gated", 200, 0.1, loss="softmax")
    yield _large("mushroom", "relu", 100, 0.1, loss="logistic")
    yield _large("satimage", "relu", 100, 0.1)


CATALOGUE = (*_small_real(), *_small_synthetic(), *_medium_sized(), *_large_sized())
_openml = partial(Instance, size="medium", kind="gated", n_gates=200, strength=0.01)
ONLINE = (
    _openml("openml_banknote"),
    _openml("openml_blood"),
    _openml("openml_qsar"),
    _openml("openml_wdbc"),
    _openml("openml_kc1", loss="logistic"),
    _openml("openml_eeg"),
)


def select(names: Sequence[str]) -> list[Instance]:
    """Return the instances of the given sizes, names or glob patterns, each once, in the order of the catalogue.

    Parameters
    ----------
    names : sequence of str
        "small", "medium", "large", names such as "wine/relu/squared/P8/0.1", or glob patterns such as "wine/*".
        Instances of `ONLINE`, whose data must be downloaded, are selected by name or pattern only.

    Raises
    ------
    ValueError
        If a name matches no instance.
    """
    chosen = set()
    for name in names:
        found = [each for each in CATALOGUE if each.size == name]
        found += [each for each in CATALOGUE + ONLINE if fnmatchcase(each.name, name)]
        if not found:
            raise ValueError(
                f"there is no instance {name!r}; choose from the sizes {', '.join(get_args(Size))}, names, or patterns "
                "such as 'wine/*' ('python -m reference instances' lists them)"
            )
        chosen |= {each.name for each in found}
    return [each for each in CATALOGUE + ONLINE if each.name in chosen]
