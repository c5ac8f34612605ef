"""Three control planes: one is stopped, frozen or cut off, the others vote, and the role moves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from kubelab.apimachinery.scheme import PODS
from kubelab.client.client import Client, EventType
from kubelab.cluster.driver import Action
from kubelab.cluster.local import LocalCluster
from tests.e2e.terminal import OWN_FILES, Terminal, eventually

pytestmark = pytest.mark.root

LEASE = "leaderElection"
UP = " ".join(
    ["--control-planes 3 --nodes 4"]
    + [
        f"--set {component}.{LEASE}.{key}"
        for component in ("scheduler", "controller-manager")
        for key in ("leaseDuration=4s", "renewDeadline=3s", "retryPeriod=500ms")
    ]
    + ["--set controller-manager.nodeLifecycle.nodeMonitorGracePeriod=5s", "--set kubelet.nodeLeaseRenewInterval=1s"]
)
PLANES = ("cp-1", "cp-2", "cp-3")
ELECTED = ("etcd", "scheduler", "controller-manager")


def processes(terminal: Terminal) -> list[dict[str, object]]:
    return json.loads(terminal.type("kubelab status -o json", code=None).stdout)["processes"]


def leaders(terminal: Terminal) -> dict[str, str]:
    """Who leads, by component, as `kubelab status` shows it; exactly one of each."""
    found: dict[str, list[str]] = {component: [] for component in ELECTED}
    for process in processes(terminal):
        if process["leader"]:
            found[str(process["component"])].append(str(process["name"]))
    assert all(len(names) == 1 for names in found.values()), found
    return {component: names[0] for component, names in found.items()}


def node(process: str) -> str:
    return process.partition("@")[2]


def all_ready(terminal: Terminal, *, without: str = "") -> bool:
    """Every node is Ready, but the one that is out of action, which is not."""
    rows = terminal.type("kctl get nodes --no-headers", code=None).rows
    states = {row[0]: row[1] for row in rows if len(row) > 1}
    assert states == {name: "NotReady" if name == without else "Ready" for name in (*PLANES, "node-1")}, states
    return True


@pytest.fixture
def whole(terminal: Terminal) -> Iterator[Terminal]:
    """A cluster in which everything is well, before and after."""
    eventually(lambda: all_ready(terminal))
    yield terminal
    if terminal.type("kubelab fault ls").stdout.strip() != "No faults.":  # a test has failed in between
        terminal.type("kubelab fault heal", code=None)
        for plane in PLANES:
            terminal.type(f"kubelab fault resume --node {plane}", code=None)
            terminal.type(f"kubelab fault start --node {plane}", code=None)
    eventually(lambda: terminal.type("kubelab status", code=None).code == 0)


def test_every_control_plane_has_all_of_it(whole: Terminal) -> None:
    names = {str(process["name"]) for process in processes(whole)}
    components = ("etcd", "api-server", "scheduler", "controller-manager", "kubelet", "kube-proxy", "runtime")
    assert {f"{component}@{plane}" for component in components for plane in PLANES} <= names
    assert "etcd@node-1" not in names
    rows = whole.type("kctl get node --no-headers").rows
    assert {row[0]: row[2] for row in rows} == {**dict.fromkeys(PLANES, "control-plane"), "node-1": "<none>"}


def test_status_and_leases_say_the_same_of_who_leads(whole: Terminal) -> None:
    header, *rows = whole.type("kubelab status").rows
    assert header[-1] == "ROLE"
    roles = {row[0]: row[-1] for row in rows}
    shown = {name for name, role in roles.items() if role == "leader"}
    assert shown == set(leaders(whole).values())
    assert {roles[f"{component}@{plane}"] for component in ELECTED for plane in PLANES} == {"leader", "follower"}
    leases = whole.type("kctl get lease -n kube-system --no-headers").rows
    assert {row[0]: row[1] for row in leases} == {
        "kube-controller-manager": leaders(whole)["controller-manager"],
        "kube-scheduler": leaders(whole)["scheduler"],
    }


@pytest.mark.parametrize(
    ("component", "fault"), [("etcd", "stop"), ("scheduler", "pause"), ("controller-manager", "partition")]
)
def test_the_others_vote_and_the_role_moves(whole: Terminal, component: str, fault: str) -> None:
    """The control plane whose member leads goes; writes go on, pods are made and placed, and it comes back."""
    before = leaders(whole)
    lost = node(before[component])
    if fault == "partition":  # node-1 still reaches the lost one, whose api-server must send it elsewhere
        for other in PLANES:
            if other != lost:
                whole.type(f"kubelab fault partition {lost} {other}")
    else:
        whole.type(f"kubelab fault {fault} --node {lost}")

    def moved() -> dict[str, str] | None:
        now = leaders(whole)
        assert lost not in {node(name) for name in now.values()}, now
        return now

    eventually(moved, what=f"no leader on {lost}")
    name = f"{component}-{fault}"
    # An api-server that is cut off from etcd is still reached from here: it may have to be asked again.
    eventually(lambda: created(whole, CONTROLLER.replace("NAME", name)))
    eventually(lambda: placed(whole, name) == 2, what="two pods placed")
    eventually(lambda: all_ready(whole, without=lost))
    mend(whole, fault, lost)
    eventually(lambda: all_ready(whole))
    eventually(lambda: whole.type("kubelab status", code=None).code == 0)
    whole.type(f"kctl delete rc {name}")


def created(terminal: Terminal, manifest: str) -> bool:
    answer = terminal.type("kctl create -f -", stdin=manifest, code=None)
    assert answer.code == 0 or "already exists" in answer.stderr, str(answer)
    return True


def mend(terminal: Terminal, fault: str, plane: str) -> None:
    match fault:
        case "stop":
            terminal.type(f"kubelab fault start --node {plane}")
        case "pause":
            terminal.type(f"kubelab fault resume --node {plane}")
        case _:
            terminal.type("kubelab fault heal")


def placed(terminal: Terminal, name: str) -> int:
    answer = terminal.type(f"kctl get pods -l app={name} -o wide --no-headers", code=None)
    return sum(len(row) > 6 and row[6] != "<none>" for row in answer.rows)


CONTROLLER = """\
apiVersion: v1
kind: ReplicationController
metadata: {name: NAME}
spec:
  replicas: 2
  selector: {app: NAME}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 0
      nodeSelector: {kubernetes.io/hostname: node-1}
      containers: [{name: app, image: kubelab/hello:v-1.0.0, command: [sleep, infinity]}]
