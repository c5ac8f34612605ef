"""``kctl auth``: reviews that the api-server answers with the caller's own rights."""

from __future__ import annotations

import pytest

from tests.unit.kctl.conftest import Shell


def test_whoami(shell: Shell) -> None:
    assert shell("auth", "whoami").stdout == (
        "ATTRIBUTE   VALUE\nUsername    kubernetes-admin\nGroups      [system:authenticated system:masters]\n"
    )
    assert "username: kubernetes-admin\n" in shell("auth", "whoami", "-o", "yaml").stdout


@pytest.mark.parametrize(
    ("words", "code", "printed", "warned"),
    [
        ("create pods", 0, "yes\n", ""),
        ("get pod/web --subresource=log", 0, "yes\n", ""),
        ("* *", 0, "yes\n", ""),
        ("get /metrics", 0, "yes\n", ""),
        ("create po -q", 0, "", ""),
        ("get nodes", 0, "yes\n", "Warning: resource 'nodes' is not namespace scoped\n\n"),
        ("get nodes -A", 0, "yes\n", ""),
        ("eat pods", 0, "yes\n", "Warning: verb 'eat' is not a known verb\n\n"),
        ("get spoons", 0, "yes\n", "Warning: the server doesn't have a resource type 'spoons'\n"),
        ("get forks.d.io", 0, "yes\n", "Warning: the server doesn't have a resource type 'forks' in group 'd.io'\n"),
    ],
)
def test_can_i(shell: Shell, words: str, code: int, printed: str, warned: str) -> None:
    outcome = shell("auth", "can-i", *words.split())
    assert (outcome.code, outcome.stdout, outcome.stderr) == (code, printed, warned)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("", "error: you must specify two arguments: verb resource or verb resource/resourceName.\n"),
        ("get", "error: you must specify two arguments: verb resource or verb resource/resourceName.\n"),
        ("--list pods", "error: list option must be specified with no arguments\n"),
        ("get pods --no-headers", "error: --no-headers cannot be set without --list specified\n"),
        ("get /x --subresource=y", "error: --subresource can not be used with NonResourceURL\n"),
        ("--list -q", "error: list option can't be specified with neither quiet, all-namespaces nor subresource"),
    ],
)
def test_can_i_refuses(shell: Shell, words: str, error: str) -> None:
    outcome = shell("auth", "can-i", *words.split())
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(error)


def test_all_that_i_can(shell: Shell) -> None:
    listed = shell("auth", "can-i", "--list").stdout
    assert listed.startswith("""\
Resources                                       Non-Resource URLs   Resource Names   Verbs
*.*                                             []                  []               [*]
                                                [*]                 []               [*]
selfsubjectreviews.authentication.k8s.io        []                  []               [create]
selfsubjectaccessreviews.authorization.k8s.io   []                  []               [create]
selfsubjectrulesreviews.authorization.k8s.io    []                  []               [create]
""")
    assert shell("auth", "can-i", "--list", "--no-headers").stdout.count("\n") == listed.count("\n") - 1
