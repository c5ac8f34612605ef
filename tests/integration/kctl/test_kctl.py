"""kctl as people type it, a process of its own, against a real api-server on a real etcd."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from kubelab.client.kubeconfig import Kubeconfig
from tests.support.etcd import Etcd
from tests.support.pki import Files, TestAuthority

SECONDS = 60.0
KCTL = [sys.executable, "-m", "kubelab.kctl"]
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
"""


@dataclass(frozen=True)
class Terminal:
    """Types one command line and waits for its end."""

    environ: dict[str, str]

    def __call__(self, line: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*KCTL, *line.split()],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def pem(files: Files) -> dict[str, str]:
    return {"ca": str(files.ca), "certificate": str(files.certificate), "key": str(files.key)}


@pytest.fixture
def terminal(etcd_server: Etcd, authority: TestAuthority, tmp_path: Path) -> Iterator[Terminal]:
    """An api-server on a free port, and the administrator's kubeconfig."""
    serving = pem(authority.issue("kube-apiserver"))
    held = socket.socket()  # bound, not listening: keeps the port from others, and the api-server shares it
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{held.getsockname()[1]}"
    config = {
        "name": "api-server@cp-1",
        "bindAddress": address,
        "httpBindAddress": "",
        "workers": 2,  # so that they share the port
        "tls": serving,
        "kubeletClient": serving,
        "etcd": {"servers": [etcd_server.address], "tls": pem(etcd_server.client)},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-u", "-m", "kubelab.apiserver", "--config", str(tmp_path / "config.yaml")]
    with held, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            assert any("serving" in line for line in server.stdout), "the api-server ended"
            admin = authority.issue("kubernetes-admin", "system:masters")
            kubeconfig = Kubeconfig()
            kubeconfig.set_cluster(
                "test",
                server=f"https://{address}",
                ca=admin.ca.read_bytes(),
                certificate=admin.certificate.read_bytes(),
                key=admin.key.read_bytes(),
            )
            kubeconfig.write(tmp_path / "kubeconfig")
            yield Terminal({**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")})
        finally:
            server.terminate()


def test_a_session(terminal: Terminal) -> None:
    assert terminal("get pods").stderr == "No resources found in default namespace.\n"
    assert terminal("create -f -", POD).stdout == "pod/web created\n"
    again = terminal("create -f -", POD)
    told = 'Error from server (AlreadyExists): error when creating "STDIN": pods "web" already exists\n'
    assert (again.returncode, again.stdout, again.stderr) == (1, "", told)
    lines = [line.split() for line in terminal("get po -l=app=web --show-labels").stdout.splitlines()]
    assert lines[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "LABELS"]
    assert (lines[1][:4], lines[1][-1]) == (["web", "0/1", "Pending", "0"], "app=web")
    printed = yaml.safe_load(terminal("get pod web -o yaml").stdout)
    assert (printed["kind"], printed["status"]["phase"]) == ("Pod", "Pending")
    assert re.match(r"Name: +web\nNamespace: +default\n", terminal("describe pod web").stdout)
    assert terminal("create service nodeport web --tcp=80:8080").stdout == "service/web created\n"
    tables = terminal("get all").stdout.split("\n\n")
    assert [table.split()[0] for table in tables] == ["NAME"] * 2
    deleted = terminal("delete pod/web service/web")
    assert (deleted.returncode, deleted.stdout) == (0, 'pod "web" deleted\nservice "web" deleted\n')
    gone = terminal("get pod web")
    assert (gone.returncode, gone.stderr) == (1, 'Error from server (NotFound): pods "web" not found\n')


@pytest.mark.parametrize(
    ("line", "stdin", "told"),
    [
        ("create -f -", POD.replace("Pod", "Pud"), 'no matches for kind "Pud" in version "v1"'),
        ("create -f -", POD.replace("image:", "imagine:"), 'STDIN:9: unknown field "spec.containers[0].imagine"'),
        ("create -f -", POD.replace("name: web", "name: Web_1"), 'The Pod "Web_1" is invalid: metadata.name: Invalid'),
        ("create -n nowhere -f -", POD, 'error when creating "STDIN": namespaces "nowhere" not found'),
        ("get pods -l a=(b", "", 'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match'),
        ("delete ns default", "", 'Error from server (Forbidden): namespaces "default" is forbidden'),
        ("-s https://127.0.0.1:1 get pods", "", "The connection to the server 127.0.0.1:1 was refused"),
        ("-s https://127.0.0.1:99999 get pods", "", 'error: host must be a URL or a host:port pair: "https://127'),
        ("-s https://nobody.invalid get pods", "", "Unable to connect to the server: dial tcp: lookup nobody.invalid"),
        ("--context nope get pods", "", 'error: context "nope" does not exist'),
    ],
)
def test_refused(terminal: Terminal, line: str, stdin: str, told: str) -> None:
    refused = terminal(line, stdin)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_server_that_is_not_trusted_is_told_in_one_line(terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "stranger"
    folder.mkdir()
    stranger = TestAuthority(folder)
    config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(stranger.ca.read_bytes()).decode()
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    refused = terminal(f"--kubeconfig {folder / 'kubeconfig'} get pods")
    told = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"Unable to connect to the server: {told}\n"


def test_a_watch_ends_quietly_with_ctrl_c(terminal: Terminal) -> None:
    command = [*KCTL, "get", "pods", "-w"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=terminal.environ, stdout=pipe, stderr=pipe, text=True) as watch:
        assert terminal("create -f -", POD).returncode == 0
        assert watch.stdout is not None
        assert watch.stdout.readline().split()[0] == "NAME"
        assert watch.stdout.readline().split()[0] == "web"
        watch.send_signal(signal.SIGINT)
        _, stderr = watch.communicate(timeout=SECONDS)
    assert (watch.returncode, stderr) == (130, "")


RC = """\
apiVersion: v1
kind: ReplicationController
metadata: {name: web}
spec:
  replicas: 0
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: node, image: "node:1", ports: [{containerPort: 8080}]}]}
"""


def test_a_session_of_changes(terminal: Terminal) -> None:
    """Every command that changes objects, one after the other, against the same server."""

    def says(line: str, expected: str, stdin: str = "") -> None:
        typed = terminal(line, stdin)
        assert (typed.returncode, typed.stdout, typed.stderr) == (0, expected, ""), line

    says("apply -f -", "replicationcontroller/web created\n", RC)
    says("apply -f -", "replicationcontroller/web unchanged\n", RC)
    changed = RC.replace("node:1", "node:2")
    different = terminal("diff -f -", changed)
    assert (different.returncode, different.stderr) == (1, "")
    assert [line.strip() for line in different.stdout.splitlines() if line[:2] in ("- ", "+ ")] == [
        "-  generation: 1",
        "+  generation: 2",
        "-      - image: node:1",
        "+      - image: node:2",
    ]
    says("apply -f -", "replicationcontroller/web configured\n", changed)
    assert terminal("diff -f -", changed).returncode == 0
    says("label rc web tier=front", "replicationcontroller/web labeled\n")
    says("annotate rc/web note=x", "replicationcontroller/web annotated\n")
    says("set image rc/web node=node:3", "replicationcontroller/web image updated\n")
    says("set env rc/web A=1", "replicationcontroller/web env updated\n")
    says('patch rc web -p {"spec":{"minReadySeconds":3}}', "replicationcontroller/web patched\n")
    says("expose rc web --port=80 --target-port=8080", "service/web exposed\n")
    terminal.environ["KUBE_EDITOR"] = "sed -i s/node:3/node:4/"
    says("edit rc web", "replicationcontroller/web edited\n")
    printed = yaml.safe_load(terminal("get rc web -o yaml").stdout)
    assert (printed["metadata"]["labels"]["tier"], printed["spec"]["minReadySeconds"]) == ("front", 3)
    [container] = printed["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("node:4", [{"name": "A", "value": "1"}])
    says("replace -f -", "replicationcontroller/web replaced\n", RC)
    says("apply --server-side --force-conflicts -f -", "replicationcontroller/web serverside-applied\n", RC)
    dry = "service/web configured (server dry run)\n"
    service = terminal("get svc web -o yaml").stdout
    applied = terminal("apply --dry-run=server -f -", service)
    assert (applied.returncode, applied.stdout) == (0, dry)
