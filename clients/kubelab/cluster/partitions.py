"""Partitions as rules of nftables: pure functions from what is cut off to one script for each network namespace.

::

    node → node         dropped where it arrives, by the sender's hardware address: pods' packets have it too
    node → process      the same, for the process's ports, and for the connections that the process has opened
    process → node      dropped where it leaves: connections that it has opened to that node or its pods; and
                        where it arrives: what its ports answer
    process → process   each opens connections to the other's ports: what leaves for them is dropped where the client
                        is, and what comes back from them as well

Ports tell who listens. Who has opened a connection is not to be read off a packet, so it is written down:
:data:`OWNERS` marks every connection with the group of the component that opened it (see
:mod:`kubelab.cluster.identity`). It is loaded when a node starts and stays; where it was not, it finds the owner of a
connection at the first packet that the owner sends, or gets from another node. Packets are dropped, never refused, so
connections that are open stay so until somebody loses patience. ARP is left alone.

A node is one network namespace or several (a control plane of containers has one for each component).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kubelab.apimachinery.errors import BadRequest, NotFound
from kubelab.cluster.driver import Partition
from kubelab.cluster.identity import GROUPS, PORTS

FAULTS_TABLE, OWNERS_TABLE = "inet kubelab-faults", "inet kubelab-owners"
# Either replaces itself in one transaction: a table that is not there cannot be deleted, so it is made first.
NO_FAULTS = f"table {FAULTS_TABLE}\ndelete table {FAULTS_TABLE}\n"


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace of ``node``, with the address (IPv4) and hardware address by which the others see it."""

    name: str
    node: str
    address: str
    mac: str


@dataclass(frozen=True, slots=True)
class Member:
    """A process, ``scheduler@cp-1``, in the network namespace ``host``."""

    name: str
    component: str
    host: str

    @property
    def group(self) -> int:
        return GROUPS[self.component]

    @property
    def ports(self) -> tuple[int, ...]:
        return PORTS[self.component]


@dataclass(frozen=True)
class Topology:
    """Where everything is."""

    hosts: tuple[Host, ...]
    members: tuple[Member, ...]

    def host(self, member: Member) -> Host:
        return next(host for host in self.hosts if host.name == member.host)

    def of_node(self, node: str) -> list[Host]:
        return [host for host in self.hosts if host.node == node]


Side = Member | str  # a process, or the name of a node


@dataclass(frozen=True)
class _Rules:
    """One namespace's rules by chain, in order, none of them twice."""

    arriving: dict[str, None] = field(default_factory=dict[str, None])
    input: dict[str, None] = field(default_factory=dict[str, None])
    output: dict[str, None] = field(default_factory=dict[str, None])


def owners() -> str:
    """Give the script that marks connections with who has opened them; a connection keeps its first mark.

    Packets of listening ports mark nothing: it is the other end that has opened the connection.
    """
    groups = ", ".join(f"{group} : {group}" for group in GROUPS.values())
    ports = _set(port for ports in PORTS.values() for port in ports)
    return f"""\
table {OWNERS_TABLE}
delete table {OWNERS_TABLE}
table {OWNERS_TABLE} {{
	map groups {{
		type gid : mark
		elements = {{ {groups} }}
	}}
	chain output {{
		type filter hook output priority mangle; policy accept;
		ct mark 0 tcp sport != {ports} ct mark set meta skgid map @groups
	}}
	chain input {{
		type filter hook input priority mangle; policy accept;
		ct mark 0 tcp dport != {ports} ct mark set meta skgid map @groups
	}}
}}
"""


OWNERS = owners()


def scripts(partitions: Iterable[Partition], topology: Topology) -> dict[str, str]:
    """Give every namespace's script; it replaces what was there, and removes the table where nothing is left.

    Raises NotFound, BadRequest as :func:`check` does.
    """
    rules = {host.name: _Rules() for host in topology.hosts}
    for partition in partitions:
        source, target = check(partition, topology)
        _cut(rules, topology, source, target)
        if not partition.one_way:
            _cut(rules, topology, target, source)
    return {name: _script(found) for name, found in rules.items()}


def check(partition: Partition, topology: Topology) -> tuple[Side, Side]:
    """Find both sides. Raises NotFound for one that is not there, BadRequest where packets cannot be what is cut."""
    a, b = _side(partition.source, topology), _side(partition.target, topology)
    for side, other in ((a, b), (b, a)):
        if isinstance(side, Member):
            if side.component not in GROUPS:
                raise BadRequest(
                    f"{side.name} talks through unix sockets, which no lost packet can cut; "
                    f"freeze it instead: kubelab fault pause {side.name}"
                )
            if topology.host(side).node == other:
                raise BadRequest(f"{side.name} is a part of {other}: name another node, or another process")
    if partition.source == partition.target:
        raise BadRequest(f"{partition.source} cannot be cut off from itself")
    return a, b


