"""What a person gets wrong, and what they are told: kubectl's words on stderr, exit code 1, nothing created."""

from __future__ import annotations

import pytest

from tests.e2e.terminal import OWN_FILES, Terminal, eventually

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: NodePort
  selector:
    app: web
  ports:
  - port: 80
    nodePort: {port}
"""

CASES = {
    "unknown kind": ("kctl create -f -", POD.replace("Pod", "Pud"), 'no matches for kind "Pud" in version "v1"'),
    "unknown field": (
        "kctl create -f -",
        POD.replace("image:", "imagine:"),
        'unknown field "spec.containers[0].imagine"',
    ),
    "wrong type": ("kctl create -f -", POD + "    ports:\n    - containerPort: many\n", "containerPort"),
    "missing field": (
        "kctl create -f -",
        POD.replace("  name: web\n", "  labels: {a: b}\n"),
        "name or generateName is required",
    ),
    "empty file": ("kctl create -f -", "", "error: no objects passed to create"),
    "missing file": ("kctl create -f nothing.yml", "", 'the path "nothing.yml" does not exist'),
    "half-right file": ("kctl create -f -", POD + "---\n" + POD.replace("Pod", "Pud"), 'no matches for kind "Pud"'),
    "unknown flag": ("kctl get pods --nonsense", "", "error: unknown flag: --nonsense"),
    "unknown command": ("kctl grab pods", "", 'error: unknown command "grab" for "kctl"'),
    "unknown resource": ("kctl get gadgets", "", 'error: the server doesn\'t have a resource type "gadgets"'),
    "unknown namespace": (
        "kctl create -n nowhere -f -",
        POD,
        'Error from server (NotFound): error when creating "STDIN": namespaces "nowhere" not found',
    ),
    "bad name": (
        "kctl create -f -",
        POD.replace("name: web", "name: Web_1"),
        "a lowercase RFC 1123 subdomain must consist of",
    ),
    "node port out of range": ("kctl create -f -", SERVICE.format(port=80), "The range of valid ports is 30000-32767"),
    "bad selector": ("kctl get pods -l 'a in (b'", "", "unable to parse requirement"),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused(terminal: Terminal, case: str) -> None:
    command, stdin, told = CASES[case]
    refused = terminal.type(command, stdin=stdin, code=1)
    assert told in refused.stderr, str(refused)
    assert refused.stdout == ""
    assert terminal.type("kctl get pods").stderr == "No resources found in default namespace.\n"
    assert terminal.type("kctl get services --no-headers").rows[0][0] == "kubernetes"


def test_all_errors_of_an_object_at_once(terminal: Terminal) -> None:
    wrong = POD.replace("name: app", "name: App").replace("image: kubelab/hello:v-1.0.0", 'image: ""')
    refused = terminal.type("kctl create -f -", stdin=wrong, code=1).stderr
    assert "spec.containers[0].name: Invalid value" in refused
    assert "spec.containers[0].image: Required value" in refused


def test_a_file_and_a_line_are_named(terminal: Terminal) -> None:
    (terminal.folder / "wrong.yml").write_text(POD.replace("image:", "imagine:"))
    refused = terminal.type("kctl create -f wrong.yml", code=1).stderr
    assert "wrong.yml" in refused
    assert "line 8" in refused or ":8" in refused


def test_taken_names_and_ports(terminal: Terminal) -> None:
    terminal.type("kctl create -f -", stdin=SERVICE.format(port=31000))
    again = terminal.type("kctl create -f -", stdin=SERVICE.format(port=31000), code=1)
    assert 'services "web" already exists' in again.stderr
    taken = terminal.type("kctl create -f -", stdin=SERVICE.format(port=31000).replace("web", "other"), code=1)
    assert "spec.ports[0].nodePort: Invalid value: 31000: provided port is already allocated" in taken.stderr
    terminal.type("kctl delete service web")


def test_an_image_that_does_not_exist(terminal: Terminal) -> None:
    terminal.type("kctl run lost --image=localhost:1/nobody/nothing:v1")

    def waiting() -> bool:
        return terminal.type("kctl get pod lost").rows[1][2] in ("ErrImagePull", "ImagePullBackOff")

    eventually(waiting)
    assert "Failed to pull image" in terminal.type("kctl describe pod lost").stdout
    terminal.type("kctl delete pod lost")


def test_a_container_that_ends_is_started_again_ever_later(terminal: Terminal) -> None:
    terminal.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    terminal.type("kctl run ends --image=kubelab/hello:v-1.0.0 --command -- /bin/sh -c 'echo over; exit 3'")
    eventually(lambda: terminal.type("kctl get pod ends").rows[1][2] == "CrashLoopBackOff")
    described = terminal.type("kctl describe pod ends").stdout
    assert "Exit Code:    3" in described
    assert terminal.type("kctl logs ends").stdout == "over\n"
    terminal.type("kctl delete pod ends")
