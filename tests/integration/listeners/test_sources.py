"""The bounds of a node's own ports, by real connections: from a pod, from another node, from the node itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import IPv4Network

import pytest

from kubelab.linux.nftables import script
from kubelab.topology.listeners import BURST, OF_SOURCES, PER_NODE, PER_SOURCE, limits

pytestmark = pytest.mark.root

NODE, OTHER, POD = "192.168.49.2", "192.168.49.3", "10.244.1.5"
PORT, FREE = 10250, 8080  # the kubelet's, and one that is nobody's

SERVER = """
import selectors, socket, sys
events = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    server = socket.create_server(("0.0.0.0", port), backlog=4096)
    events.register(server, selectors.EVENT_READ, "server")
print("ready", flush=True)
while True:
    for key, _ in events.select():
        if key.data:
            events.register(key.fileobj.accept()[0], selectors.EVENT_READ)
        else:  # its client has gone
            events.unregister(key.fileobj)
            key.fileobj.close()
"""

# Opens many connections at once from each source, says how many were refused and how many are open, then holds them.
FLOOD = """
import selectors, socket, sys
address, port, count, *sources = sys.argv[1:]
opened = refused = 0
events = selectors.DefaultSelector()
for source in sources:
    for _ in range(int(count)):
        one = socket.socket()
        one.setblocking(False)
        one.bind((source, 0))
        one.connect_ex((address, int(port)))
        events.register(one, selectors.EVENT_WRITE)
while len(events.get_map()):
    for key, _ in events.select(timeout=10):
        if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            refused += 1
        else:
            opened += 1
            held = [*globals().get("held", []), key.fileobj]
        events.unregister(key.fileobj)
print(opened, refused, flush=True)
sys.stdin.readline()
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Lab:
    """A node with a pod behind it and another node in front, each a network namespace."""

    def __init__(self, prefix: str) -> None:
        self.node, self.other, self.pod = (f"{prefix}-{name}" for name in ("node", "other", "pod"))

    def build(self) -> None:
        for name in (self.node, self.other, self.pod):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for device, name, address in (("eth0", self.other, OTHER), ("kl1", self.pod, POD)):
            ip("link", "add", device, "netns", self.node, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", self.node, "link", "set", device, "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", self.node, "addr", "add", f"{NODE}/24", "dev", "eth0")
        ip("-n", self.node, "route", "add", "10.244.1.0/24", "dev", "kl1")
        ip("-n", self.pod, "route", "add", "default", "dev", "eth0")
        for last in range(6, 30):
            ip("-n", self.pod, "addr", "add", f"10.244.1.{last}/32", "dev", "lo")
        command = ["ip", "netns", "exec", self.node, "nft", "-f", "-"]
        subprocess.run(command, input=script(limits(IPv4Network("192.168.49.0/24"))), check=True)
        write = "echo 1 > /proc/sys/net/ipv4/conf/kl1/proxy_arp"
        subprocess.run(["ip", "netns", "exec", self.node, "sh", "-c", write], check=True)

    def run(self, name: str, program: str, *arguments: object) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", name, sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @contextmanager
    def flood(self, name: str, port: int, count: int, *sources: str, address: str = NODE) -> Generator[tuple[int, int]]:
        """Open ``count`` connections from each source, and hold them; gives how many are open and refused."""
        with self.run(name, FLOOD, address, port, count, *sources) as client:
            assert client.stdout
            opened, refused = client.stdout.readline().split()
            yield int(opened), int(refused)
            client.kill()

    def remove(self) -> None:
        for name in (self.node, self.other, self.pod):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def lab() -> Generator[Lab]:
    made = Lab(f"kl-ls-{os.getpid()}")
    try:
        made.build()
        with made.run(made.node, SERVER, PORT, 10256, FREE) as server:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
            yield made
            server.kill()
    finally:
        made.remove()


def test_a_pod_takes_its_share_and_keeps_nobody_out(lab: Lab) -> None:
    with lab.flood(lab.pod, PORT, 1500, POD) as (opened, refused):
        assert (opened, refused) == (PER_SOURCE, 1500 - PER_SOURCE)
        with lab.flood(lab.other, PORT, 20, OTHER) as another_node:
            assert another_node == (20, 0)
        with lab.flood(lab.node, PORT, 200, NODE) as itself:
            assert itself == (200, 0)
        with lab.flood(lab.pod, PORT, 5, "10.244.1.6") as another_pod:
            assert another_pod == (5, 0)
        with lab.flood(lab.pod, 10256, 5, POD) as another_port:
            assert another_port == (5, 0)
        with lab.flood(lab.pod, FREE, 500, POD) as not_a_nodes_own:
            assert not_a_nodes_own == (500, 0)


def test_many_pods_together_have_a_bound_too(lab: Lab) -> None:
    sources = [f"10.244.1.{last}" for last in range(6, 26)]
    with lab.flood(lab.pod, PORT, 20, *sources) as (opened, _):
        assert opened == OF_SOURCES
        with lab.flood(lab.other, PORT, 20, OTHER) as another_node:
            assert another_node == (20, 0)


def test_another_node_has_more_and_not_everything(lab: Lab) -> None:
    with lab.flood(lab.other, PORT, 1000, OTHER) as (opened, _):
        assert opened == PER_NODE


def test_closed_connections_count_no_more_but_their_pace_does(lab: Lab) -> None:
    with lab.flood(lab.pod, PORT, PER_SOURCE, POD) as first:
        assert first == (PER_SOURCE, 0)
    with lab.flood(lab.pod, PORT, PER_SOURCE, POD) as again:
        assert again == (PER_SOURCE, 0)
    taken = 2 * PER_SOURCE
    for _ in range(5):
        with lab.flood(lab.pod, PORT, PER_SOURCE, POD) as (opened, refused):
            taken += opened
            if refused:
                break
    assert taken >= BURST, "a hundred at once, then fifty a second"
