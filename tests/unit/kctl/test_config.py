"""``kctl config`` against what kubectl 1.32 prints, and what it leaves in the file (golden/config.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubelab.client.kubeconfig import Kubeconfig
from tests.unit.kctl.conftest import GOLDEN, Shell

CASES: list[dict[str, Any]] = json.loads((GOLDEN / "config.json").read_text())
BEFORE = (GOLDEN / "kubeconfig.yaml").read_text()


def raw(shell: Shell) -> dict[str, Any]:
    return json.loads(shell("config", "view", "--raw", "-o", "json").stdout)


@pytest.fixture
def file(shell: Shell) -> Path:
    shell.kubeconfig.write_text(BEFORE)
    return shell.kubeconfig


@pytest.mark.parametrize("case", CASES, ids=[case["line"] for case in CASES])
def test_as_kubectl(shell: Shell, file: Path, case: dict[str, Any]) -> None:
    before = raw(shell)
    typed = shell("config", *case["line"].split(" "))
    expected = (case["code"], case["stdout"].replace("FILE", str(file)), case["stderr"].replace("FILE", str(file)))
    assert (typed.code, typed.stdout, "\n".join(_errors(typed.stderr))) == expected
    assert raw(shell) == case.get("after", before)
    assert oct(file.stat().st_mode & 0o777) == "0o600" or "after" not in case


def _errors(text: str) -> list[str]:
    """Leave out the hint below an error: kubectl prints the whole help there."""
    return [line for line in text.splitlines() if line.startswith(("error:", "warning:"))]


def test_without_a_file(shell: Shell) -> None:
    shell.kubeconfig.unlink()
    assert shell("config", "view").stdout == (
        'apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: ""\nkind: Config\npreferences: {}\n'
        "users: null\n"
    )
    assert shell("config", "get-contexts").stdout == "CURRENT   NAME   CLUSTER   AUTHINFO   NAMESPACE\n"
    assert shell("config", "current-context").stderr == "error: current-context is not set\n"
    assert shell("config", "set-context", "x", "--user=y").stdout == 'Context "x" created.\n'
    assert Kubeconfig.load(shell.kubeconfig).contexts()[0].user == "y"


def test_entries_are_changed_where_they_stand(shell: Shell, file: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.write_text(BEFORE.replace("name: a", "name: other").replace("n1", "n2"))
    shell.environ["KUBECONFIG"] = f"{tmp_path / 'missing'}:{file}:{second}"
    shell("config", "set-context", "other", "--namespace=there")
    shell("config", "set-context", "new", "--namespace=here")
    assert [row.namespace for row in Kubeconfig.load(second).contexts() if row.name == "other"] == ["there"]
    assert "new" in Kubeconfig.load(file).names("contexts")
    assert "new" not in Kubeconfig.load(second).names("contexts")
    shell("config", "rename-context", "a", "z")
    assert Kubeconfig.load(file).current_context == "z"
    shell("config", "delete-context", "other")
    assert "other" not in Kubeconfig.load(second).names("contexts")


def test_flatten_takes_files_in(shell: Shell, file: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA\n")
    flat = json.loads(shell("config", "view", "--flatten", "-o", "json").stdout)
    assert flat["clusters"][1]["cluster"]["certificate-authority-data"] == "Q0EK"
    assert flat["users"][1]["user"]["token"] == "abc"
    (tmp_path / "ca.crt").unlink()
    missing = f"error: open {tmp_path / 'ca.crt'}: no such file or directory\n"
    assert shell("config", "view", "--flatten").stderr == missing
