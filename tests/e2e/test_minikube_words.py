"""minikube's words on a cluster: the thing happens, in minikube's shape where it has one."""

from __future__ import annotations

import json
import re

from tests.e2e.ordinaryuser import ordinary_user
from tests.e2e.terminal import OWN_FILES, Terminal, eventually, fetch, try_fetch


def test_nodes_and_their_addresses(terminal: Terminal) -> None:
    assert terminal.type("kubelab ip").stdout == f"{terminal.network}.2\n"
    assert terminal.type("kubelab node list").lines == [
        f"{name}\t{terminal.network}.{number}" for number, name in enumerate(terminal.roles, 2)
    ]
    assert terminal.type("kubelab ip --node node-2").stdout == f"{terminal.network}.4\n"
    missing = terminal.type("kubelab ip -n minikube", code=1)
    assert missing.stderr == 'error: node "minikube" not found; there are: cp-1, node-1, node-2\n'
    seen = terminal.type("kubelab ssh -n node-1 -- ip -brief -4 address show eth0").stdout
    assert f"{terminal.network}.3/24" in seen
    assert terminal.type("kubelab ssh 'exit 3'", code=None).code != 0
    names = terminal.type("kubelab kubectl -- get nodes --no-headers").rows
    assert [row[0] for row in names] == list(terminal.roles)


def test_profiles_and_the_kubeconfig(terminal: Terminal) -> None:
    header, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in terminal.type("kubelab profile list").lines
        if not line.startswith("|-")
    ]
    assert header[:2] == ["Profile", "Driver"]
    assert [(row[0], row[3], row[6], row[7], row[8], row[9]) for row in rows] == [
        (terminal.cluster, f"{terminal.network}.2", "OK", "3", "*", "*")
    ]
    assert terminal.type("kubelab profile").stdout == f"{terminal.cluster}\n"
    (valid,) = json.loads(terminal.type("kubelab profile list -o json").stdout)["valid"]
    assert (valid["Name"], valid["Status"]) == (terminal.cluster, "OK")
    terminal.type('rm "$KUBECONFIG"')
    updated = terminal.type("kubelab update-context")
    assert f'Current context is "{terminal.cluster}"' in updated.stdout
    assert terminal.type("kctl config current-context").stdout == f"{terminal.cluster}\n"


def test_start_of_a_running_cluster_says_so(terminal: Terminal) -> None:
    assert "is already running" in terminal.type("kubelab start --wait").stdout
    assert "is already running" in terminal.type(f"kubelab start -p {terminal.cluster}").stdout


def test_a_paused_cluster_keeps_its_pods_going(terminal: Terminal) -> None:
    (terminal.folder / "assets").symlink_to(OWN_FILES)
    terminal.type("kubelab image build -t kubelab/hello:v-1.0.0 assets/00000")
    pushed = terminal.type("kubelab image push kubelab/hello:v-1.0.0")
    assert "nothing has to be pushed" in pushed.stdout
    assert terminal.type("kubelab image push no/such", code=1).stderr.startswith("error: An image does not exist")
    terminal.type("kctl run hello --port=8080 --labels='app=node' --image=kubelab/hello:v-1.0.0")
    terminal.type("kctl create service loadbalancer node --tcp=80:8080")
    terminal.running("app=node", 1)
    opened = terminal.type("kubelab tunnel").stdout
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+", opened)
    listed = terminal.type("kubelab service list").stdout
    assert re.search(rf"\| default +\| node +\| 80-8080/80 +\| {terminal.network}\.2:\d+ +\|", listed)
    assert re.search(r"\| default +\| kubernetes +\| +\| No node port +\|", listed)
    eventually(lambda: try_fetch(url))

    paused = terminal.type("kubelab pause").stdout
    assert "Paused 7 processes in: etcd, api-server, scheduler, controller-manager, kubelet" in paused
    assert "Paused" in terminal.type("kubelab status", code=1).stdout
    assert "Degraded" in terminal.type("kubelab profile list").stdout
    assert "Container ID is hello" in fetch(url)
    terminal.type("kubelab unpause")
    eventually(lambda: terminal.type("kubelab status", code=None).code == 0)
    eventually(lambda: terminal.type("kctl get pods", code=None).code == 0)


def test_a_user_without_rights(terminal: Terminal) -> None:
    """What can work does: kctl with a kubeconfig. All else says what is missing, or whose cluster it is."""
    with ordinary_user() as user:
        up = user.type("kubelab", "up")
        assert up.code == 1
        assert (
            " - a cluster makes network namespaces and mounts, which needs root\n   type the same as root: "
            in up.stderr
        )
        status = user.type("kubelab", "status", "--name", terminal.cluster)
        theirs = f"sudo KUBELAB_HOME={terminal.home}"
        assert status.code == 1
        assert status.stderr == (
            f'error: cluster "{terminal.cluster}" is root\'s, in {terminal.home}: type the same with {theirs}\n'
            f"{user.home}/.kubelab has none of this name; to start one there: kubelab up --name {terminal.cluster}\n"
        )
        missing = user.type("kctl", "get", "nodes")
        assert missing.code == 1
        assert "Start one with 'kubelab up', or name a file with --kubeconfig." in missing.stderr
        given = user.home / "kubeconfig"
        given.write_text((terminal.home / "kubeconfig").read_text())
        nodes = user.type("kctl", "get", "nodes", "--no-headers", KUBECONFIG=str(given))
        assert [row[0] for row in nodes.rows] == list(terminal.roles)


def test_a_node_is_stopped_and_started(terminal: Terminal) -> None:
    assert "Node node-2 is stopped." in terminal.type("kubelab node stop node-2").stdout
    stopped = terminal.type("kubelab fault ls").stdout
    assert "kubelet@node-2" in stopped
    assert "kubelet@node-1" not in stopped
    assert "Node node-2 is started." in terminal.type("kubelab node start node-2").stdout
    eventually(lambda: terminal.type("kubelab status", code=None).code == 0)


def test_logs_of_every_component(terminal: Terminal) -> None:
    logs = terminal.type("kubelab logs --length 1").stdout
    for process in ("etcd@cp-1", "api-server@cp-1", "kubelet@node-2"):
        assert f"==> {process} <==\n" in logs


def test_stop_and_start_keep_the_objects_and_delete_does_not(terminal: Terminal) -> None:
    assert "is stopped; its objects are kept" in terminal.type("kubelab stop").stdout
    assert "Stopped" in terminal.type("kubelab profile list").stdout
    assert "Done in" in terminal.type(f"kubelab start -p {terminal.cluster}", deadline=180).stdout
    assert terminal.type("kctl get service node --no-headers").rows[0][0] == "node"
    deleted = terminal.type(f"kubelab delete -p {terminal.cluster}").stdout
    assert "and everything of it is removed" in deleted
    assert terminal.type("kubelab profile list", code=1).stderr.endswith("`kubelab start`.\n")
    terminal.type(f"kubelab start --nodes 1 -p {terminal.cluster}", deadline=180)
