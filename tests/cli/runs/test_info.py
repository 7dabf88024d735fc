from tests.helpers.command import invoke, invoke_json


def test_optional_packages_may_be_missing(monkeypatch):
    from importlib import metadata

    def version(name, known=metadata.version):
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr("cvxrelu.cli.runs.info.metadata.version", version)
    assert invoke_json("info")["optional"]["torch"] is None
    assert "torch not installed (optional" in " ".join(invoke("info").stdout.split())