def same(a: Partition, b: Partition) -> bool:
    """Do they cut the same? The order of sides means nothing where both ways are cut."""
    return _key(a) == _key(b)


def added(partitions: Sequence[Partition], new: Partition) -> list[Partition]:
    """The partitions with one more, unless it is there already."""
    return [*partitions, *(() if any(same(new, p) for p in partitions) else (new,))]


def healed(partitions: Sequence[Partition], old: Partition | None) -> list[Partition]:
    """The partitions without one, or none of them."""
    return [] if old is None else [p for p in partitions if not same(p, old)]


def _key(partition: Partition) -> tuple[str, str, bool]:
    a, b = partition.source, partition.target
    return (a, b, True) if partition.one_way else (min(a, b), max(a, b), False)


def _side(name: str, topology: Topology) -> Side:
    if "@" in name:
        found = next((member for member in topology.members if member.name == name), None)
        if found is None:
            raise NotFound(f'process "{name}" not found')
        return found
    if not topology.of_node(name):
        raise NotFound(f'node "{name}" not found')
    return name


def _cut(rules: dict[str, _Rules], topology: Topology, source: Side, target: Side) -> None:
    """Drop what goes from one side to the other."""
    if isinstance(source, Member):
        if isinstance(target, Member):
            _process_to_process(rules, topology, source, target)
        else:
            _process_to_node(rules, topology, source, target)
        return
    macs = _set(host.mac for host in topology.of_node(source))
    if isinstance(target, Member):
        there = rules[target.host]
        note = _note(source, target.name)
        there.input[f"ether saddr {macs} tcp dport {_set(target.ports)} {note}"] = None
        there.input[f"ether saddr {macs} ct mark {target.group} {note}"] = None
        return
    for host in topology.of_node(target):
        rules[host.name].arriving[f"ether saddr {macs} {_note(source, target)}"] = None


def _process_to_node(rules: dict[str, _Rules], topology: Topology, source: Member, target: str) -> None:
    note, hosts = _note(source.name, target), topology.of_node(target)
    # Routes to a node's pods lead by way of the node: who is next knows more than the destination.
    next_hops = _set(host.address for host in hosts)
    rules[source.host].output[f"rt ip nexthop {next_hops} ct mark {source.group} {note}"] = None
    answers = f"ip saddr {topology.host(source).address} tcp sport {_set(source.ports)}"
    for host in hosts:
        rules[host.name].arriving[f"{answers} {note}"] = None


def _process_to_process(rules: dict[str, _Rules], topology: Topology, source: Member, target: Member) -> None:
    here, there = topology.host(source), topology.host(target)
    note = _note(source.name, target.name)
    asked, answered = f"tcp dport {_set(target.ports)}", f"tcp sport {_set(source.ports)}"
    if here == there:  # by 127.0.0.1 or by the node's own address, it goes through lo
        chain = rules[here.name].input
        chain[f'iifname "lo" {asked} ct mark {source.group} {note}'] = None
        chain[f'iifname "lo" {answered} ct mark {target.group} {note}'] = None
        return
    rules[here.name].output[f"ip daddr {there.address} {asked} ct mark {source.group} {note}"] = None
    rules[there.name].input[f"ip saddr {here.address} {answered} ct mark {target.group} {note}"] = None


def _set(members: Iterable[str | int]) -> str:
    return "{ " + ", ".join(str(member) for member in members) + " }"


def _note(source: str, target: str) -> str:
    return f'counter drop comment "{source} to {target}"'


def _script(rules: _Rules) -> str:
    chains = {
        "arriving": ("prerouting", "raw", rules.arriving),
        "input": ("input", "filter", rules.input),
        "output": ("output", "filter", rules.output),
    }
    lines: list[str] = []
    for name, (hook, priority, found) in chains.items():
        if found:
            lines += [f"\tchain {name} {{", f"\t\ttype filter hook {hook} priority {priority}; policy accept;"]
            lines += [*(f"\t\t{rule}" for rule in found), "\t}"]
    if not lines:
        return NO_FAULTS
    return NO_FAULTS + "\n".join([f"table {FAULTS_TABLE} {{", *lines, "}", ""])
