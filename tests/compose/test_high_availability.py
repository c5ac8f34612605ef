"""Three of everything: what leads is stopped, another takes over, and clients go on by themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelab.client.kubeconfig import Kubeconfig
from tests.compose.project import Project, all_ready
from tests.e2e.terminal import OWN_FILES, Terminal, eventually

ELECTED = ("etcd", "scheduler", "controller-manager")


@pytest.fixture(scope="module")
def three(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project of its own with the profile ``ha``."""
    project = Project(f"t{os.getpid()}ha", tmp_path_factory.mktemp("ha"), settings={"KUBELAB_TAG": tag})
    try:
        project.up("--profile", "ha")
        yield project
    finally:
        project.down("--profile", "ha")


@pytest.fixture(scope="module")
def shell(three: Project, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    shell = three.terminal(tmp_path_factory.mktemp("terminal"), name="ha")
    all_ready(shell)
    shell.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000", deadline=180)
    return shell


def leaders(shell: Terminal) -> dict[str, str]:
    """Who leads, by component; one of each."""
    processes = json.loads(shell.type("kubelab status -o json", code=None).stdout)["processes"]
    found = {(process["component"], process["name"]) for process in processes if process["leader"]}
    assert sorted(component for component, _ in found) == sorted(ELECTED), found
    return dict(found)


def test_one_of_each_leads(shell: Terminal) -> None:
    assert set(eventually(lambda: leaders(shell), within=30)) == set(ELECTED)
    status = shell.type("kubelab status").stdout
    assert {f"{component}@cp-{n}" for component in (*ELECTED, "api-server") for n in (1, 2, 3)} <= set(status.split())
    assert "haproxy" in status


def test_writes_go_on_without_a_member_and_an_api_server(three: Project, shell: Terminal) -> None:
    before = leaders(shell)["etcd"]
    number = before.removeprefix("etcd@cp-")
    member = "etcd" if number == "1" else f"etcd-{number}"
    three.compose("stop", member, "api-server-2")
    after = eventually(lambda: leaders(shell)["etcd"], within=30, what="another member leads")
    assert after != before
    shell.type("kctl run survivor --image=kubelab/hello:v-1.0.0")
    eventually(lambda: shell.type("kctl get pod survivor --no-headers").rows[0][2] == "Running")
    flow = shell.type("kubelab flow pod/survivor")
    assert "RunPodSandbox" in flow.stdout
    assert "warning: an api-server does not answer" in flow.stderr
    three.compose("start", member, "api-server-2")
    all_ready(shell)


@pytest.mark.parametrize("component", ["scheduler", "controller-manager"])
def test_a_leader_that_is_killed_is_followed_by_another(shell: Terminal, component: str) -> None:
    before = eventually(lambda: leaders(shell), within=30)[component]
    shell.type(f"kubelab fault stop {before}")
    after = eventually(lambda: leaders(shell), within=40)[component]
    assert after != before
    shell.type(f"kubelab fault start {before}")
    all_ready(shell)
    assert leaders(shell)[component] == after, "whoever comes back follows"


def test_a_member_that_is_cut_off_loses_its_vote(shell: Terminal) -> None:
    before = leaders(shell)["etcd"]
    others = [f"etcd@cp-{n}" for n in (1, 2, 3) if f"etcd@cp-{n}" != before]
    for other in others:
        shell.type(f"kubelab fault partition {before} {other}")
    after = eventually(lambda: leaders(shell)["etcd"] in others and leaders(shell)["etcd"], within=30)
    assert after in others
    eventually(lambda: shell.type("kctl create namespace written", code=None).code == 0, what="a write")
    shell.type("kubelab fault heal")
    all_ready(shell)
    shell.type("kctl delete namespace written")


def test_a_kubeconfig_names_the_load_balancer_first(three: Project, shell: Terminal) -> None:
    config = Kubeconfig.load(Path(three.folder) / "home" / "kubeconfig")
    servers = config.access().servers
    assert len(servers) == 4
    balancer = next(
        container["NetworkSettings"]["Ports"]
        for container in three.containers()
        if container["Config"]["Labels"]["com.docker.compose.service"] == "haproxy"
    )
    assert servers[0].endswith(f":{balancer['6443/tcp'][0]['HostPort']}")
    assert config.server() == f"https://127.0.0.1:{balancer['8443/tcp'][0]['HostPort']}", "which every client reads"
