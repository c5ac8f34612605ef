"""``kubelab fault`` as a person types it: what it prints, what breaks, what goes on, and that it is mended."""

from __future__ import annotations

import pytest

from tests.e2e.terminal import OWN_FILES, Terminal, eventually, try_fetch

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: replicas}
spec:
  type: NodePort
  selector: {app: replicas}
  ports:
  - port: 8080
"""
ALONE = """\
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: alone}}
spec:
  nodeName: NODE
  containers:
  - {name: app, image: "kubelab/hello:v-1.0.0"}
"""


@pytest.fixture(scope="module")
def pods(terminal: Terminal) -> dict[str, str]:
    """A pod on each node, behind a service; their addresses by node."""
    terminal.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    terminal.type(f"kctl create -f {OWN_FILES}/00002/00002.yml")
    terminal.type("kctl create -f -", stdin=SERVICE)
    terminal.running("app=replicas", 3)
    found = addresses(terminal)
    assert found.keys() == {"cp-1", "node-1", "node-2"}
    return found


@pytest.fixture(autouse=True)
def mended(terminal: Terminal, pods: dict[str, str]) -> None:
    """Every test begins without faults."""
    assert terminal.type("kubelab fault ls").lines == ["No faults."]


def addresses(terminal: Terminal) -> dict[str, str]:
    rows = terminal.type("kctl get pods -l app=replicas -o wide --no-headers").rows
    return {row[6]: row[5] for row in rows}


def reaches(terminal: Terminal, node: str, address: str, port: int = 8080) -> bool:
    """Can a connection be opened from a node? What is cut off is waited for, never refused."""
    connect = f"timeout 1 bash -c 'echo > /dev/tcp/{address}/{port}'"
    answer = terminal.type(f'kubelab shell {node} -- sh -c "{connect}"', code=None)
    assert answer.code in (0, 124), str(answer)
    return answer.code == 0


def test_kill_and_restart(terminal: Terminal) -> None:
    assert terminal.type("kubelab fault kill scheduler kube-proxy@node-1").lines == [
        "process/scheduler@cp-1 killed",
        "process/kube-proxy@node-1 killed",
    ]
    eventually(lambda: terminal.type("kubelab status", code=None).code == 0, what="all well again")
    restarts = {row[0]: row[4] for row in terminal.type("kubelab status").rows}
    assert restarts["scheduler@cp-1"] == "1"
    assert terminal.type("kubelab fault restart scheduler@cp-1").lines == ["process/scheduler@cp-1 restarted"]
    terminal.type("kubelab status")


def test_without_a_scheduler_pods_wait_and_with_it_they_run(terminal: Terminal) -> None:
    assert terminal.type("kubelab fault stop scheduler").lines == ["process/scheduler@cp-1 stopped"]
    listing = terminal.type("kubelab fault ls").rows
    assert listing == [["FAULT", "TARGET"], ["Stopped", "scheduler@cp-1"]]
    terminal.type("kctl create -f -", stdin=ALONE.replace("NAME", "waits").replace("  nodeName: NODE\n", ""))
    assert terminal.type("kctl get pod waits --no-headers").rows[0][2] == "Pending"
    refused = terminal.type("kubelab fault kill scheduler", code=1)
    assert refused.stderr == "error: scheduler@cp-1 is Stopped; start it: kubelab fault start scheduler@cp-1\n"
    assert terminal.type("kubelab fault start scheduler").lines == ["process/scheduler@cp-1 started"]
    terminal.running("app=alone", 1)
    terminal.type("kctl delete pod waits")


def test_a_whole_node_is_frozen_and_its_pods_answer_on(terminal: Terminal, pods: dict[str, str]) -> None:
    names = [f"{component}@node-2" for component in ("kube-proxy", "kubelet", "runtime")]
    assert terminal.type("kubelab fault pause --node node-2").lines == [f"process/{name} paused" for name in names]
    assert {row[1] for row in terminal.type("kubelab fault ls").rows[1:]} == set(names)
    assert "Paused" in terminal.type("kubelab status", code=1).stdout
    assert reaches(terminal, "node-1", pods["node-2"])
    answer = terminal.type("kubelab fault resume --node node-2")
    assert answer.lines == [f"process/{name} resumed" for name in reversed(names)]
    eventually(lambda: terminal.type("kubelab status", code=None).code == 0, what="all well again")


@pytest.mark.parametrize("action", ["kill", "stop", "restart"])
def test_pods_outlive_their_runtime(terminal: Terminal, pods: dict[str, str], action: str) -> None:
    before = terminal.running("app=replicas", 3)
    terminal.type(f"kubelab fault {action} runtime@node-1")
    assert reaches(terminal, "cp-1", pods["node-1"])
    terminal.type("kubelab fault start runtime@node-1")
    eventually(lambda: terminal.type("kubelab status", code=None).code == 0, what="all well again")
    after = terminal.running("app=replicas", 3)
    assert [(row[0], row[3]) for row in after] == [(row[0], row[3]) for row in before], "not one was restarted"


def test_two_nodes_are_cut_off_with_their_pods(terminal: Terminal, pods: dict[str, str]) -> None:
    assert terminal.type("kubelab fault partition node-1 node-2").lines == ["partition/node-1<->node-2 created"]
    assert terminal.type("kubelab fault partition node-2 node-1").lines == ["partition/node-2<->node-1 unchanged"]
    assert not reaches(terminal, "node-1", "192.168.49.4", 10250)
    assert not reaches(terminal, "node-2", pods["node-1"])
    assert reaches(terminal, "node-1", "192.168.49.2", 6443)
    assert reaches(terminal, "cp-1", pods["node-2"])
    assert terminal.type("kubelab fault ls").rows[1:] == [["Partition", "node-1<->node-2"]]
    assert terminal.type("kubelab fault heal node-2 node-1").lines == ["partition/node-1<->node-2 healed"]
    assert reaches(terminal, "node-2", pods["node-1"])


def test_a_kubelet_that_hears_nothing_of_the_api_server(terminal: Terminal, pods: dict[str, str]) -> None:
    """Its watch is open and stays so; nothing comes through it. What others of its node do is not touched."""
    cut = terminal.type("kubelab fault partition api-server kubelet@node-1 --one-way")
    assert cut.lines == ["partition/api-server@cp-1->kubelet@node-1 created"]
    for node in ("node-1", "node-2"):
        manifest = ALONE.replace("NAME", f"on-{node}").replace("NODE", node)
        terminal.type("kctl create -f -", stdin=manifest)
    status = "kctl get pod on-{} --no-headers"
    eventually(lambda: terminal.type(status.format("node-2")).rows[0][2] == "Running")
    assert terminal.type(status.format("node-1")).rows[0][2] == "Pending"
    assert reaches(terminal, "node-1", "192.168.49.2", 6443), "kube-proxy and pods of the node still can"
    assert try_fetch(terminal.url("replicas"))
    assert terminal.type("kubelab fault heal").lines == ["partition/api-server@cp-1->kubelet@node-1 healed"]
    terminal.running("app=alone", 2)
    terminal.type("kctl delete pod on-node-1 on-node-2")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("kill nobody@cp-1", 'process "nobody@cp-1" not found'),
        ("pause --node node-9", 'node "node-9" not found'),
        ("stop supervisor", "supervisor runs the cluster's processes; faults act on those only"),
        ("stop kubelet", '"kubelet" runs on several nodes, name one: kubelet@cp-1, kubelet@node-1, kubelet@node-2'),
        ("stop", "name processes, or a node by --node"),
        ("partition node-1 node-9", 'node "node-9" not found'),
        ("partition scheduler kubelet@node-9", 'process "kubelet@node-9" not found'),
        ("partition node-1 node-1", "node-1 cannot be cut off from itself"),
        ("partition node-1 kubelet@node-1", "kubelet@node-1 is a part of node-1"),
        (
            "partition kubelet@node-1 runtime@node-1",
            "runtime@node-1 is reached over a unix socket, which no packet crosses; "
            "to cut it off, freeze it: kubelab fault pause runtime@node-1",
        ),
        ("heal node-1", "name two sides, or none to heal every partition"),
        ("heal node-1 node-2", 'no partition between "node-1" and "node-2"'),
    ],
)
def test_what_makes_no_sense_is_told(terminal: Terminal, command: str, says: str) -> None:
    answer = terminal.type(f"kubelab fault {command}", code=1)
    assert says in answer.stderr
    assert answer.stdout == ""


def test_one_name_that_is_wrong_does_not_keep_the_others_from_it(terminal: Terminal) -> None:
    answer = terminal.type("kubelab fault pause nobody scheduler", code=1)
    assert (answer.stdout, answer.stderr) == (
        "process/scheduler@cp-1 paused\n",
        'error: process "nobody" not found\n',
    )
    terminal.type("kubelab fault resume scheduler")


def test_a_broken_cluster_goes_down_and_comes_up_whole(terminal: Terminal) -> None:
    terminal.type("kubelab fault partition etcd api-server")
    terminal.type("kubelab fault partition cp-1 node-1 --one-way")
    terminal.type("kubelab fault pause scheduler kubelet@node-2")
    terminal.type("kubelab fault stop kube-proxy@node-1")
    terminal.type(f"kubelab down --name {terminal.cluster}")
    terminal.type(f"kubelab up --name {terminal.cluster}")
    assert terminal.type("kubelab fault ls").lines == ["No faults."]
    terminal.running("app=replicas", 3)
