"""``kctl apply view-last-applied | set-last-applied | edit-last-applied`` and ``kctl diff --prune``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubelab.apimachinery import scheme
from kubelab.kctl.apply.lastapplied import ANNOTATION
from tests.unit.kctl.conftest import Shell
from tests.unit.kctl.test_edit import Typist, typist

__all__ = ["typist"]
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {x: %s}\n"
APPLIED = """\
apiVersion: v1
data:
  x: one
kind: ConfigMap
metadata:
  annotations: {}
  name: a
  namespace: default
"""


@pytest.fixture
def applied(shell: Shell) -> Shell:
    shell.stdin = (SETTINGS % ("a", "one")).encode()
    assert shell("apply", "-f", "-").code == 0
    return shell


def annotation(shell: Shell, name: str = "a") -> dict[str, object]:
    obj = shell.server.get(scheme.CONFIG_MAPS, f"default/{name}")
    assert obj is not None
    return json.loads(obj.metadata.annotations[ANNOTATION])


def test_view(applied: Shell) -> None:
    assert applied("apply", "view-last-applied", "configmap/a").stdout == APPLIED
    assert json.loads(applied("apply", "view-last-applied", "-f", "-", "-o", "json").stdout) == annotation(applied)
    assert applied("apply", "view-last-applied", "cm", "--all").stdout == APPLIED
    refused = applied("apply", "view-last-applied", "cm", "a", "-o", "wide")
    assert refused.stderr.startswith(
        "error: Unexpected -o output mode: wide, the flag 'output' must be one of yaml|json\n"
    )
    applied("create", "configmap", "b")
    refused = applied("apply", "view-last-applied", "cm/b")
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr == "error: no last-applied-configuration annotation found on resource: b\n"
    assert applied("apply", "foo").stderr.startswith("error: Unexpected args: [foo]\n")


def test_set(applied: Shell) -> None:
    assert applied("apply", "set-last-applied", "-f", "-").stdout == "set-last-applied a: no changes required.\n"
    applied.stdin = (SETTINGS % ("a", "two")).encode()
    dry = applied("apply", "set-last-applied", "-f", "-", "--dry-run=client")
    assert dry.stdout == "configmap/a configured (dry run)\n"
    assert annotation(applied)["data"] == {"x": "one"}
    assert applied("apply", "set-last-applied", "-f", "-").stdout == "configmap/a configured\n"
    assert annotation(applied)["data"] == {"x": "two"}
    obj = applied.server.get(scheme.CONFIG_MAPS, "default/a")
    assert obj is not None
    assert obj.data["x"] == "one"


def test_set_creates_the_annotation_only_if_asked(shell: Shell) -> None:
    shell("create", "configmap", "a", "--from-literal=x=one")
    shell.stdin = (SETTINGS % ("a", "one")).encode()
    refused = shell("apply", "set-last-applied", "-f", "-")
    assert refused.stderr == (
        "error: no last-applied-configuration annotation found on resource: a, to create the annotation, run the "
        "command with --create-annotation\n"
    )
    assert shell("apply", "set-last-applied", "-f", "-", "--create-annotation").stdout == "configmap/a configured\n"
    assert annotation(shell)["data"] == {"x": "one"}
    assert shell("apply", "-f", "-").stdout == "configmap/a unchanged\n"


def test_edit(applied: Shell, typist: Typist) -> None:
    applied.environ["EDITOR"] = str(typist.program)
    typist.will("x: one=>x: two", "x: one=>x: one")
    assert applied("apply", "edit-last-applied", "cm/a").stdout == "configmap/a edited\n"
    assert typist.seen[0].startswith("# Please edit the 'last-applied-configuration' annotations below.\n")
    assert annotation(applied)["data"] == {"x": "two"}
    typist.will("", "x: two=>x: two")
    assert applied("apply", "edit-last-applied", "cm/a").stderr == "Edit cancelled, no changes made.\n"
    applied("create", "configmap", "b")
    assert "no last-applied-configuration annotation found on resources" in (
        applied("apply", "edit-last-applied", "cm/b").stderr
    )
    assert not typist.left


def test_diff_shows_what_pruning_deletes(applied: Shell, tmp_path: Path) -> None:
    applied.stdin = (SETTINGS % ("b", "two")).encode()
    assert applied("apply", "-f", "-").code == 0
    assert applied("diff", "-f", "-").code == 0
    found = applied("diff", "-f", "-", "--prune", "--prune-allowlist=core/v1/ConfigMap")
    assert found.code == 1
    assert "\n-  x: one\n" in found.stdout
    assert not [line for line in found.stdout.splitlines() if line.startswith("+ ")]
    assert applied.server.get(scheme.CONFIG_MAPS, "default/a") is not None
    assert applied("diff", "-f", "-", "--prune", "--prune-allowlist=core/v1/Secret").code == 0
