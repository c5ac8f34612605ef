"""Two nodes and a pod as network namespaces, with processes that hold connections open and say what arrives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from kubelab.linux.nftables import Fragment, script
from kubelab.topology.components import GROUPS, PORTS
from kubelab.topology.partitions import MARKING, NetworkPlace, Topology

A, B, POD = "192.168.49.2", "192.168.49.3", "10.244.1.2"
POD_PORT = 8080

# A process of its own group. It listens, and obeys lines of JSON: a connection has a name that both ends know, and
# carries words, which are remembered by whom they reach.
PROGRAM = """
import json, os, select, socket, sys, time
group, ports = int(sys.argv[1]), json.loads(sys.argv[2])
os.setresgid(group, group, group)
listeners = [socket.create_server(("0.0.0.0", port)) for port in ports]
ends, rest, heard = {}, {}, set()

def at_once(end):
    # Else a word waits for the acknowledgement of the one before, which may be lost on its way back.
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end

def open_(name, address, port, seconds):
    end = at_once(socket.socket())
    end.settimeout(seconds)
    try:
        end.connect((address, port))
        end.sendall(f"={name}\\n".encode())
    except OSError as err:
        end.close()
        return type(err).__name__
    ends[name], rest[end] = end, b""
    return "open"

def read(end):
    data = end.recv(4096)
    *lines, rest[end] = (rest[end] + data).split(b"\\n")
    if not data:
        del rest[end]
    for line in lines:
        word = line.decode()
        if word.startswith("="):
            ends[word[1:]] = end
        else:
            heard.add(word)

def turn(seconds):
    ready, _, _ = select.select([*listeners, *rest, sys.stdin.buffer.raw], [], [], seconds)
    for end in ready:
        if end in listeners:
            rest[at_once(end.accept()[0])] = b""
        elif end in rest:
            read(end)
    return sys.stdin.buffer.raw in ready

def wait(true, seconds):
    until = time.monotonic() + seconds
    while not true() and (left := until - time.monotonic()) > 0:
        select.select([*listeners, *rest], [], [], left)
        turn(0)
    return true()

print("ready", flush=True)
buffer = b""
while True:
    if not turn(None):
        continue
    data = os.read(0, 65536)
    if not data:
        break
    *lines, buffer = (buffer + data).split(b"\\n")
    for line in lines:
        what, *told = json.loads(line)
        if what == "open":
            answer = open_(*told)
        elif what == "has":
            answer = wait(lambda: told[0] in ends, 5)
        elif what == "say":
            ends[told[0]].sendall(f"{told[1]}\\n".encode())
            answer = True
        else:
            words, seconds = told
            wait(lambda: heard >= set(words), seconds)
            answer = sorted(heard & set(words))
        print(json.dumps(answer), flush=True)
