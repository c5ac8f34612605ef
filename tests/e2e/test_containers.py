"""The chapter on containers: two of them in one pod, behind a service with two named ports."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.e2e.terminal import OWN_FILES, Terminal, eventually, fetch, try_fetch


@pytest.fixture(scope="module", autouse=True)
def images(terminal: Terminal) -> None:
    (terminal.folder / "assets").symlink_to(OWN_FILES)
    terminal.type("kubelab image build -t kubelab/hello:v-1.0.0 assets/00000")
    terminal.type("kubelab image build -t kubelab/hello:v-1.0.1 assets/00001/00005")


@pytest.fixture(scope="module")
def app_server(terminal: Terminal, images: None) -> list[list[str]]:
    """The chapter's service and its pod, and the pod's row once it runs."""
    assert terminal.type("kctl create -f assets/00001/00004.yml").stdout == "service/app-service created\n"
    assert terminal.type("kctl create -f assets/00001/00005/00005.yml").stdout == "pod/app-server created\n"
    return terminal.running("app=app-server", 1)


def test_two_containers_share_one_network(terminal: Terminal, app_server: list[list[str]]) -> None:
    assert app_server[0][:3] == ["app-server", "2/2", "Running"]
    row = terminal.type("kctl get service app-service --no-headers").rows[0]
    assert row[4] == "8080/TCP,8090/TCP"
    logs = terminal.type("kctl logs app-server")
    assert "Defaulted container" in logs.stderr
    assert "server is running at http://127.0.0.1:8090" in terminal.type("kctl logs app-server -c flask").stdout


@pytest.mark.usefixtures("app_server")
def test_the_service_has_no_endpoints_until_the_labels_match(terminal: Terminal) -> None:
    described = terminal.type("kctl describe service app-service").stdout
    assert len(re.findall(r"^Endpoints: +<none>$|^Endpoints: +$", described, re.MULTILINE)) == 2
    service = (OWN_FILES / "00001/00004.yml").read_text()
    matching = re.sub(r"  selector:.*", "  selector:\n    app: app-server\n", service, flags=re.DOTALL)
    terminal.type("kctl delete service app-service")
    terminal.type("kctl create -f -", stdin=matching)
    opened = terminal.type("kubelab service app-service").stdout
    assert "No node port" in opened
    urls = re.findall(r"http://127\.0\.0\.1:\d+", opened)
    assert len(urls) == 2
    answers = [json.loads(eventually(lambda url=url: try_fetch(url)))["data"] for url in urls]
    assert answers == [
        "Hello Kubernetes this is Container ID is app-server",
        "Hello Kubernetes this is Container ID(With Python) is app-server",
    ]
    assert fetch(urls[0]) == fetch(urls[0])


# What the Pod Security level "restricted" asks for (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
RESTRICTED = """\
apiVersion: v1
kind: Pod
metadata: {name: restricted, labels: {app: restricted}}
spec:
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 2000
    seccompProfile: {type: RuntimeDefault}
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    command: [sh, -c, "grep -E '^(Uid|Groups|CapEff|NoNewPrivs|Seccomp):' /proc/self/status; sleep infinity"]
"""


def test_a_restricted_pod_runs_and_is_restricted(terminal: Terminal) -> None:
    terminal.type("kctl create -f -", stdin=RESTRICTED)
    terminal.running("app=restricted", 1)
    told = dict(re.split(r":\s+", line.strip(), maxsplit=1) for line in terminal.type("kctl logs restricted").lines)
    assert told["Uid"].split() == ["1000"] * 4
    assert set(told["Groups"].split()) == {"2000", "3000"}
    assert (told["CapEff"], told["NoNewPrivs"], told["Seccomp"]) == ("0" * 16, "1", "2")
    terminal.type("kctl delete pod restricted --grace-period=1")


HUNGRY = """\
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
    command: [python3, -c, "held = bytearray(256 << 20); print(len(held))"]
    resources: {limits: {memory: 48Mi}}
"""


def test_a_container_that_takes_more_memory_than_its_limit_is_oomkilled(terminal: Terminal) -> None:
    if "LimitsEnforced   True" not in re.sub(" +", "   ", terminal.type("kctl describe node node-1").stdout):
        pytest.skip("this machine has no control groups that can be used")
    terminal.type("kctl create -f -", stdin=HUNGRY)
    eventually(lambda: terminal.type("kctl get pod hungry --no-headers").rows[0][2] == "OOMKilled", what="OOMKilled")
    described = re.sub(" +", " ", terminal.type("kctl describe pod hungry").stdout)
    assert " State: Terminated\n Reason: OOMKilled\n Exit Code: 137\n" in described
    assert "\nStatus: Failed\n" in described
    terminal.type("kctl delete pod hungry")


OWN_USERS = """\
apiVersion: v1
kind: Pod
metadata: {name: own-users, labels: {app: own-users}}
spec:
  hostUsers: false
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
    command:
    - sh
    - -ec
    - id -u; cat /proc/self/uid_map; echo own > /dev/termination-log; echo own > /own; echo wrote; sleep infinity
"""


def test_a_pod_with_users_of_its_own(terminal: Terminal) -> None:
    """Its root is an unprivileged user of the machine; where the machine cannot, its events say so."""
    terminal.type("kctl create -f -", stdin=OWN_USERS)
    refusal = "runtime does not support user namespaces"
    ended = eventually(lambda: re.search(f"{refusal}|Started container", described(terminal, "own-users")))
    if ended[0] != refusal:
        terminal.running("app=own-users", 1)
        logs = eventually(lambda: wrote(terminal), what="its log")
        root, mapping = logs[:2]
        assert root == "0"
        inside, outside, length = map(int, mapping.split())
        assert (inside, length) == (0, 65_536)
        assert outside >= 65_536
    terminal.type("kctl delete pod own-users --grace-period=1")


def wrote(terminal: Terminal) -> list[str]:
    lines = terminal.type("kctl logs own-users").lines
    return lines if lines[-1:] == ["wrote"] else []


def described(terminal: Terminal, pod: str) -> str:
    return terminal.type(f"kctl describe pod {pod}").stdout


LAST_WORDS = """\
apiVersion: v1
kind: Pod
metadata: {name: last-words}
spec:
  restartPolicy: Never
  containers:
  - name: file
    image: kubelab/hello:v-1.0.0
    securityContext: {runAsUser: 1000}
    command: [sh, -c, "echo the disk is full > /dev/termination-log; exit 3"]
  - name: log
    image: kubelab/hello:v-1.0.0
    terminationMessagePath: /tmp/why
    terminationMessagePolicy: FallbackToLogsOnError
    command: [sh, -c, "echo no route; exit 4"]
"""


def test_what_a_container_leaves_as_its_last_words_is_told(terminal: Terminal) -> None:
    terminal.type("kctl create -f -", stdin=LAST_WORDS)

    def failed() -> list[dict[str, Any]] | None:
        status = json.loads(terminal.type("kctl get pod last-words -o json").stdout)["status"]
        return status["containerStatuses"] if status["phase"] == "Failed" else None

    statuses = eventually(failed)
    ended = {one["name"]: one["state"]["terminated"] for one in statuses}
    assert (ended["file"]["exitCode"], ended["file"]["message"]) == (3, "the disk is full\n")
    assert (ended["log"]["exitCode"], ended["log"]["message"]) == (4, "no route\n")
    assert re.search(r"Message: +the disk is full\n", terminal.type("kctl describe pod last-words").stdout)
    terminal.type("kctl delete pod last-words")
