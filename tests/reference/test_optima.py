"""The stored optimal values: their accuracy, a sample solved again, and forgeries."""

from dataclasses import replace

import pytest

from reference.datasets.real import SCIKIT_LEARN
from reference.datasets.synthetic import SYNTHETIC
from reference.instances import CATALOGUE, optima, select
from tests.helpers.needs import needs_keel

STORED = optima.read()
EASY = "wide/relu/squared/P10/0.05"


def test_every_instance_has_one():
    assert set(STORED) == {each.name for each in CATALOGUE}
    assert all(STORED[each.name].version == each.version for each in CATALOGUE)


@pytest.mark.parametrize("instance", [each for each in CATALOGUE if each.size != "large"], ids=lambda each: each.name)
def test_the_gap_is_small_and_solvers_agree(instance):
    optimum = STORED[instance.name]
    assert 0.0 < optimum.lower <= optimum.upper
    assert optimum.rel_gap <= optima.MAX_GAP
    for evidence in optimum.evidence.values():
        assert evidence.lower <= optimum.lower
        assert evidence.upper >= optimum.upper
    if instance.size == "small":
        assert len(optimum.agreeing) >= optima.N_AGREEING


def test_a_sample_is_reproduced():
    here = [each.name for each in CATALOGUE if each.size == "small" and each.data in (*SCIKIT_LEARN, *SYNTHETIC)]
    assert optima.check(select(here), optima.FILE, sample=12, seed=0, n_jobs=1) == (
        f"12 of {len(here)} stored optima reproduced"
    )


@pytest.mark.slow
@needs_keel
def test_all_small_ones_are_reproduced():
    chosen = select(["small"])
    assert optima.check(chosen, optima.FILE, None, 0, 2) == f"{len(chosen)} of {len(chosen)} stored optima reproduced"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sha256": "0" * 64}, "fingerprint differs"),
        ({"version": 0}, "version 0"),
        ({"lam": 1.0}, "lam = 1.0"),
        ({"lower": 1.0, "upper": 1.1}, "does not intersect the stored"),
        ({"lower": 1e-4, "upper": 2e-4}, "does not intersect the stored"),
    ],
)
def test_forgeries_are_found(tmp_path, change, words):
    forged = tmp_path / "optima.json"
    optima._write(forged, {EASY: replace(STORED[EASY], **change)})
    with pytest.raises(SystemExit, match=words):
        optima.check(select([EASY]), forged, None, 0, 1)


def test_built_and_resumed(tmp_path, monkeypatch):
    out = tmp_path / "optima.json"
    text = optima.build(select([EASY]), out, n_jobs=1)
    found = optima.read(out)[EASY]
    assert found.sha256 == STORED[EASY].sha256
    assert found.lower == pytest.approx(STORED[EASY].lower, rel=1e-8)
    assert len(found.agreeing) == optima.N_AGREEING
    assert "1 instances, 1 with a relative gap of at most 1e-08" in text
    monkeypatch.setattr(optima, "find", None)  # nothing is left to solve
    optima.build(select([EASY]), out, n_jobs=1)
    with pytest.raises(SystemExit, match="wide/gated/squared/P30/0.05: is not stored"):
        optima.check(select(["wide/gated*"]), out, None, 0, 1)
