"""``kctl auth``: reviews that the api-server answers with the caller's own rights."""

from __future__ import annotations

import pytest

from kubelab.apimachinery import scheme
from tests.unit.kctl.conftest import Shell


@pytest.fixture(autouse=True)
def roles(shell: Shell) -> None:
    shell.server.add_default_roles()


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


def test_create_token_and_use_it(shell: Shell) -> None:
    made = shell("create", "token", "default", "--duration=20m")
    assert (made.code, made.stderr) == (0, "")
    token = made.stdout.strip()
    assert token.count(".") == 2
    asked = shell.server.calls_of("create", scheme.SERVICE_ACCOUNTS)[-1]
    assert (asked.name, asked.subresource) == ("default", "token")
    assert "system:serviceaccount:default:default" in shell("auth", "whoami", f"--token={token}").stdout
    refused = shell("get", "pods", f"--token={token}")
    assert refused.stderr == (
        'Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:default:default" cannot list '
        'resource "pods" in API group "" in the namespace "default"\n'
    )
    assert shell("get", "pods", "--token=x").stderr == "error: You must be logged in to the server (Unauthorized)\n"
    whole = shell("create", "token", "default", "-o", "yaml").stdout
    assert whole.startswith("apiVersion: authentication.k8s.io/v1\nkind: TokenRequest\n")
    assert shell("create", "token", "nobody").stderr == (
        'error: failed to create token: serviceaccounts "nobody" not found\n'
    )


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--duration=-5s"], "--duration must be greater than or equal to 0"),
        (["--duration=1ms"], "--duration cannot be expressed in units less than seconds"),
        (["--bound-object-name=a"], "--bound-object-name can only be set if --bound-object-kind is provided"),
        (["--bound-object-uid=a"], "--bound-object-uid can only be set if --bound-object-kind is provided"),
        (["--bound-object-kind=Pod"], "--bound-object-name is required if --bound-object-kind is provided"),
        (
            ["--bound-object-kind=Foo", "--bound-object-name=a"],
            "supported --bound-object-kind values are Node, Pod, Secret",
        ),
    ],
)
def test_flags_of_create_token(shell: Shell, flags: list[str], error: str) -> None:
    refused = shell("create", "token", "default", *flags)
    assert (refused.code, refused.stderr) == (1, f"error: {error}\n")
    assert not shell.server.calls


def test_impersonation(shell: Shell) -> None:
    shown = shell("auth", "whoami", "--as=jane", "--as-group=dev", "--as-group=ops", "--as-uid=7").stdout
    assert shown == ("ATTRIBUTE   VALUE\nUsername    jane\nUID         7\nGroups      [dev ops system:authenticated]\n")
    assert 'User "jane" cannot list resource "pods"' in shell("get", "pods", "--as=jane").stderr
    assert shell("auth", "can-i", "list", "pods", "--as=jane").stdout == "no\n"
