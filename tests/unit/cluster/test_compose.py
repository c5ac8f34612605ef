"""The compose driver over a docker in memory: what it sees, what it types, and what it says of what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from kubelab.apimachinery import errors
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster import composeproject, find
from kubelab.cluster.compose import ComposeCluster
from kubelab.cluster.composeetcd import claim_of
from kubelab.cluster.composepartitions import ComposePartitions
from kubelab.cluster.composerecord import ComposeRecord
from kubelab.cluster.containers import ContainerIdentity, identify, read, topology
from kubelab.cluster.driver import Action, ProcessState
from kubelab.cluster.usage import from_proc, size_of
from kubelab.topology.partitions import Partition
from kubelab.topology.record import Record, RecordError
from tests.unit.cluster.fakedocker import FakeDocker, document, small_cluster


@pytest.fixture
def docker() -> FakeDocker:
    return FakeDocker()


@pytest.fixture
async def cluster(docker: FakeDocker, tmp_path: Path) -> AsyncIterator[ComposeCluster]:
    record = ComposeRecord(tmp_path, "lab", "lab", Path("/src"), (Path("/src/docker-compose.yml"),))
    record.save()
    cluster = ComposeCluster(record, docker=docker, rules=LoadingRules((tmp_path / "kubeconfig",)))
    yield cluster
    await cluster.close()


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("etcd", "etcd@cp-1"),
        ("etcd-3", "etcd@cp-3"),
        ("api-server-2", "api-server@cp-2"),
        ("controller-manager", "controller-manager@cp-1"),
        ("kubelet-2", "kubelet@node-2"),
        ("kube-proxy-12", "kube-proxy@node-12"),
        ("node-2", "node-agent@node-2"),
        ("haproxy", "haproxy"),
        ("kubelet", "kubelet"),
        ("my-own-1", "my-own-1"),
    ],
)
def test_a_services_name_says_which_process_it_is(service: str, name: str) -> None:
    assert identify(service).name == name
    assert identify("node-2") == ContainerIdentity("node-agent", "node-2")


STATES: list[tuple[dict[str, Any], ProcessState, str]] = [
    ({}, ProcessState.RUNNING, ""),
    ({"Health": {"Status": "starting"}}, ProcessState.STARTING, ""),
    ({"Health": {"Status": "unhealthy"}}, ProcessState.UNHEALTHY, ""),
    ({"Health": None}, ProcessState.RUNNING, ""),
    ({"Status": "paused", "Paused": True}, ProcessState.PAUSED, ""),
    ({"Status": "restarting", "ExitCode": 1}, ProcessState.BACK_OFF, "exited with code 1"),
    ({"Status": "exited", "ExitCode": 137}, ProcessState.STOPPED, "killed by signal 9"),
    ({"Status": "created", "Error": "address already in use"}, ProcessState.STOPPED, "address already in use"),
    ({"Status": "created"}, ProcessState.STOPPED, "never started"),
]


@pytest.mark.parametrize(("state", "is_then", "message"), STATES, ids=lambda case: str(case)[:40])
def test_dockers_states_are_ours(state: dict[str, Any], is_then: ProcessState, message: str) -> None:
    process = read(document("etcd", 1, state=state)).process()
    assert (process.state, process.message) == (is_then, message)


async def test_status_names_every_process_in_order_and_no_pki(cluster: ComposeCluster) -> None:
    status = await cluster.status()
    assert [process.name for process in status.processes] == [
        "etcd@cp-1",
        "api-server@cp-1",
        "node-agent@node-2",
        "kubelet@node-2",
    ]
    assert [(node.name, node.address, node.image_store) for node in status.nodes] == [
        ("node-2", "192.168.49.12", "lab_node-2")
    ]
    assert status.processes[0].since == pytest.approx(1767225600.123456)


async def test_who_was_not_well_is_asked_again(cluster: ComposeCluster, docker: FakeDocker) -> None:
    docker.put("etcd", Health={"Status": "starting"})
    assert (await cluster.status()).processes[0].state is ProcessState.RUNNING
    docker.well = False
    assert (await cluster.status()).processes[0].state is ProcessState.STARTING


async def test_a_change_is_told_once_docker_tells_of_it(cluster: ComposeCluster, docker: FakeDocker) -> None:
    async with aclosing(cluster.watch_status()) as answers:
        assert (await anext(answers)).processes[3].state is ProcessState.RUNNING
        docker.events.put_nowait(b"exec of no interest")  # nothing has changed, so nothing is told
        docker.put("kubelet-2", Status="exited", ExitCode=0, Pid=0)
        assert (await anext(answers)).processes[3].state is ProcessState.STOPPED


@pytest.mark.parametrize(
    ("action", "before", "typed", "after"),
    [
        (Action.KILL, {}, ["run"], ProcessState.RUNNING),
        (Action.STOP, {}, ["stop"], ProcessState.STOPPED),
        (Action.STOP, {"Status": "paused", "Paused": True}, ["unpause", "stop"], ProcessState.STOPPED),
        (Action.STOP, {"Status": "exited"}, [], ProcessState.STOPPED),
        (Action.START, {"Status": "exited", "Pid": 0}, ["start"], ProcessState.RUNNING),
        (Action.RESTART, {}, ["stop", "start"], ProcessState.RUNNING),
        (Action.PAUSE, {}, ["pause"], ProcessState.PAUSED),
        (Action.PAUSE, {"Status": "paused", "Paused": True}, [], ProcessState.PAUSED),
        (Action.RESUME, {"Status": "paused", "Paused": True}, ["unpause"], ProcessState.RUNNING),
        (Action.RESUME, {}, [], ProcessState.RUNNING),
    ],
    ids=lambda case: str(getattr(case, "value", case))[:30],
)
async def test_each_action_is_dockers_own(
    cluster: ComposeCluster,
    docker: FakeDocker,
    action: Action,
    before: dict[str, Any],
    typed: list[str],
    after: ProcessState,
) -> None:
    docker.put("etcd", **before)
    process = await cluster.act("etcd@cp-1", action)
    assert process.state is after
    assert [verb for verb in docker.verbs() if verb != "events"] == typed


@pytest.mark.parametrize("action", [Action.KILL, Action.PAUSE, Action.RESUME])
async def test_what_does_not_run_cannot_be_killed_or_frozen(
    cluster: ComposeCluster, docker: FakeDocker, action: Action
) -> None:
    docker.put("etcd", Status="exited", Pid=0)
    with pytest.raises(errors.BadRequest, match="etcd@cp-1 does not run"):
        await cluster.act("etcd@cp-1", action)


async def test_a_machine_that_starts_brings_back_what_could_not_live_without_it(
    cluster: ComposeCluster, docker: FakeDocker
) -> None:
    docker.put("node-2", Status="exited", Pid=0)
    docker.put("kubelet-2", Status="exited", Pid=0, Error="cannot join network of a non running container")
    with pytest.raises(errors.BadRequest, match="kubelet@node-2 lives in node-agent@node-2, which does not run"):
        await cluster.act("kubelet@node-2", Action.START)
    await cluster.act("node-agent@node-2", Action.START)
    assert {p.name: p.state for p in (await cluster.status()).processes}["kubelet@node-2"] is ProcessState.RUNNING


async def test_what_a_person_has_stopped_stays_so_when_its_machine_starts(
    cluster: ComposeCluster, docker: FakeDocker
) -> None:
    docker.put("kubelet-2", Status="exited", Pid=0)
    await cluster.act("node-agent@node-2", Action.RESTART)
    assert {p.name: p.state for p in (await cluster.status()).processes}["kubelet@node-2"] is ProcessState.STOPPED


async def test_names_that_are_not_there(cluster: ComposeCluster) -> None:
    with pytest.raises(errors.NotFound, match='processes "nobody" not found'):
        await cluster.act("nobody", Action.KILL)
    with pytest.raises(errors.NotFound, match='processes "pki" not found'):
        await cluster.act("pki", Action.START)
    with pytest.raises(errors.NotFound, match='nodes "node-9" not found; there are: node-2'):
        await cluster.run("node-9", ["true"])


async def test_a_frozen_node_is_told_before_it_is_asked(cluster: ComposeCluster, docker: FakeDocker) -> None:
    docker.put("node-2", Status="paused", Paused=True)
    with pytest.raises(errors.Unavailable, match="node-2 does not answer: node-agent@node-2 is Paused"):
        await cluster.runtime_channel("node-2")


async def test_logs_and_commands(cluster: ComposeCluster, docker: FakeDocker) -> None:
    assert [chunk async for chunk in cluster.logs("etcd@cp-1", tail=3)] == [b"one\n"]
    assert docker.asked[-1][:3] == ("logs", "--tail", "3")
    assert (await cluster.run("node-2", ["ip", "addr"], timeout=2)).code == 0
    assert docker.asked[-1][3:] == ("timeout", "--signal=KILL", "2", "ip", "addr")


async def test_partitions_are_rules_in_each_namespace(docker: FakeDocker, tmp_path: Path) -> None:
    containers = [read(told) for told in docker.documents]
    cuts = ComposePartitions(docker, tmp_path / "partitions.json")
    partition = Partition("node-2", "api-server@cp-1")
    await cuts.add(containers, partition)
    helpers = [words for words in docker.asked if words[0] == "run"]
    places = {words[words.index("--network") + 1] for words in helpers}
    assert places == {f"container:{docker.of(service)['Id']}" for service in ("node-2", "api-server")}
    assert cuts.list(containers) == (partition,)
    assert cuts.list([read(document("etcd", 99))]) == (), "other containers, so the rules went with theirs"
    docker.asked.clear()
    await cuts.renew(containers)
    assert len([words for words in docker.asked if words[0] == "run"]) == 2
    await cuts.heal(containers)
    assert cuts.list(containers) == ()
    assert docker.stdin[-1].count(b"drop") == 0
    with pytest.raises(errors.NotFound, match='node "node-9" not found'):
        await cuts.add(containers, Partition("node-9", "node-2"))


async def test_rules_that_the_kernel_refuses_leave_no_partition(docker: FakeDocker, tmp_path: Path) -> None:
    containers = [read(told) for told in docker.documents]
    docker.fails["run"] = "nft: Operation not permitted"
    cuts = ComposePartitions(docker, tmp_path / "partitions.json")
    with pytest.raises(errors.InternalError, match="Operation not permitted"):
        await cuts.add(containers, Partition("node-2", "cp-1"))
    assert cuts.list(containers) == ()


@pytest.mark.parametrize("closed", ["node-2", "api-server"])
async def test_a_partition_that_one_namespace_refuses_is_in_none(
    docker: FakeDocker, tmp_path: Path, closed: str
) -> None:
    containers = [read(told) for told in docker.documents]
    docker.closed[docker.of(closed)["Id"]] = errors.InternalError("docker run: no such network")
    cuts = ComposePartitions(docker, tmp_path / "partitions.json")
    with pytest.raises(errors.InternalError, match="no such network"):
        await cuts.add(containers, Partition("node-2", "api-server@cp-1"))
    assert cuts.list(containers) == ()
    assert not any("drop" in script for script in docker.rules.values()), docker.rules


async def test_what_may_be_in_the_kernel_is_listed_until_it_is_healed(docker: FakeDocker, tmp_path: Path) -> None:
    containers = [read(told) for told in docker.documents]
    place = docker.of("node-2")["Id"]
    docker.closed[place] = errors.Timeout("docker run: not done within 20 s")
    cuts = ComposePartitions(docker, tmp_path / "partitions.json")
    partition = Partition("node-2", "api-server@cp-1")
    with pytest.raises(errors.Timeout):
        await cuts.add(containers, partition)
    assert cuts.list(containers) == (partition,)
    with pytest.raises(errors.Timeout):
        await cuts.heal(containers)
    assert cuts.list(containers) == (partition,)
    docker.closed.clear()
    await cuts.heal(containers)
    assert cuts.list(containers) == ()


async def test_to_heal_everything_clears_every_namespace(docker: FakeDocker, tmp_path: Path) -> None:
    """Also of rules that nothing on disk knows of."""
    await ComposePartitions(docker, tmp_path / "partitions.json").heal([read(told) for told in docker.documents])
    assert set(docker.rules) == {docker.of(service)["Id"] for service in ("node-2", "api-server", "etcd")}


async def test_what_is_listed_is_in_place(cluster: ComposeCluster, docker: FakeDocker) -> None:
    """Docker, or a person, may have started a container anew since."""
    await cluster.partition(Partition("node-2", "api-server@cp-1"))
    docker.rules.clear()
    assert await cluster.partitions() == (Partition("node-2", "api-server@cp-1"),)
    assert [script.count("drop") for script in docker.rules.values()] == [1, 1]


def test_what_shares_a_namespace_is_in_one_place() -> None:
    there = topology([read(told) for told in small_cluster()])
    assert there.processes["kubelet@node-2"] is there.processes["node-agent@node-2"]
    assert [len(places) for places in (there.nodes["cp-1"], there.nodes["node-2"])] == [2, 1]


async def test_a_cluster_of_which_nothing_runs_says_what_to_type(cluster: ComposeCluster, docker: FakeDocker) -> None:
    for told in docker.documents:
        told["State"] |= {"Status": "exited", "Pid": 0}
    with pytest.raises(errors.Unavailable, match="docker compose --project-directory /src up -d"):
        await cluster.status()


async def test_no_daemon_and_an_old_one(docker: FakeDocker) -> None:
    docker.version = {"Version": "19.03.8", "Arch": "amd64"}
    with pytest.raises(errors.Unavailable, match=r"Docker 19\.03\.8 is too old: kubelab needs 20\.10 or newer"):
        await docker.check()
    docker.version, docker.fails["ps"] = None, "Cannot connect"
    with pytest.raises(errors.Unavailable, match="Cannot connect to the Docker daemon at unix:///x"):
        await composeproject.find_project(docker, Path("/src"))


async def test_a_project_is_found_by_its_folder(docker: FakeDocker) -> None:
    project = await composeproject.find_project(docker, Path("/src"))
    assert (project.name, project.files) == ("lab", (Path("/src/docker-compose.yml"),))
    docker.documents[0]["Config"]["Labels"]["com.docker.compose.project"] = "other"
    with pytest.raises(errors.Conflict, match="several projects, name one with --project: lab, other"):
        await composeproject.find_project(docker, Path("/src"))
    docker.documents.clear()
    with pytest.raises(errors.Unavailable, match="no docker compose project of /src is running"):
        await composeproject.find_project(docker, Path("/src"))


async def test_an_old_compose(docker: FakeDocker) -> None:
    docker.documents = [document("api-server", 1, compose="1.25.0")]
    with pytest.raises(errors.Unavailable, match=r"docker-compose 1\.25\.0 is too old"):
        await composeproject.find_project(docker, Path("/src"))


async def test_images_for_another_processor_and_a_port_that_is_taken(docker: FakeDocker) -> None:
    project = await composeproject.find_project(docker, Path("/src"))
    with pytest.raises(errors.Unavailable, match="node:latest is for amd64, and this Docker runs on arm64"):
        await composeproject.check_images(docker, project, {"Arch": "arm64"})
    docker.put("api-server", Status="created", Error="Bind for 127.0.0.1:6443 failed: port is already allocated")
    project = await composeproject.find_project(docker, Path("/src"))
    with pytest.raises(errors.Unavailable, match="KUBELAB_API_PORT=7443"):
        await composeproject.check_started(docker, project)


async def test_two_networks_with_the_same_addresses_are_told(docker: FakeDocker) -> None:
    containers = (await composeproject.find_project(docker, Path("/src"))).containers
    assert composeproject.shared_network(containers, lambda _: ("br-1",)) == ""
    told = composeproject.shared_network(containers, lambda _: ("br-1", "br-2"))
    assert "lead to 192.168.49" in told
    assert "br-1, br-2" in told


async def test_a_kubeconfig_that_is_out_of_date_says_what_to_type(docker: FakeDocker, tmp_path: Path) -> None:
    containers = [read(told) for told in docker.documents if told is not docker.of("pki")]
    path = tmp_path / "kubeconfig"
    config = Kubeconfig(path=path)
    config.set_cluster("lab", server="https://127.0.0.1:1", ca=b"ca", certificate=b"c", key=b"k")
    config.set_cluster("mine", server="https://127.0.0.1:2", ca=b"ca", certificate=b"c", key=b"k")
    config.write(path)
    with pytest.raises(errors.Conflict, match=r"it names 127\.0\.0\.1:1.*type: kubelab compose kubeconfig --name lab"):
        await composeproject.check_kubeconfig(docker, containers, LoadingRules((path,)), "lab")
    # one of several that has moved is followed, and the user's current context stays what it was
    config.set_cluster("lab", server="https://127.0.0.1:6443,https://127.0.0.1:1", ca=b"ca", certificate=b"c", key=b"k")
    config.document["current-context"] = "mine"
    config.write(path)
    containers.append(read(document("api-server-2", 22, ports={"6443/tcp": 7000})))
    await composeproject.check_kubeconfig(docker, containers, LoadingRules((path,)), "lab")
    assert Kubeconfig.load(path).access("lab").servers == ("127.0.0.1:6443", "127.0.0.1:7000")
    assert Kubeconfig.load(path).current_context == "mine"


def test_records_of_both_kinds(tmp_path: Path) -> None:
    record = ComposeRecord(tmp_path, "lab", "p", Path("/src"), (Path("/src/c.yml"),), "ssh://host")
    record.save()
    Record.new(tmp_path, "own").save()
    assert ComposeRecord.load(tmp_path, "lab") == record
    assert ComposeRecord.load(tmp_path, "own") is None
    assert isinstance(find.find_cluster("lab", folder=tmp_path), ComposeCluster)
    assert find.find_cluster("own", folder=tmp_path).name == "own"
    with pytest.raises(RecordError, match="docker compose --project-directory /src up -d"):
        Record.load(tmp_path, "lab")
    record.remove()
    with pytest.raises(errors.NotFound, match='cluster "lab" not found'):
        find.find_cluster("lab", folder=tmp_path)


def test_which_cluster_is_meant_when_none_is_named(tmp_path: Path) -> None:
    home = {"KUBELAB_HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")}
    assert find.default_name(home) == "kubelab"
    config = Kubeconfig(path=tmp_path / "kubeconfig")
    config.set_cluster("lab", server="https://127.0.0.1:1", ca=b"", certificate=b"", key=b"")
    config.write(tmp_path / "kubeconfig")
    assert find.default_name(home) == "kubelab", "a context that is no cluster of ours"
    ComposeRecord(tmp_path, "lab", "p", Path("/src"), ()).save()
    assert find.default_name(home) == "lab"


def test_who_says_that_it_leads() -> None:
    answer = b'[{"Endpoint":"x","Status":{"header":{"member_id":%d},"leader":7,"raftTerm":3}}]'
    assert [claim_of(answer % member) for member in (7, 8)] == [3, 0]
    assert claim_of(b"") == 0


def test_what_containers_use(tmp_path: Path) -> None:
    container = read(document("etcd", 1))
    for pid, root in ((container.pid, "mnt:[1]"), (77, "mnt:[1]"), (78, "mnt:[2]")):
        folder = tmp_path / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "ns/mnt").symlink_to(root)
        (folder / "cgroup").write_text(f"0::/docker/{container.id}\n")
        (folder / "smaps_rollup").write_text("Rss: 9 kB\nPss:                 100 kB\n")
        (folder / "stat").write_text(f"{pid} (a b) S " + "0 " * 10 + "100 50 " + "0 " * 20)
    used = from_proc([container], tmp_path)
    assert used
    assert used[container.id].memory_bytes == 2 * 100 * 1024, "a pod's process, with a root of its own, is not counted"
    (tmp_path / str(container.pid) / "cgroup").write_text("0::/\n")
    assert from_proc([container], tmp_path) is None
    assert [size_of(text) for text in ("12.5MiB / 23GiB", "0B / 0B", "1.5kB / 2GB", "--")] == [13107200, 0, 1500, 0]
