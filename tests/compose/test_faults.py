"""What a person breaks by hand, by docker's own words or by kubelab's: the rest goes on, and it catches up."""

from __future__ import annotations

import json
import re

import pytest

from tests.compose.project import Project, all_ready, docker
from tests.e2e.terminal import OWN_FILES, Terminal, eventually, try_fetch
from tests.e2e.test_faults import steady_requests

PROCESSES = [
    *(f"{component}@cp-1" for component in ("etcd", "api-server", "scheduler", "controller-manager")),
    *(f"{component}@node-2" for component in ("kubelet", "kube-proxy", "runtime")),
]
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

BOUND = """\
apiVersion: v1
kind: Pod
metadata: {{name: on-{node}}}
spec:
  nodeName: {node}
  containers:
  - {{name: app, image: "kubelab/hello:v-1.0.0"}}
"""


@pytest.fixture(scope="module")
def url(terminal: Terminal) -> str:
    """Three pods behind a service, and where this machine reaches it, by node-1."""
    terminal.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    terminal.type(f"kctl create -f {OWN_FILES}/00002/00002.yml")
    terminal.type("kctl create -f -", stdin=SERVICE)
    terminal.running("app=replicas", 3)
    url = terminal.url("replicas")
    eventually(lambda: try_fetch(url))
    return url


def health(terminal: Terminal) -> dict[str, str]:
    answer = terminal.type("kubelab status -o json", code=None)
    return {process["name"]: process["health"] for process in json.loads(answer.stdout)["processes"]}


def restarts(terminal: Terminal) -> dict[str, int]:
    answer = terminal.type("kubelab status -o json", code=None)
    return {process["name"]: process["restarts"] for process in json.loads(answer.stdout)["processes"]}


def pods(terminal: Terminal) -> dict[str, str]:
    """Pods and how often their containers were started again."""
    return {row[0]: row[3] for row in terminal.running("app=replicas", 3)}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_killed_container_comes_back_and_no_pod_notices(terminal: Terminal, url: str, process: str) -> None:
    before, counted = pods(terminal), restarts(terminal)[process]
    with steady_requests(url) as load:
        assert terminal.type(f"kubelab fault kill {process}").stdout == f"process/{process} killed\n"
        eventually(lambda: health(terminal)[process] == "Healthy" and restarts(terminal)[process] == counted + 1)
        seen = len(load.answers)
        eventually(lambda: len(load.answers) >= seen + 5)
    all_ready(terminal)
    assert pods(terminal) == before
    assert len(load.errors) <= 3, load.errors


def test_a_kubelet_that_is_stopped_by_docker(project: Project, terminal: Terminal, url: str) -> None:
    """`docker compose stop kubelet-2` is an experiment that needs nothing of ours."""
    before = pods(terminal)
    project.compose("stop", "kubelet-2")
    assert health(terminal)["kubelet@node-2"] == "Stopped"
    assert terminal.type("kubelab status", code=1).stdout.count("Stopped") == 1
    assert try_fetch(url), "pods and rules are still there"
    refused = terminal.type("kubelab fault kill kubelet@node-2", code=1)
    assert refused.stderr == "error: kubelet@node-2 does not run\n"
    project.compose("start", "kubelet-2")
    all_ready(terminal)
    assert pods(terminal) == before


def test_a_frozen_scheduler_binds_nothing_until_it_thaws(terminal: Terminal, url: str) -> None:
    terminal.type("kubelab fault pause scheduler")
    assert health(terminal)["scheduler@cp-1"] == "Paused"
    terminal.type("kctl run waits --image=kubelab/hello:v-1.0.0")
    eventually(lambda: terminal.type("kctl get pod waits --no-headers").rows[0][2] == "Pending")
    terminal.type("kubelab fault resume scheduler")
    eventually(lambda: terminal.type("kctl get pod waits --no-headers").rows[0][2] == "Running")
    terminal.type("kctl delete pod waits")


def reaches(terminal: Terminal, source: str, host: str, port: int) -> bool:
    program = (
        f"import socket, sys; s = socket.socket(); s.settimeout(1); sys.exit(s.connect_ex(('{host}', {port})) != 0)"
    )
    return terminal.type(f'kubelab shell {source} -- python3 -c "{program}"', code=None).code == 0


