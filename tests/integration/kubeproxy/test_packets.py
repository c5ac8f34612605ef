"""The rules, walked by real packets: a node with pods behind it and a client in front, each a network namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from kubelab.kubeproxy.conntrack import to_check
from kubelab.kubeproxy.model import Backend, ServicePort
from kubelab.kubeproxy.rules import Table
from kubelab.linux.nftables import Fragment, Protocol, script

pytestmark = pytest.mark.root

PODS = ("10.244.0.2", "10.244.0.3", "10.244.0.4")
CLUSTER_IP, NODE_IP, CLIENT_IP = "10.96.0.10", "192.168.49.2", "192.168.49.9"

SERVER = """
import selectors, socket, sys
name, ready = sys.argv[1], selectors.DefaultSelector()
for port in (8080, 8081):
    ready.register(socket.create_server(("0.0.0.0", port)), selectors.EVENT_READ, f"{name}:{port}")
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 5353))
ready.register(datagrams, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in ready.select():
        if key.fileobj is datagrams:
            _, peer = datagrams.recvfrom(99)
            datagrams.sendto(name.encode(), peer)
        else:
            connection, peer = key.fileobj.accept()
            connection.sendall(f"{name} {peer[0]} {key.data}".encode())
            connection.close()
"""

# The node's own servers.
OWN = """
import selectors, socket, sys
events = selectors.DefaultSelector()
for port in sys.argv[1:]:
    server = socket.create_server(("0.0.0.0", int(port)))
    events.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in events.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(b"own")
        connection.close()
"""

ASK = """
import json, socket, sys
answers = []
for _ in range(int(sys.argv[3])):
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as s:
            answers.append(s.recv(99).decode())
    except OSError as err:
        answers.append(type(err).__name__)
print(json.dumps(answers))
"""

# One socket, a datagram for each line that comes in: "timeout" where nothing comes back.
TALK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    s.settimeout(float(line))
    try:
        s.send(b"?")
        print(s.recv(99).decode(), flush=True)
    except OSError as err:
        print(type(err).__name__, flush=True)
"""

FORGET = """
import sys
from ipaddress import IPv4Address
from kubelab.kubeproxy.conntrack import Conntrack
from kubelab.kubeproxy.model import Backend
print(Conntrack().forget_stale(eval(sys.argv[1])))
"""


def ip(*arguments: str, inside: str = "") -> None:
    command = ["ip", *(["-n", inside] if inside else []), *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


class Lab:
    """node ⇄ client by a veth, node ⇄ each pod by a routed veth, as kubelab's nodes have it."""

    def __init__(self, prefix: str) -> None:
        self.node, self.client = f"{prefix}-node", f"{prefix}-client"
        self.pods = {address: f"{prefix}-p{n}" for n, address in enumerate(PODS)}
        self.servers: list[subprocess.Popen[str]] = []
        self.table = Table()

    def build(self) -> None:
        for name in (self.node, self.client, *self.pods.values()):
            ip("netns", "add", name)
            ip("link", "set", "lo", "up", inside=name)
        self.write(self.node, "net/ipv4/ip_forward", "1")
        self.join("eth0", self.client, f"{NODE_IP}/24", f"{CLIENT_IP}/24")
        ip("route", "add", "default", "via", CLIENT_IP, inside=self.node)
        ip("route", "add", "10.96.0.0/12", "via", NODE_IP, inside=self.client)
        for n, (address, name) in enumerate(self.pods.items()):
            self.join(f"veth{n}", name, "169.254.1.1/32", f"{address}/32")
            ip("route", "add", f"{address}/32", "dev", f"veth{n}", inside=self.node)
            ip("route", "add", "169.254.1.1", "dev", "eth0", inside=name)
            ip("route", "add", "default", "via", "169.254.1.1", inside=name)
            self.servers.append(self.inside(name, SERVER, f"pod-{n}"))
        for server in self.servers:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
        self.apply(self.table.replaced({}))

    def join(self, device: str, other: str, here: str, there: str) -> None:
        ip("link", "add", device, "netns", self.node, "type", "veth", "peer", "name", "eth0", "netns", other)
        ip("addr", "add", here, "dev", device, inside=self.node)
        ip("addr", "add", there, "dev", "eth0", inside=other)
        ip("link", "set", device, "up", inside=self.node)
        ip("link", "set", "eth0", "up", inside=other)

    def write(self, name: str, key: str, value: str) -> None:
        subprocess.run(["ip", "netns", "exec", name, "sh", "-c", f"echo {value} > /proc/sys/{key}"], check=True)

    def inside(self, name: str, program: str, *arguments: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", name, sys.executable, "-c", program, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def apply(self, transaction: Fragment) -> None:
        command = ["ip", "netns", "exec", self.node, "nft", "-f", "-"]
        done = subprocess.run(command, input=script(transaction), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode() + transaction

    def set(self, *ports: ServicePort) -> None:
        changes = {port.name: (port,) for port in ports}
        self.apply(self.table.transaction(changes))
        self.table.commit(changes)

    def set_and_forget(self, *ports: ServicePort) -> int:
        """The same as kube-proxy does it, with the flows of UDP set right afterwards; how many were deleted."""
        before = [old for port in ports for old in self.table.ports.get(port.name, ())]
        self.set(*ports)
        with self.inside(self.node, FORGET, repr(to_check(before, ports))) as forgetting:
            out, _ = forgetting.communicate(timeout=60)
        return int(out)

    @contextmanager
    def talking(self, name: str, address: str, port: int) -> Generator[Callable[..., str]]:
        """A client that keeps one socket: call it for a datagram and its answer."""
        command = ["ip", "netns", "exec", name, sys.executable, "-c", TALK, address, str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdin
            assert client.stdout
            stdin, stdout = client.stdin, client.stdout

            def say(seconds: float = 5.0) -> str:
                stdin.write(f"{seconds}\n")
                stdin.flush()
                return stdout.readline().strip()

            yield say
            stdin.close()

    def ask(self, name: str, address: str, port: int, times: int = 1) -> list[str]:
        with self.inside(name, ASK, address, str(port), str(times)) as asking:
            out, _ = asking.communicate(timeout=60)
        return json.loads(out)

    def remove(self) -> None:
        for server in self.servers:
            server.kill()
            server.communicate()
        for name in (self.node, self.client, *self.pods.values()):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextmanager
def laboratory() -> Generator[Lab]:
    lab = Lab(f"kl-kp-{os.getpid()}")
    try:
        lab.build()
        yield lab
    finally:
        lab.remove()


@pytest.fixture(scope="module")
def lab() -> Generator[Lab]:
    with laboratory() as lab:
        yield lab


TCP, UDP, VIP = Protocol.TCP, Protocol.UDP, IPv4Address(CLUSTER_IP)


def backend(ip: str, port: int) -> Backend:
    return Backend(IPv4Address(ip), port)


def web(*pods: str, node_port: int = 30080) -> ServicePort:
    backends = tuple(backend(pod, 8080) for pod in pods)
    return ServicePort("default/web", TCP, 80, VIP, node_port=node_port, internal=backends, external=backends)


def dns(*pods: str, node_port: int = 30053) -> ServicePort:
    backends = tuple(backend(pod, 5353) for pod in pods)
    return ServicePort("default/dns", UDP, 53, VIP, node_port=node_port, internal=backends, external=backends)


def names(answers: list[str]) -> list[str]:
    return [answer.split()[0] for answer in answers]


def test_the_cluster_address_deals_in_turn(lab: Lab) -> None:
    lab.set(web(*PODS))
    assert names(lab.ask(lab.node, CLUSTER_IP, 80, 6)) == ["pod-0", "pod-1", "pod-2"] * 2


def test_a_pod_reaches_the_service_and_itself_through_it(lab: Lab) -> None:
    lab.set(web(*PODS))
    asking = lab.pods[PODS[0]]
    answers = lab.ask(asking, CLUSTER_IP, 80, 6)
    assert sorted(names(answers)) == ["pod-0", "pod-0", "pod-1", "pod-1", "pod-2", "pod-2"]
    # other pods see who asks; only what a pod sends to itself has to be masqueraded
    assert {answer.split()[1] for answer in answers if not answer.startswith("pod-0")} == {PODS[0]}


@pytest.fixture
def masquerading(lab: Lab) -> Generator[Lab]:
    """The laboratory, whose kube-proxy masquerades what pods send through a service to others than pods."""
    before, lab.table = lab.table, Table(masquerade_outside=True)
    lab.apply(lab.table.replaced({}))
    yield lab
    lab.table = before
    lab.apply(before.replaced(before.ports))


def test_a_machine_without_a_route_to_the_pods_answers_them_through_a_service(masquerading: Lab) -> None:
    lab, asking = masquerading, masquerading.pods[PODS[0]]
    lab.servers.append(lab.inside(lab.client, SERVER, "outside"))
    assert lab.servers[-1].stdout
    assert lab.servers[-1].stdout.readline() == "ready\n"
    lab.set(web(*PODS[1:]), ServicePort("default/outside", TCP, 81, VIP, internal=(backend(CLIENT_IP, 8080),)))
    assert lab.ask(asking, CLUSTER_IP, 81) == [f"outside {NODE_IP} outside:8080"]
    assert {answer.split()[1] for answer in lab.ask(asking, CLUSTER_IP, 80, 2)} == {PODS[0]}, "pods see who asks"


def test_a_node_port_is_masqueraded_and_shares_the_turns(lab: Lab) -> None:
    lab.set(web(*PODS))
    answers = lab.ask(lab.client, NODE_IP, 30080, 3)
    assert sorted(names(answers)) == ["pod-0", "pod-1", "pod-2"]
    assert CLIENT_IP not in {answer.split()[1] for answer in answers}
    (own,) = names(lab.ask(lab.node, NODE_IP, 30080, 1))
    assert own in {"pod-0", "pod-1", "pod-2"}, "from the node itself"


def test_two_ports_of_a_service_lead_each_to_its_own(lab: Lab) -> None:
    web = ServicePort("default/two:web", TCP, 80, IPv4Address("10.96.0.20"), internal=(backend(PODS[0], 8080),))
    admin = ServicePort("default/two:admin", TCP, 81, IPv4Address("10.96.0.20"), internal=(backend(PODS[0], 8081),))
    lab.set(web, admin)
    assert [lab.ask(lab.node, "10.96.0.20", port)[0].split()[-1] for port in (80, 81)] == ["pod-0:8080", "pod-0:8081"]
    lab.set(replace(admin, internal=()))
    assert names(lab.ask(lab.node, "10.96.0.20", 80)) == ["pod-0"]
    assert lab.ask(lab.node, "10.96.0.20", 81) == ["ConnectionRefusedError"]


def test_a_nodes_own_port_stays_its_own_though_a_service_claims_its_address(lab: Lab) -> None:
    """kube-proxy may not know yet that an address is its node's: the rules do."""
    backends = (backend(PODS[0], 8080),)
    thief = ServicePort(
        "default/thief", TCP, 10250, IPv4Address("10.96.0.40"), (IPv4Address(NODE_IP),), 0, backends, backends
    )
    lab.set(thief, replace(thief, name="default/empty", port=10256, internal=(), external=()))
    with lab.inside(lab.node, OWN, "10250", "10256") as own:
        assert own.stdout
        assert own.stdout.readline() == "ready\n"
        for port in (10250, 10256):
            assert names(lab.ask(lab.client, NODE_IP, port, 2)) == ["own", "own"]
            assert names(lab.ask(lab.pods[PODS[1]], NODE_IP, port, 2)) == ["own", "own"]
            assert names(lab.ask(lab.node, NODE_IP, port, 2)) == ["own", "own"]
        own.kill()


def test_a_local_policy_is_for_those_outside_alone(lab: Lab) -> None:
    """kubernetes#75262, #93456: who is inside is sent to any backend, also where this node has none."""
    anywhere, external = (backend(PODS[2], 8080),), IPv4Address("203.0.113.44")
    local = ServicePort(
        "default/etp", TCP, 8080, IPv4Address("10.96.0.50"), (external,), 30044, anywhere, (), anywhere, True
    )
    lab.set(local)
    for address, port in ((str(external), 8080), (NODE_IP, 30044)):
        assert names(lab.ask(lab.node, address, port)) == ["pod-2"], "from the node itself"
        assert lab.ask(lab.pods[PODS[0]], address, port) == [f"pod-2 {PODS[0]} pod-2:8080"], "from a pod"
    assert lab.ask(lab.client, NODE_IP, 30044) == ["TimeoutError"], "from outside: dropped"
    lab.set(replace(local, external=anywhere))
    assert lab.ask(lab.client, NODE_IP, 30044) == [f"pod-2 {CLIENT_IP} pod-2:8080"], "and its address is kept"


def test_a_client_stays_with_its_backend(lab: Lab) -> None:
    sticky = replace(web(*PODS), name="default/sticky", cluster_ip=IPv4Address("10.96.0.60"), node_port=0, affinity=60)
    lab.set(sticky)
    clients = [lab.node, lab.client, *lab.pods.values()]
    first = [names(lab.ask(client, "10.96.0.60", 80)) for client in clients]
    assert {name for [name] in first} == {"pod-0", "pod-1", "pod-2"}, "new clients come in turn"
    assert [set(names(lab.ask(client, "10.96.0.60", 80, 4))) for client in clients] == [{name} for [name] in first]
    [gone] = first[1]
    lab.set(
        replace(
            sticky,
            internal=(left := tuple(b for n, b in enumerate(sticky.internal) if f"pod-{n}" != gone)),
            external=left,
        )
    )
    moved = names(lab.ask(lab.client, "10.96.0.60", 80, 4))
    assert len({*moved}) == 1
    assert gone not in moved
    lab.set(replace(sticky, internal=(), external=()))
    table = subprocess.run(
        ["ip", "netns", "exec", lab.node, "nft", "list", "sets", "ip"], capture_output=True, text=True, check=True
    )
    assert "affinity-" not in table.stdout


@pytest.mark.parametrize(("asking", "address", "port"), [("node", CLUSTER_IP, 53), ("client", NODE_IP, 30053)])
def test_a_datagram_flow_follows_its_service(lab: Lab, asking: str, address: str, port: int) -> None:
    lab.set(dns(PODS[0]))
    with lab.talking(getattr(lab, asking), address, port) as say:
        assert say() == "pod-0"
        lab.set(dns(PODS[1]))
        assert say() == "pod-0", "the kernel sends the flow on to the backend that went"
        lab.set(dns(PODS[0]))
        assert lab.set_and_forget(dns(PODS[1], PODS[2])) >= 1
        assert say() in {"pod-1", "pod-2"}
        assert lab.set_and_forget(dns()) >= 1
        assert say() in {"ConnectionRefusedError", "PermissionError"}, "refused: there is no backend any more"
        lab.set_and_forget(dns(PODS[0]))
        assert "pod-0" in {say(), say()}, "at the second try at the latest: the first may get the old refusal"
        assert lab.set_and_forget(dns(PODS[0], PODS[1])) == 0, "a flow that is right stays"
        assert say() == "pod-0"


def test_a_flow_from_before_there_was_a_backend_finds_the_first(lab: Lab) -> None:
    name, address = "default/late", "10.96.0.30"
    with lab.talking(lab.client, address, 53) as say:
        assert say(0.1) == "TimeoutError", "nobody knows the address: the datagram leaves the node again"
        late = replace(dns(PODS[0], node_port=0), name=name, cluster_ip=IPv4Address(address))
        assert lab.set_and_forget(late) == 1
        assert say() == "pod-0"


def test_without_endpoints_it_refuses_at_once_from_everywhere(lab: Lab) -> None:
    lab.set(web())
    assert lab.ask(lab.node, CLUSTER_IP, 80) == ["ConnectionRefusedError"]
    assert lab.ask(lab.pods[PODS[1]], CLUSTER_IP, 80) == ["ConnectionRefusedError"]
    assert lab.ask(lab.client, NODE_IP, 30080) == ["ConnectionRefusedError"]


def test_endpoints_come_and_go(lab: Lab) -> None:
    lab.set(web(PODS[0]))
    assert names(lab.ask(lab.node, CLUSTER_IP, 80, 2)) == ["pod-0", "pod-0"]
    lab.set(web(PODS[1], PODS[2]))
    assert names(lab.ask(lab.node, CLUSTER_IP, 80, 4)) == ["pod-1", "pod-2"] * 2
    lab.set(web(PODS[1], PODS[2], node_port=0))
    assert lab.ask(lab.client, NODE_IP, 30080) == ["ConnectionRefusedError"]


def test_a_whole_new_table_keeps_connections_that_are_open(lab: Lab) -> None:
    lab.set(web(*PODS))
    long_lived = """
import socket, sys
s = socket.create_connection((sys.argv[1], 80), timeout=5)
print("open", flush=True)
sys.stdin.readline()
print(s.recv(99).decode())
"""
    command = ["ip", "netns", "exec", lab.node, sys.executable, "-c", long_lived, CLUSTER_IP]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout
        assert client.stdout.readline() == "open\n"
        lab.apply(lab.table.replaced(lab.table.ports))
        out, _ = client.communicate("go on\n", timeout=30)
    assert out.startswith("pod-")
