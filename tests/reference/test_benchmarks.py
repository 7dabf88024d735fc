"""Benchmarks on data that comes with scikit-learn, and the parts that the ablation changes."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits

from reference.benchmarks import ablation, cones, growth, images, products
from reference.datasets.prepare import breast_cancer
from tests.helpers.needs import needs


@pytest.mark.parametrize("gates", ["dense", "convolutional"])
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_digits_are_learnt_and_certified(tmp_path, loss, gates):
    data = load_digits()
    path = tmp_path / "digits.npz"
    np.savez(path, X=(15.9 * data.data[:300]).astype(np.uint8), y=data.target[:300])
    plan = images.Plan(path, loss, gates, 10, 0.05, "auto", 1e-3, 1e4, 1)
    told = images.measure(plan)
    assert f"{loss}, {gates} gates: n = 240, d = 65" in told
    assert "WorkingSet: optimal" in told
    assert float(re.search(r"relative gap ([\d.e-]+)", told)[1]) <= 1e-3
    train, test = map(float, re.search(r"train ([\d.]+), test ([\d.]+)", told).groups())
    assert train > 0.7
    assert test > 0.6


@needs("matplotlib")
def test_growth_is_measured_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "load", lambda name, rows: tuple(part[:rows] for part in breast_cancer()))
    monkeypatch.setattr(growth, "_ROWS", 500)
    monkeypatch.setattr(growth, "_MOST_GATES", 60)
    monkeypatch.setattr(growth, "_GATES", 30)
    told = growth.measure(1, 1, tmp_path / "deep" / "growth.png")
    assert len(re.findall(r"power -?\d", told)) == 2
    assert len(re.findall(r"^ +[\d,]+ +[\d.]+ s$", told, re.MULTILINE)) == 2 * len(growth._SIZES)
    assert (tmp_path / "deep" / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("variants", ablation._VARIANTS.values(), ids=ablation._VARIANTS.keys())
def test_the_ablation_changes_parts_that_exist(variants):
    for changes in variants.values():
        for (module, name), value in changes.items():
            assert getattr(module, name) != value, (module.__name__, name)


def test_products_are_measured(monkeypatch):
    monkeypatch.setattr(products, "_SIDE", 20)
    told = products.measure([products.Shape(50, 3, 10, 2)], 1, 1)
    assert len(re.findall(r"50 x 3, P = 10, c = 2 +(?:[\d.]+ \( ?[\d.]+\) +){2}[\d.]+", told)) == 2
    assert products.packed_products.SMALLEST == 2e6


def test_projections_and_solves_with_many_cone_rows_are_measured():
    told = cones.measure(200, 4, 5, 1e-3, 1)
    assert len(re.findall(r"projections, +(?:128|1) together +[\d.]+ s cold", told)) == 2
    gaps = re.findall(r"solve at [\d.]+ lam_max +[\d.]+ s, gap ([\d.e-]+), \d+ blocks, violation 0, optimal", told)
    assert len(gaps) == 2
    assert max(map(float, gaps)) <= 1e-3