def test_a_partition_between_nodes_and_between_processes(project: Project, terminal: Terminal, url: str) -> None:
    second, third = f"{project.network}.102", f"{project.network}.103"
    api = f"{project.network}.21"
    assert reaches(terminal, "node-1", second, 10250)
    assert terminal.type("kubelab fault partition node-1 node-2").stdout == "partition/node-1<->node-2 created\n"
    terminal.type("kubelab fault partition kubelet@node-3 api-server")
    assert not reaches(terminal, "node-1", second, 10250)
    assert not reaches(terminal, "node-2", f"{project.network}.101", 10250)
    assert reaches(terminal, "node-1", third, 10250)
    assert reaches(terminal, "node-3", api, 6443), "kube-proxy of the node still can"
    listed = terminal.type("kubelab fault ls").rows[1:]
    assert listed == [["Partition", "node-1<->node-2"], ["Partition", "kubelet@node-3<->api-server@cp-1"]]
    # what is started anew is cut off as before
    terminal.type("kubelab fault restart api-server")
    eventually(lambda: health(terminal)["api-server@cp-1"] == "Healthy")
    for node in ("node-1", "node-3"):
        terminal.type("kctl create -f -", stdin=BOUND.format(node=node))
    status = "kctl get pod on-{} --no-headers"
    eventually(lambda: terminal.type(status.format("node-1")).rows[0][2] == "Running")
    assert terminal.type(status.format("node-3")).rows[0][2] == "Pending"
    terminal.type("kubelab fault heal")
    assert terminal.type("kubelab fault ls").stdout == "No faults.\n"
    assert reaches(terminal, "node-1", second, 10250)
    all_ready(terminal)
    terminal.type("kctl delete pod on-node-1 on-node-3")
    rules = terminal.type("kubelab shell node-1 -- nft list tables").stdout
    assert "kubelab-faults" not in rules


def test_a_partition_whose_rules_are_gone_is_put_in_place_again_and_forgotten_with_its_cluster(
    project: Project, terminal: Terminal, url: str
) -> None:
    api = f"{project.network}.21"
    terminal.type("kubelab fault partition node-1 cp-1")
    project.compose("restart", "api-server")
    assert terminal.type("kubelab fault ls").rows[1:] == [["Partition", "node-1<->cp-1"]]
    assert not reaches(terminal, "node-1", api, 6443)
    terminal.type(f"kubelab compose forget --name {terminal.cluster}")
    project.introduce(terminal)
    assert terminal.type("kubelab fault ls").stdout == "No faults.\n"
    assert reaches(terminal, "node-1", api, 6443)
    all_ready(terminal)


def test_a_node_that_is_started_anew(project: Project, terminal: Terminal, url: str) -> None:
    """The machine itself: its pods end with it, and run again when it is back."""
    assert terminal.type("kubelab fault stop --node node-3").rows[-1] == ["process/node-agent@node-3 stopped"]
    assert terminal.type("kubelab fault start --node node-3").rows[0] == ["process/node-agent@node-3 started"]
    all_ready(terminal)
    assert terminal.type("kubelab fault restart node-agent@node-3").code == 0
    all_ready(terminal)
    terminal.running("app=replicas", 3)
    eventually(lambda: try_fetch(url))


def test_a_node_that_docker_restarts(project: Project, terminal: Terminal, url: str) -> None:
    """What shares its namespaces ends with it; one more `up` starts what docker could not."""
    docker("restart", "--time", "5", project.container("node-2"))
    project.up()
    all_ready(terminal)
    terminal.running("app=replicas", 3)


def test_a_pods_way_is_seen_across_restarts(terminal: Terminal, url: str) -> None:
    pod = next(iter(pods(terminal)))
    flow = terminal.type(f"kubelab flow pod/{pod}").stdout
    assert re.search(r"kubelet@node-\d ─+▶ runtime@node-\d +RunPodSandbox", flow), flow


def test_logs_of_a_component(terminal: Terminal) -> None:
    assert terminal.type("kubelab logs scheduler --tail 2").stdout.count("\n") == 2
    several = terminal.type("kubelab logs kubelet", code=1).stderr
    assert "runs on several nodes, name one: kubelet@node-1, kubelet@node-2, kubelet@node-3" in several


def test_only_loopback_is_published(project: Project) -> None:
    bound = {
        binding["HostIp"]
        for container in project.containers()
        for bindings in container["NetworkSettings"]["Ports"].values()
        for binding in bindings or []
    }
    assert bound == {"127.0.0.1"}
