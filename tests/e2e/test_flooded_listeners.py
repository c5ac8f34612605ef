"""A cluster whose listeners are flooded, and whose ports others take: management goes on. These are a local cluster's
listeners; ``tests/compose/test_listeners.py`` floods those of compose."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubelab.topology.record import Record
from tests.e2e import flooding, requestflood
from tests.e2e.terminal import OWN_FILES, Terminal, eventually

MANAGED = 2  # rounds of kctl during a flood
MOST_MEMORY = 512 * 2**20  # bytes of one process, with all that a client does not take
PATIENCE = 30.0  # seconds that a command may take, on a machine that does other things, too


@pytest.fixture(scope="module", autouse=True)
def replicas(terminal: Terminal) -> None:
    """Pods that run all the time, and the image that the pods here are of."""
    terminal.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    terminal.type(f"kctl create -f {OWN_FILES}/00002/00001.yml")


FLOODER = """\
apiVersion: v1
kind: Pod
metadata: {{name: flooder, labels: {{app: flooder}}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  nodeSelector: {{kubernetes.io/hostname: {node}}}
  containers:
  - name: flooder
    image: kubelab/hello:v-1.0.0
    command: {command}
"""
CONFIG_MAP = '{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "{name}"}}, "data": {{"a": "b"}}}}'


@pytest.mark.root
@pytest.mark.parametrize(("node", "kind"), [("cp-1", "idle"), *(("node-1", kind) for kind in flooding.KINDS)])
def test_a_pod_that_floods_the_api_server_stops_nobody(terminal: Terminal, node: str, kind: str) -> None:
    """It goes to the address of the service `kubernetes`, from the api-server's own node and from another one."""
    service = terminal.type("kctl get service kubernetes --no-headers").rows[0][2]
    command = ["python3", "-c", flooding.PROGRAM, service, "443", str(flooding.COUNT), kind]
    with management_goes_on(terminal, f"{node}-{kind}"):
        terminal.type("kctl create -f -", stdin=FLOODER.format(node=node, command=json.dumps(command)))
        eventually(lambda: "all tried" in terminal.type("kctl logs flooder", code=None).stdout, what="the flood")
        manage(terminal, f"{node}-{kind}")
        terminal.type("kctl delete pod flooder")


@pytest.mark.root
@pytest.mark.parametrize("kind", flooding.KINDS)
def test_a_user_of_the_machine_that_floods_the_tunnel_stops_nobody(terminal: Terminal, kind: str) -> None:
    port = str(record_of(terminal).api_ports[0])
    command = ["/usr/bin/python3", "-c", flooding.PROGRAM, "127.0.0.1", port, str(flooding.COUNT), kind]
    with management_goes_on(terminal, f"user-{kind}"):
        flood = subprocess.Popen(command, stdout=subprocess.PIPE, user=65534, group=65534, extra_groups=[], cwd="/")
        with flood:
            try:
                assert flood.stdout
                assert flood.stdout.readline().startswith(b"all tried")
                manage(terminal, f"user-{kind}")
            finally:
                flood.kill()


@pytest.mark.root
@pytest.mark.parametrize("kind", requestflood.KINDS)
def test_a_client_that_floods_with_requests_stops_neither_the_system_nor_the_administrator(
    terminal: Terminal, kind: str
) -> None:
    """It has a certificate and every right, and the administrator's priority level."""
    program = f"{sys.executable} {requestflood.__file__}"
    with management_goes_on(terminal, f"requests-{kind}"):
        before = signs_of_life(terminal)
        with terminal.start(f"{program} {kind} {terminal.environment['KUBECONFIG']} {terminal.cluster}") as flood:
            try:
                assert flood.stdout
                tried = json.loads(line := flood.stdout.readline())
                assert set(tried) <= {"answered", "refused"}, line
                assert kind == "lists" or tried["refused"] > 0, "more was answered than one user may have"
                manage(terminal, f"requests-{kind}")
                eventually(lambda: renewed(before, signs_of_life(terminal)), within=45, what="leases to be renewed")
                memory = max(memory_of(pid) for name, pid in settled(terminal).items() if name.startswith("api-server"))
                assert memory < MOST_MEMORY
            finally:
                flood.kill()
        after = signs_of_life(terminal)
        assert {name: sign[:2] for name, sign in after.items()} == {name: sign[:2] for name, sign in before.items()}
    terminal.type(f"kctl delete configmaps -l {requestflood.LABEL}")


def signs_of_life(terminal: Terminal) -> dict[str, tuple[str, int, str]]:
    """Who holds each lease, how often it changed hands, and when it was renewed; and since when each node is Ready."""
    leases = json.loads(terminal.type("kctl get leases -A -o json", deadline=PATIENCE).stdout)["items"]
    found = {
        f"{lease['metadata']['namespace']}/{lease['metadata']['name']}": (
            str(lease["spec"].get("holderIdentity")),
            int(lease["spec"].get("leaseTransitions") or 0),
            str(lease["spec"].get("renewTime")),
        )
        for lease in leases
        if lease["metadata"]["namespace"] in ("kube-system", "kube-node-lease")
    }
    for node in json.loads(terminal.type("kctl get nodes -o json", deadline=PATIENCE).stdout)["items"]:
        ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
        found[node["metadata"]["name"]] = (ready["status"] + ready["lastTransitionTime"], 0, "")
    return found


def renewed(before: dict[str, tuple[str, int, str]], now: dict[str, tuple[str, int, str]]) -> bool:
    return all(now[name][2] > sign[2] for name, sign in before.items() if sign[2])


def memory_of(pid: int) -> int:
    """The largest resident memory of a process and its workers, in bytes."""
    tree = [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    texts = [Path(f"/proc/{one}/status").read_text() for one in tree]
    return max(
        int(found[1]) * 1024 for text in texts if (found := re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE))
    )


def record_of(terminal: Terminal) -> Record:
    record = Record.load(terminal.home, terminal.cluster)
    assert record
    return record


def manage(terminal: Terminal, name: str) -> None:
    """What people do, as if nothing were: each command succeeds at its first try."""
    for turn in range(MANAGED):
        terminal.type("kctl get pods", deadline=PATIENCE)
        terminal.type("kctl create -f -", stdin=CONFIG_MAP.format(name=f"{name}-{turn}"), deadline=PATIENCE)
        terminal.type(f"kctl delete configmap {name}-{turn}", deadline=PATIENCE)


@contextmanager
def management_goes_on(terminal: Terminal, name: str) -> Generator[None]:
    """Every request of :func:`manage` is in the audit trail, no process ends, and descriptors go back afterwards."""
    terminal.running("app=replicas", 3)
    before = eventually(lambda: settled(terminal), what="every process healthy")
    listed = lists(recorded(terminal))
    descriptors = {pid: descriptors_of(pid) for pid in before.values()}
    yield
    expected = {(verb, f"{name}-{turn}") for verb in ("create", "delete") for turn in range(MANAGED)}
    eventually(lambda: expected <= (seen := recorded(terminal)).keys() and lists(seen) - listed >= MANAGED)
    assert settled(terminal) == before, "a process has ended"
    for process, pid in before.items():
        eventually(
            lambda pid=pid: descriptors_of(pid) <= descriptors[pid] + 16, what=f"{process} to give descriptors back"
        )


def settled(terminal: Terminal) -> dict[str, int]:
    """Every process's pid, by its name."""
    answer = terminal.type("kubelab status -o json", code=None)
    assert answer.code == 0, str(answer)
    return {process["name"]: process["pid"] for process in json.loads(answer.stdout)["processes"]}


def descriptors_of(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def recorded(terminal: Terminal) -> Counter[tuple[str, str]]:
    """How often the audit trail has the administrator's requests, by verb and name, or resource where there is none."""
    found: Counter[tuple[str, str]] = Counter()
    for trail in (terminal.home / "clusters" / terminal.cluster / "logs").glob("audit@*.log*"):
        for record in map(json.loads, trail.read_text().splitlines()):
            assert record["code"] != "DATA_LOSS", record
            if record["user"] == "kubernetes-admin":
                found[record["verb"], record["name"] or record["resource"]] += 1
    return found


def lists(requests: Counter[tuple[str, str]]) -> int:
    return requests["list", "pods"]


TAKE_PORT = """
import signal, socket, time
print("trying", flush=True)
while True:
    try:
        taken = socket.create_server(("0.0.0.0", {port}))
        break
    except OSError:
        time.sleep(0.001)
print("taken", flush=True)
signal.pause()
"""
THIEF = """\
apiVersion: v1
kind: Pod
metadata: {{name: thief}}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  nodeSelector: {{kubernetes.io/hostname: cp-1}}
  containers:
  - name: thief
    image: kubelab/hello:v-1.0.0
    command: {command}
"""


@pytest.mark.root
def test_a_pod_that_takes_the_api_servers_port_is_killed_and_the_api_server_comes_back(terminal: Terminal) -> None:
    command = ["python3", "-c", TAKE_PORT.format(port=6443)]
    terminal.type("kctl create -f -", stdin=THIEF.format(command=json.dumps(command)))
    eventually(lambda: terminal.type("kctl get pod thief --no-headers").rows[0][2] == "Running", what="a thief")
    terminal.type("kubelab fault stop api-server@cp-1")
    eventually(lambda: "a pod holds a reserved port" in terminal.type("kubelab logs runtime@cp-1").stdout)
    terminal.type("kubelab fault start api-server@cp-1")
    eventually(lambda: terminal.type("kctl get pods", code=None).code == 0, what="the api-server")
    told = "killed because it held port 6443, which is reserved for the node's api-server"
    eventually(lambda: told in terminal.type("kctl describe pod thief").stdout, what="why it was killed")
    terminal.type("kctl delete pod thief")


@pytest.mark.root
def test_the_status_says_who_holds_a_components_port_until_it_is_free(terminal: Terminal) -> None:
    program = TAKE_PORT.format(port=10259)
    pattern = r"scheduler@cp-1: exited with code 1: .*process (\d+) \(python3\) holds the port"
    with terminal.start(f"kubelab shell cp-1 -- python3 -c '{program}'") as thief:
        assert thief.stdout
        assert thief.stdout.readline() == "trying\n"
        terminal.type("kubelab fault kill scheduler@cp-1")
        told = eventually(lambda: re.search(pattern, terminal.type("kubelab status", code=None).stdout))
        os.kill(int(told[1]), signal.SIGKILL)
        thief.communicate()
    eventually(lambda: terminal.type("kubelab status", code=None).code == 0, what="the scheduler")