"""


def test_watching_the_status_shows_the_role_move(whole: Terminal) -> None:
    leader = leaders(whole)["scheduler"]
    watching = whole.start("kubelab status -w")
    try:
        lines = follow(watching)
        eventually(lambda: any(leader in line for line in lines))
        whole.type(f"kubelab fault stop {leader}")
        eventually(lambda: new_leader(lines, leader), what="a line with another leader")
    finally:
        watching.terminate()
        watching.wait()
        assert watching.stdout is not None
        watching.stdout.close()
    whole.type(f"kubelab fault start {leader}")


def follow(process: subprocess.Popen[str]) -> list[str]:
    """The lines that a command has printed so far."""
    lines: list[str] = []

    def collect() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)  # noqa: PERF402 — one at a time, as they come

    threading.Thread(target=collect, name="status", daemon=True).start()
    return lines


def new_leader(lines: list[str], old: str) -> bool:
    return any(line.split()[-1:] == ["leader"] and line.startswith("scheduler@") and old not in line for line in lines)


@pytest.mark.parametrize("component", ["controller-manager", "scheduler"])
async def test_a_frozen_leader_that_wakes_up_does_not_write(whole: Terminal, component: str) -> None:
    """It is frozen in the middle of a scale-up, for longer than its lease; the next one finishes the work."""
    whole.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    name, wanted = f"frozen-{component}", 60
    where = "{nowhere: at-all}" if component == "controller-manager" else "{}"  # what is not placed need not run
    rc = CONTROLLER.replace("{kubernetes.io/hostname: node-1}", where).replace("replicas: 2", "replicas: 0")
    whole.type("kctl create -f -", stdin=rc.replace("NAME", name))
    begun = int(json.loads(whole.type(f"kctl get rc {name} -o json").stdout)["metadata"]["resourceVersion"])
    old = leaders(whole)[component]
    await freeze_at_work(whole, old, name, wanted)

    def taken_over() -> str | None:
        now = leaders(whole)[component]
        assert now != old
        return now

    new = eventually(taken_over, what="another leader")
    count = made if component == "controller-manager" else placed
    eventually(lambda: count(whole, name) == wanted, what=f"{wanted} pods")
    whole.type(f"kubelab fault resume {old}")
    eventually(lambda: whole.type("kubelab status", code=None).code == 0)
    eventually(lambda: gave_up(whole, old), what=f"{old} has heard that it does not lead")
    assert made(whole, name) == wanted
    elected = min(at for _, at in acknowledged(whole, {new}, "leases") if at > begun)
    writes = [(who, at) for who, at in acknowledged(whole, {old, new}, "pods") if at > begun]
    assert [at for who, at in writes if who == old]
    assert [at for who, at in writes if who == new]
    assert not [at for who, at in writes if who == old and at > elected]
    whole.type(f"kctl delete rc {name}")


async def freeze_at_work(terminal: Terminal, leader: str, name: str, replicas: int) -> None:
    """Scale up, and freeze the leader as soon as a little of its work is seen: by a signal from here, which is quicker
    than the supervisor; that one hears of it afterwards."""
    folder, seen = terminal.home, 0
    client = Client.from_kubeconfig(folder / "kubeconfig", caller="test", context=terminal.cluster)
    async with LocalCluster.find(terminal.cluster, folder=folder) as cluster, client:
        revision = (await client.list(PODS, "default", limit=1)).resource_version
        pid = next(process.pid for process in (await cluster.status()).processes if process.name == leader)
        scaling = asyncio.to_thread(terminal.type, f"kctl scale rc {name} --replicas={replicas}")
        async with asyncio.TaskGroup() as group:
            group.create_task(scaling)
            pods = client.watch(PODS, "default", resource_version=revision, label_selector=f"app={name}")
            async with contextlib.aclosing(pods) as events:
                async for event in events:
                    placed = event.object is not None and event.object.spec.nodeName
                    seen += bool(placed) if leader.startswith("scheduler") else event.type is EventType.ADDED
                    if seen >= 3:
                        break
            os.kill(pid, signal.SIGSTOP)
            await cluster.act(leader, Action.PAUSE)


def made(terminal: Terminal, name: str) -> int:
    return len(terminal.type(f"kctl get pods -l app={name} --no-headers").lines)


def gave_up(terminal: Terminal, process: str) -> bool:
    return "lost leadership" in terminal.type(f"kubelab logs {process}").stdout


def acknowledged(terminal: Terminal, callers: set[str], resource: str) -> list[tuple[str, int]]:
    """Writes that an api-server has carried out for these callers, by revision."""
    found: list[tuple[str, int]] = []
    for trail in sorted((terminal.home / "clusters" / terminal.cluster / "logs").glob("audit@*.log*")):
        for line in trail.read_text().splitlines():
            record = json.loads(line)
            wrote = record.get("resource_version") and record["verb"] in ("create", "update", "delete")
            if wrote and record["caller"] in callers and record["code"] == "OK" and record["resource"] == resource:
                found.append((record["caller"], int(record["resource_version"])))
    return found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--control-planes 2", "a cluster has 1, 3 or 5 control planes, not 2"),
        ("--control-planes 3 --nodes 2", "3 control planes are 3 nodes, but only 2 are wanted"),
        ("--set kubelet", 'got "kubelet", expected COMPONENT.KEY=VALUE'),
        ("--set kubelet.maxPod=3", "kubelet: unknown key 'maxPod'; expected one of"),
        ("--set kubelet.maxPods=many", "kubelet: maxPods: got 'many', expected integer"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(terminal: Terminal, options: str, says: str) -> None:
    answer = terminal.type(f"kubelab up --name other {options}", code=1)
    assert says in answer.stderr
    assert "other" not in terminal.type("kctl config get-contexts").stdout


def test_another_number_of_control_planes_is_refused(terminal: Terminal) -> None:
    answer = terminal.type("kubelab up --control-planes 1", code=1)
    assert "has 3 control planes, not 1" in answer.stderr