"""


def ip(*arguments: str, inside: str = "") -> str:
    command = ["ip", *(["-n", inside] if inside else []), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def mac(inside: str) -> str:
    found = re.search(r"link/ether (\S+)", ip("link", "show", "eth0", inside=inside))
    assert found
    return found[1]


class Talker:
    """One process."""

    def __init__(self, namespace: str, group: int, ports: Iterable[int]) -> None:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", PROGRAM, str(group), json.dumps([*ports])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready\n"

    def open(self, name: str, address: str, port: int, *, seconds: float = 5.0) -> str:
        """``open``, or the name of the error."""
        return str(self._ask("open", name, address, port, seconds))

    def has(self, connection: str) -> bool:
        return bool(self._ask("has", connection))

    def say(self, connection: str, word: str) -> None:
        self._ask("say", connection, word)

    def heard(self, words: Iterable[str], *, seconds: float) -> set[str]:
        """Which of these words have come, waiting so long for all of them."""
        answer = self._ask("heard", [*words], seconds)
        assert isinstance(answer, list)
        return {str(word) for word in answer}

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _ask(self, *told: object) -> object:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()


@dataclass(frozen=True)
class Connection:
    """``client`` to ``address``:``port``, where ``server`` listens. Both are names of talkers."""

    name: str
    client: str
    server: str
    address: str
    port: int


CONNECTIONS = (
    Connection("kubelet-api", "kubelet@node-1", "api-server@cp-1", A, 6443),
    Connection("proxy-api", "kube-proxy@node-1", "api-server@cp-1", A, 6443),
    Connection("api-kubelet", "api-server@cp-1", "kubelet@node-1", B, 10250),
    Connection("scheduler-kubelet", "scheduler@cp-1", "kubelet@node-1", B, 10250),
    Connection("scheduler-api", "scheduler@cp-1", "api-server@cp-1", A, 6443),
    Connection("scheduler-api-lo", "scheduler@cp-1", "api-server@cp-1", "127.0.0.1", 6443),
    Connection("api-etcd", "api-server@cp-1", "etcd@cp-1", A, 2379),
    Connection("pod-api", "pod", "api-server@cp-1", A, 6443),
    Connection("api-pod", "api-server@cp-1", "pod", POD, POD_PORT),
    Connection("kubelet-pod", "kubelet@node-1", "pod", POD, POD_PORT),
)


@dataclass
class Talk:
    """cp-1 ⇄ node-1 by a veth, node-1 ⇄ its pod by a routed one, and a process of each kind."""

    prefix: str
    talkers: dict[str, Talker] = field(default_factory=dict[str, Talker])
    said: int = 0

    @property
    def namespaces(self) -> dict[str, str]:
        return {name: f"{self.prefix}-{name}" for name in ("cp-1", "node-1", "pod")}

    def build(self, *, marking: bool = True) -> None:
        plane, node, pod = self.namespaces.values()
        for name in (plane, node, pod):
            ip("netns", "add", name)
            ip("link", "set", "lo", "up", inside=name)
        ip("link", "add", "eth0", "netns", plane, "type", "veth", "peer", "name", "eth0", "netns", node)
        ip("link", "add", "veth0", "netns", node, "type", "veth", "peer", "name", "eth0", "netns", pod)
        for name, device, address in (
            (plane, "eth0", f"{A}/24"),
            (node, "eth0", f"{B}/24"),
            (node, "veth0", "169.254.1.1/32"),
            (pod, "eth0", f"{POD}/32"),
        ):
            ip("addr", "add", address, "dev", device, inside=name)
            ip("link", "set", device, "up", inside=name)
        ip("route", "add", f"{POD}/32", "dev", "veth0", inside=node)
        ip("route", "add", "10.244.1.0/24", "via", B, inside=plane)
        ip("route", "add", "169.254.1.1", "dev", "eth0", inside=pod)
        ip("route", "add", "default", "via", "169.254.1.1", inside=pod)
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        subprocess.run(["ip", "netns", "exec", node, "sh", "-c", forward], check=True)
        if marking:
            self.mark()
        for name in ("api-server@cp-1", "scheduler@cp-1", "etcd@cp-1", "kubelet@node-1", "kube-proxy@node-1"):
            component, _, where = name.partition("@")
            self.talkers[name] = Talker(self.namespaces[where], GROUPS[component], PORTS[component])
        self.talkers["pod"] = Talker(pod, 0, [POD_PORT])
        for connection in CONNECTIONS:
            assert self.open(connection) == "open", connection
            assert self.talkers[connection.server].has(connection.name)

    def mark(self) -> None:
        for node in ("cp-1", "node-1"):
            self.apply(node, MARKING)

    def open(self, connection: Connection, *, name: str = "", seconds: float = 5.0) -> str:
        client = self.talkers[connection.client]
        return client.open(name or connection.name, connection.address, connection.port, seconds=seconds)

    def topology(self) -> Topology:
        places = {
            name: NetworkPlace(name, address, mac(self.namespaces[name]))
            for name, address in (("cp-1", A), ("node-1", B))
        }
        processes = {name: places[name.partition("@")[2]] for name in self.talkers if "@" in name}
        return Topology({name: (place,) for name, place in places.items()}, processes)

    def apply(self, node: str, rules: Fragment) -> None:
        command = ["ip", "netns", "exec", self.namespaces[node], "nft", "-f", "-"]
        done = subprocess.run(command, input=script(rules), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode() + rules

    def say(self) -> dict[str, dict[str, str]]:
        """Every end of every connection says a word. Gives, for each talker, the words that should reach it by what
        they are: ``api-etcd>`` from client to server, ``api-etcd<`` the other way."""
        self.said += 1
        words: dict[str, dict[str, str]] = {name: {} for name in self.talkers}
        for connection in CONNECTIONS:
            for sign, speaker, listener in (
                (">", connection.client, connection.server),
                ("<", connection.server, connection.client),
            ):
                word = f"{connection.name}{sign}{self.said}"
                self.talkers[speaker].say(connection.name, word)
                words[listener][f"{connection.name}{sign}"] = word
        return words

    def lost(self, words: dict[str, dict[str, str]], *, seconds: float) -> set[str]:
        """Which of these words have not come after so many seconds."""
        missing: set[str] = set()
        for name, expected in words.items():
            heard = self.talkers[name].heard(expected.values(), seconds=seconds)
            missing |= {what for what, word in expected.items() if word not in heard}
        return missing

    def remove(self) -> None:
        for talker in self.talkers.values():
            talker.end()
        for name in self.namespaces.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
