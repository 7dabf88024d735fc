"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

from tests.helpers.needs import needs

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
FIRST, EXPORTS = SNIPPETS[0], [snippet for snippet in SNIPPETS if "onnx" in snippet]


def run(snippets):
    namespace: dict = {}
    for snippet in snippets:
        exec(snippet, namespace)
    return namespace


def test_readme_snippets_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(SNIPPETS) == 6
    assert len(EXPORTS) == 1
    namespace = run(snippet for snippet in SNIPPETS if snippet not in EXPORTS)
    certificate = namespace["solution"].certificate
    assert certificate.rel_gap <= 1e-6
    assert namespace["network"].objective(namespace["X"], namespace["y"], lam=0.01) == pytest.approx(certificate.upper)
    assert namespace["model"].certificate_.rel_gap <= namespace["model"].tol
    assert namespace["weights"][0][0, :, 0].min() >= -1e-7
    assert namespace["best"].status == "optimal"
    assert namespace["best"].objective < certificate.lower
    lines = capsys.readouterr().out.splitlines()
    gaps = [float(line.split()[1]) for line in lines if re.fullmatch(r"0\.(1|03|01) \S+", line)]
    assert len(gaps) == 3
    assert max(gaps) <= 1e-4


@needs("onnx")
def test_what_the_readme_exports_is_the_network_rounded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = run([FIRST, *EXPORTS])
    exported, network = namespace["exported"].predict(namespace["X"]), namespace["network"].predict(namespace["X"])
    assert exported == pytest.approx(network, abs=1e-5)
    assert (tmp_path / "network.npz").stat().st_size > 0
