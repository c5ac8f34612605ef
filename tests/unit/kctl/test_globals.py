"""The flags that every command takes: whose access counts, what is shown of calls, and how long a watch lasts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubelab.client.kubeconfig import Kubeconfig
from kubelab.kctl.session import ConfigFlags, Factory, Session
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell


def session_of(file: Path, **flags: str) -> Session:
    from kubelab.kctl.flags import CommandLine

    return Session(Factory(), ConfigFlags(kubeconfig=str(file), **flags), CommandLine([], []), "kctl get")  # pyright: ignore[reportArgumentType]


def test_other_cluster_user_and_files(shell: Shell, tmp_path: Path) -> None:
    config = Kubeconfig.load(shell.kubeconfig)
    config.set_cluster(
        "two", server="https://127.0.0.1:7", ca=b"ca2", certificate=b"cert2", key=b"key2", make_current=False
    )
    config.write()
    (tmp_path / "key").write_bytes(b"key3")
    access = session_of(shell.kubeconfig, cluster="two").access
    assert (access.servers, access.ca, access.key, access.context) == (("127.0.0.1:7",), b"ca2", b"key", "test")
    assert session_of(shell.kubeconfig, user="two").access.certificate == b"cert2"
    access = session_of(shell.kubeconfig, client_key=str(tmp_path / "key"), tls_server_name="x").access
    assert (access.key, access.server_name) == (b"key3", "x")
    assert shell("get", "pods", "--cluster=no").stderr == 'error: cluster "no" does not exist\n'
    assert shell("get", "pods", "--user=no").stderr == 'error: auth info "no" does not exist\n'
    missing = shell("get", "pods", "--client-key=/no").stderr
    assert missing == "error: unable to read client-key /no: no such file or directory\n"


@pytest.mark.parametrize("flag", ["--username=x", "--password=x", "--profile=cpu"])
def test_what_grpc_cannot_have_is_refused(shell: Shell, flag: str) -> None:
    refused = shell("get", "pods", flag)
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"error: {flag.partition('=')[0]} is not supported: kctl talks gRPC")
    assert not shell.server.calls


def test_verbosity(shell: Shell) -> None:
    shell.server.add(make_pod("web"))
    assert shell("get", "pods", "-v=5").stderr == ""
    lines = shell("get", "pods", "-v=6").stderr.splitlines()
    assert re.fullmatch(r"I\d{4} [\d:.]{15} +\d+ kctl\] Config loaded from file:  .*/kubeconfig", lines[0])
    assert re.search(r"Resources/List pods namespace=default OK in \d+ milliseconds$", lines[1]), lines
    assert len(lines) == 2
    assert "Request options: " in shell("get", "pods", "-v=7", "-l", "a=b").stderr
    assert re.search(r'Response Body: .*name: "web"', shell("get", "pods", "--v=8").stderr)
    failed = shell("get", "pod", "nope", "-v=6").stderr
    assert "Resources/Get pods namespace=default name=nope NotFound in " in failed
    assert "BEGIN" not in shell("get", "pods", "-v=9").stderr


def test_a_request_timeout_ends_a_watch(shell: Shell) -> None:
    shell.server.add(make_pod("web"))
    watched = shell("get", "pods", "-w", "--request-timeout=0.2s", "--no-headers")
    assert (watched.code, watched.stderr) == (0, "")
    assert watched.stdout.startswith("web")
    assert shell("get", "pods", "-w", "--request-timeout=x").stderr.startswith("error: Invalid timeout value.")


def test_server_version_must_match(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell("get", "pods", "--match-server-version").code == 0
    monkeypatch.setattr("kubelab.apimachinery.version.GIT_VERSION", "v1.31.0")
    refused = shell("get", "pods", "--match-server-version").stderr
    assert refused.startswith("error: server version (v1.3")


def test_every_command_prints_its_flags(shell: Shell) -> None:
    printed = shell("options").stdout
    for flag in ("--as=''", "-n, --namespace=''", "-v, --v=0", "--warnings-as-errors=false", "--cache-dir=''"):
        assert f"    {flag}:\n" in printed
