"""``kctl diff``: what it shows and how it ends."""

from __future__ import annotations

import re

import pytest

from kubelab.apimachinery import errors, scheme
from kubelab.kctl import diff
from tests.unit.kctl.conftest import Outcome, Shell

SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {x: one}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {same: eA==, changed: %s}
"""


def run(shell: Shell, text: str, *flags: str, command: str = "diff") -> Outcome:
    shell.stdin = text.encode()
    return shell(command, "-f", "-", *flags)


def test_no_difference(shell: Shell) -> None:
    run(shell, SETTINGS, command="apply")
    assert run(shell, SETTINGS) == Outcome(0, "", "")


@pytest.mark.parametrize("flags", [(), ("--server-side", "--force-conflicts")])
def test_a_changed_object(shell: Shell, flags: tuple[str, ...]) -> None:
    run(shell, SETTINGS, command="apply")
    found = run(shell, SETTINGS.replace("one", "two"), *flags)
    assert (found.code, found.stderr) == (1, "")
    lines = found.stdout.splitlines()
    name = r"/v1\.ConfigMap\.default\.a"
    assert re.fullmatch(rf"diff -u -N \S+/LIVE-\w+{name} \S+/MERGED-\w+{name}", lines[0])
    assert [line for line in lines[3:] if line.startswith(("-", "+"))] == ["-  x: one", "+  x: two"]
    stored = shell.server.get(scheme.CONFIG_MAPS, "default/a")
    assert stored is not None
    assert stored.data["x"] == "one"


def test_a_new_object(shell: Shell) -> None:
    found = run(shell, SETTINGS)
    assert found.code == 1
    assert "+apiVersion: v1\n+data:\n+  x: one\n+kind: ConfigMap\n" in found.stdout
    assert shell.server.get(scheme.CONFIG_MAPS, "default/a") is None


def test_a_secret_is_masked(shell: Shell) -> None:
    run(shell, SECRET % "b25l", command="create")
    found = run(shell, SECRET % "dHdv")
    assert "-  changed: '*** (before)'\n+  changed: '*** (after)'\n" in found.stdout
    assert "same: '***'" in found.stdout
    assert "b25l" not in found.stdout


def test_another_program(shell: Shell) -> None:
    shell.environ = {"KUBECTL_EXTERNAL_DIFF": "diff -r -N --brief"}
    found = run(shell, SETTINGS)
    assert found.code == 1
    assert re.fullmatch(r"Files \S+ and \S+ differ\n", found.stdout)
    shell.environ = {"KUBECTL_EXTERNAL_DIFF": "/nonexistent/diff"}
    found = run(shell, SETTINGS)
    assert (found.code, found.stderr) == (2, 'error: failed to run "/nonexistent/diff": no such file or directory\n')
    assert diff.command({"KUBECTL_EXTERNAL_DIFF": "d -a ;rm b=c"}, ["x", "y"]) == ["d", "-a", "b=c", "x", "y"]


def test_what_goes_wrong_is_no_difference(shell: Shell) -> None:
    refused = shell("diff")
    assert (refused.code, refused.stderr) == (2, "error: must specify one of -f and -k\n")
    broken = run(shell, "a: [")
    assert broken.code == 2
    assert broken.stderr.startswith("error: error parsing STDIN: ")
    run(shell, SETTINGS, command="apply")
    shell.server.fail(errors.forbidden("configmaps", "a", "no"), verb="patch")
    forbidden = run(shell, SETTINGS.replace("one", "two"))
    assert (forbidden.code, forbidden.stdout) == (2, "")
    assert forbidden.stderr == 'Error from server (Forbidden): configmaps "a" is forbidden: no\n'


def test_an_object_that_changes_meanwhile_is_read_again(shell: Shell) -> None:
    run(shell, SETTINGS, command="apply")
    shell.server.fail(errors.conflict("configmaps", "a", "changed"), verb="patch", times=2)
    assert run(shell, SETTINGS.replace("one", "two")).code == 1
