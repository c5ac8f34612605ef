"""The network of a cluster: made, made again, shared by nobody, taken away."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from kubelab.linux import syscalls
from kubelab.supervisor import network
from kubelab.topology.record import Record

pytestmark = pytest.mark.root


@pytest.fixture
def made(record: Record) -> Record:
    network.create(record)
    return record


def host_links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def listen(address: str) -> socket.socket:
    return socket.create_server((address, 0))


def test_nodes_reach_each_other_and_the_host_sees_nothing(record: Record) -> None:
    before = host_links()
    network.create(record)
    first, second = record.nodes
    server = network.inside(record.namespace(first.name), lambda: listen(first.address))
    with server:
        port = server.getsockname()[1]
        where = (first.address, port)
        client = network.inside(record.namespace(second.name), lambda: socket.create_connection(where, 5))
        with client:
            accepted, peer = server.accept()
            accepted.close()
            assert peer[0] == second.address
    assert host_links() == before


def test_nodes_forward(made: Record) -> None:
    read = network.inside(made.namespace("node-1"), Path("/proc/sys/net/ipv4/ip_forward").read_text)
    assert read.strip() == "1"


def test_creating_again_changes_nothing(made: Record) -> None:
    before = network.inodes(made)
    network.create(made)
    assert network.inodes(made) == before
    assert len(before) == 3


def test_what_is_missing_is_made_again(made: Record) -> None:
    path = made.namespace("node-1")
    syscalls.unmount(path)
    network.create(made)
    server = network.inside(made.namespace("cp-1"), lambda: listen("192.168.49.2"))
    with server:
        where = server.getsockname()
        network.inside(path, lambda: socket.create_connection(where, 5)).close()


def test_two_clusters_have_the_same_addresses_side_by_side(made: Record, tmp_path: Path) -> None:
    other = Record.new(tmp_path / "other", "other", 2)
    network.create(other)
    try:
        servers = [network.inside(r.namespace("cp-1"), lambda: listen("192.168.49.2")) for r in (made, other)]
        for server in servers:
            server.close()
    finally:
        network.remove(other)
        other.run.rmdir()


def test_removing_leaves_nothing_and_can_be_repeated(made: Record) -> None:
    network.remove(made)
    network.remove(made)
    assert str(made.run) not in Path("/proc/self/mounts").read_text()
    assert network.inodes(made) == set()


def test_threads_end_with_their_namespace(made: Record) -> None:
    before = threading.active_count()
    network.create(made)
    assert threading.active_count() == before
