"""``kctl logs``, ``version``, ``api-resources``, ``cluster-info``, ``config`` and help."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.kctl.logs import _Lines
from kubelab.kctl.root import ROOT
from tests.support import objects as make
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell


def two_containers() -> core_pb2.Pod:
    pod = make_pod("two")
    del pod.spec.containers[:]
    pod.spec.containers.add(name="node")
    pod.spec.containers.add(name="flask")
    return pod


def test_logs(shell: Shell) -> None:
    shell.server.add(make_pod("web"), two_containers())
    shell.server.logs = {("default", "web"): b"one\ntwo\n", ("default", "two"): b"no newline"}
    assert shell("logs", "web").stdout == "one\ntwo\n"
    assert shell("logs", "pod/web", "-f").stdout == "one\ntwo\n"
    several = shell("logs", "two")
    assert (several.stdout, several.stderr) == ("no newline", 'Defaulted container "node" out of: node, flask\n')
    chosen = shell("logs", "two", "-c", "flask", "--prefix")
    assert (chosen.stdout, chosen.stderr) == ("[pod/two/flask] no newline", "")
    assert shell("logs", "two", "-c", "nope").stderr == "error: container nope is not valid for pod two\n"
    told = 'error: error from server (NotFound): pods "nope" not found in namespace "default"\n'
    assert shell("logs", "nope").stderr == told
    told = "error: --all-containers=true should not be specified with container name flask\n"
    assert shell("logs", "two", "--all-containers", "-c", "flask").stderr == told
    assert shell("logs", "web", "--limit-bytes=-1").stderr == "error: --limit-bytes must be greater than 0\n"
    for name in ("", "pod/"):
        assert shell("logs", name).stderr == "error: resource name may not be empty\n"
    told = "error: you are attempting to follow 2 log streams, but maximum allowed concurrency is 1"
    assert shell("logs", "two", "-f", "--all-containers", "--max-log-requests=1").stderr.startswith(told)


def test_logs_of_a_controllers_pods(shell: Shell) -> None:
    shell.add(
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: rc, namespace: default}\n"
        "spec: {selector: {app: web}}"
    )
    for name in ("a", "b"):
        pod = make_pod(name)
        pod.metadata.labels["app"] = "web"
        shell.server.add(pod)
        shell.server.logs["default", name] = f"{name}\n".encode()
    first = shell("logs", "rc/rc")
    assert (first.stdout, first.stderr) == ("a\n", "Found 2 pods, using pod/a\n")
    shell.server.add(make.deployment(), make.replica_set("web-1", labels={"app": "web", "tier": "x"}))
    assert shell("logs", "deploy/web").stdout == "a\n"
    every = shell("logs", "rc/rc", "--all-pods")
    assert (every.stdout, every.stderr) == ("[pod/a/main] a\n[pod/b/main] b\n", "")
    assert "no pod of rs/web-1 is there" in shell("logs", "rs/web-1", "--pod-running-timeout=10ms").stderr
    assert "must be higher than zero" in shell("logs", "a", "--pod-running-timeout=0s").stderr
    shell.add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}")
    assert shell("logs", "cm/c").stderr == "error: cannot get the logs from configmaps: no pods belong to it\n"
    assert shell("logs", "-l", "app=web").stdout == "a\nb\n"
    assert shell("logs", "-l=app=web", "-f", "--prefix").stdout.splitlines() == ["[pod/a/main] a", "[pod/b/main] b"]
    assert shell("logs", "-l", "app=x").stderr == "No resources found in default namespace.\n"


def test_lines_do_not_tear(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = _Lines(b"> ")
    for chunk in (b"a", b"b\nc", b"\n\nd"):
        lines.write(chunk)
    lines.end()
    assert capfdbinary.readouterr().out == b"> ab\n> c\n> \n> d"


def test_version(shell: Shell) -> None:
    assert shell("version").stdout == f"Client Version: {GIT_VERSION}\nServer Version: {GIT_VERSION}\n"
    assert shell("version", "--client").stdout == f"Client Version: {GIT_VERSION}\n"


def test_api_resources(shell: Shell) -> None:
    lines = [line.split() for line in shell("api-resources").stdout.splitlines()]
    assert lines[0] == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["replicationcontrollers", "rc", "v1", "true", "ReplicationController"] in lines
    assert ["leases", "coordination.k8s.io/v1", "true", "Lease"] in lines
    cluster = [
        line.split() for line in shell("api-resources", "--namespaced=false", "--no-headers").stdout.splitlines()
    ]
    assert ["nodes", "no", "v1", "false", "Node"] in cluster
    assert all("false" in line for line in cluster)
    assert "leases.coordination.k8s.io\n" in shell("api-resources", "-o", "name").stdout
    of_all = shell("api-resources", "--categories=all", "-o", "name", "--cached").stdout.splitlines()
    assert {"pods", "services"} <= {*of_all}
    assert "nodes" not in of_all
    assert shell("api-resources", "-o", "wide", "--verbs=bind").stdout.split()[-2:] == ["VERBS", "CATEGORIES"]


def test_cluster_info(shell: Shell) -> None:
    assert shell("cluster-info").stdout == (
        "Kubernetes control plane is running at https://127.0.0.1:6443\n\n"
        "To further debug and diagnose cluster problems, use 'kctl cluster-info dump'.\n"
    )
    shell.server.add(make_pod("web"))
    dump = shell("cluster-info", "dump").stdout
    assert "==== START logs for container main of pod default/web ====\nFailed to get logs: " in dump


def test_config(shell: Shell) -> None:
    config = Kubeconfig.load(shell.kubeconfig)
    config.set_cluster("other", server="https://127.0.0.1:7443", ca=b"ca", certificate=b"c", key=b"secret")
    config.write()
    assert shell("config", "current-context").stdout == "other\n"
    assert shell("config", "use-context", "test").stdout == 'Switched to context "test".\n'
    assert shell("config", "get-contexts").stdout == (
        "CURRENT   NAME    CLUSTER   AUTHINFO   NAMESPACE\n"
        "          other   other     other      default\n"
        "*         test    test      test       default\n"
    )
    told = 'error: no context exists with the name: "nope"\n'
    assert shell("config", "use-context", "nope").stderr == told
    assert 'context "nope" does not exist' in shell("get", "pods", "--context=nope").stderr
    view = shell("config", "view").stdout
    assert "certificate-authority-data: DATA+OMITTED" in view
    assert "client-key-data: DATA+OMITTED" in view
    assert "c2VjcmV0" not in view  # "secret", in base64
    assert "c2VjcmV0" in shell("config", "view", "--raw").stdout


def test_without_a_cluster(shell: Shell, tmp_path: Path) -> None:
    nowhere = replace(shell, kubeconfig=tmp_path / "none")
    refused = nowhere("get", "pods")
    assert refused.code == 1
    assert str(tmp_path / "none") in refused.stderr
    assert "kubelab up" in refused.stderr
    nowhere.stdin = b"{apiVersion: v1, kind: Pod, metadata: {name: a}}"
    assert nowhere("create", "-f", "-", "--dry-run=client").stdout == "pod/a created (dry run)\n"
    assert nowhere("run", "a", "--image=b", "--dry-run=client").stdout == "pod/a created (dry run)\n"


def test_help_of_every_command(shell: Shell) -> None:
    typed = shell()
    assert (typed.code, typed.stdout) == (0, shell("--help").stdout)
    for entry in ROOT.children:
        command = entry.load()
        for words in ([entry.name], *([entry.name, child.name] for child in command.children)):
            told = shell(*words, "--help")
            assert told.code == 0
            assert f"Usage:\n  kctl {' '.join(words)}" in told.stdout or entry.hidden
            assert told.stdout == shell("help", *words).stdout or entry.hidden
    assert shell("help", "nonsense").code == 1
    assert "--kubeconfig=''" in shell("options").stdout


def test_commands_with_others_below_them(shell: Shell) -> None:
    for words in (["create", "service"], ["config"], ["create", "svc", "-n", "x"]):
        typed = shell(*words)
        assert (typed.code, typed.stdout, typed.stderr) == (1, "", shell(*words, "--help").stdout)


@pytest.mark.parametrize(
    ("line", "code", "stdout", "stderr"),
    [
        ("version --client 1>&-", 0, "", ""),
        ("version --client 2>&-", 0, f"Client Version: {GIT_VERSION}\n", ""),
        ("get gadgets 1>&-", 1, "", 'error: the server doesn\'t have a resource type "gadgets"\n'),
        ("get gadgets 2>&-", 1, "", ""),
        ("version --client >/dev/full", 1, "", "error: No space left on device\n"),
        ("create -f - --dry-run=client <&-", 1, "", "error: no objects passed to create\n"),
        ("get pods $(printf 'a\\377')", 1, "", "error: argument is not UTF-8 text: b'a\\xff'\n"),
    ],
)
def test_odd_streams_and_arguments(line: str, code: int, stdout: str, stderr: str, tmp_path: Path) -> None:
    typed = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m kubelab.kctl {line}"],
        env={**os.environ, "KUBECONFIG": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (typed.returncode, typed.stdout, typed.stderr) == (code, stdout, stderr)


def test_a_bug_is_told_in_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.server.logs = {("default", "web"): cast(Any, "not bytes")}
    shell.server.add(make_pod("web"))
    refused = shell("logs", "web")
    assert (refused.code, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("error: this is a bug in kctl, KUBELAB_TRACEBACK=1 shows where: TypeError: ")
    monkeypatch.setenv("KUBELAB_TRACEBACK", "1")
    with pytest.raises(TypeError):
        shell("logs", "web")


def test_unknown_commands(shell: Shell) -> None:
    assert shell("grab", "pods").stderr == 'error: unknown command "grab" for "kctl"\n'
    for line in ("grab -f x", "grab -f=x --all", "-n x grab pod p --port=1"):  # flags that kctl itself does not have
        assert shell(*line.split()).stderr == 'error: unknown command "grab" for "kctl"\n'
    assert 'unknown command "grab"' in shell("create", "service", "grab", "--tcp=1").stderr
    assert shell("gett").stderr == 'error: unknown command "gett" for "kctl"\n\nDid you mean this?\n\tset\n\tget\n'


def test_help_imports_neither_grpc_nor_protobuf() -> None:
    program = (
        "import sys; from kubelab.kctl.__main__ import main; main(['--help']);"
        "print(*sorted({'grpc', 'google.protobuf', 'yaml', 'asyncio', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr.strip() == ""


def test_reading_pods_imports_no_yaml_writer() -> None:
    program = (
        "import sys; import kubelab.kctl.get.retrieve, kubelab.kctl.get.command;"
        "print(*sorted({'rich', 'structlog', 'kubelab.apimachinery.manifest.encode'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == ""
