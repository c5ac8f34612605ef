"""Partitions as rules of nftables: pure functions from partitions to one script for each network namespace.

A node is one place (network namespace), or several where its processes have containers of their own. A process that is
alone in its place is treated as that place.

::

    place → place       dropped where it arrives, by the sender's hardware address: packets of its pods have it too
    place → process     the same, for the process's ports, and for the connections that the process has opened
    process → place     connections that it has opened to that node or its pods: dropped where they leave;
                        what its ports answer: dropped where it arrives
    process → process   each opens connections to the other's ports: what leaves for them is dropped where the client
                        is, and what comes back from them as well

Ports identify the listening process. A packet does not show which process opened its connection, so :data:`MARKING`
marks every connection with the group of the component that opened it (see :mod:`kubelab.topology.components`). The
marking rules are loaded when a node starts, and stay. A connection that is older than the rules gets its mark with the
next packet that its owner sends or receives. Packets are dropped, never refused, so connections that are open stay open
until one side times out. ARP is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from kubelab.apimachinery.errors import BadRequest, NotFound
from kubelab.linux.nftables import Comment, Fragment, Mac, lines, nft
from kubelab.topology.components import GROUPS, PORTS


@dataclass(frozen=True, slots=True)
class Partition:
    """Packets from ``source`` to ``target`` are lost, and back too unless ``one_way``.

    Each side is a node (``node-1``) or a process (``scheduler@cp-1``). A node stands for all of its processes and pods.
    """

    source: str
    target: str
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class NetworkPlace:
    """A network namespace with the IPv4 address by which the others see it. ValueError for what are none.

    ``mac`` is its hardware address, by which rules match the packets of pods behind the place.
    """

    name: str
    address: str
    mac: str = ""

    def __post_init__(self) -> None:
        _ = self.ip, self.hardware

    @property
    def ip(self) -> IPv4Address:
        return IPv4Address(self.address)

    @property
    def hardware(self) -> Mac | None:
        return Mac(self.mac.lower()) if self.mac else None


@dataclass(frozen=True)
class Topology:
    """The places of each node, and the place of each process (``scheduler@cp-1``)."""

    nodes: Mapping[str, Sequence[NetworkPlace]]
    processes: Mapping[str, NetworkPlace]

    def places(self) -> list[NetworkPlace]:
        return list({place.name: place for places in self.nodes.values() for place in places}.values())


@dataclass(frozen=True, slots=True)
class _ProcessSide:
    """One process among others in a place."""

    name: str
    place: NetworkPlace

    @property
    def group(self) -> int:
        return GROUPS[_component(self.name)]

    @property
    def ports(self) -> tuple[int, ...]:
        return PORTS[_component(self.name)]


@dataclass(frozen=True, slots=True)
class _PlacesSide:
    """Places with everything in them."""

    name: str
    places: tuple[NetworkPlace, ...]

    def senders(self) -> list[Fragment]:
        """Match packets from this side where they arrive."""
        macs = [mac for place in self.places if (mac := place.hardware)]
        addresses = [place.ip for place in self.places if not place.mac]
        return [
            *([nft("ether saddr %", macs)] if macs else []),
            *([nft("ip saddr %", addresses)] if addresses else []),
        ]


@dataclass(frozen=True)
class _Rules:
    """One place's rules by chain, in order, none of them twice."""

    arriving: dict[Fragment, None] = field(default_factory=dict[Fragment, None])
    input: dict[Fragment, None] = field(default_factory=dict[Fragment, None])
    output: dict[Fragment, None] = field(default_factory=dict[Fragment, None])


def marking() -> Fragment:
    """Return the script that marks each connection with the group of its opener; a connection keeps its first mark.

    Packets of listening ports mark nothing: it is the other end that has opened the connection.
    """
    ports = [port for ports in PORTS.values() for port in ports]
    return nft(
        """\
table inet kubelab-owners
delete table inet kubelab-owners
table inet kubelab-owners {
\tmap groups {
\t\ttype gid : mark
\t\telements = %
\t}
\tchain output {
\t\ttype filter hook output priority mangle; policy accept;
\t\tct mark 0 tcp sport != % ct mark set meta skgid map @groups
\t}
\tchain input {
\t\ttype filter hook input priority mangle; policy accept;
\t\tct mark 0 tcp dport != % ct mark set meta skgid map @groups
\t}
}
""",
        {group: group for group in GROUPS.values()},
        ports,
        ports,
    )


def scripts(topology: Topology, partitions: Iterable[Partition]) -> dict[str, Fragment]:
    """Give every place's script; it replaces what was there, and removes the table where nothing is left.

    Raises NotFound, BadRequest as :func:`check` does.
    """
    rules = {place.name: _Rules() for place in topology.places()}
    for partition in partitions:
        check(topology, partition)
        source, target = _side(topology, partition.source), _side(topology, partition.target)
        _cut(rules, source, target)
        if not partition.one_way:
            _cut(rules, target, source)
    return {name: _script(chains) for name, chains in rules.items()}


def check(topology: Topology, partition: Partition) -> None:
    """Raise NotFound for a side that is not there, BadRequest where lost packets are not what could cut."""
    a, b = partition.source, partition.target
    for name in (a, b):
        if "@" in name and name not in topology.processes:
            raise NotFound(f'process "{name}" not found')
        if "@" not in name and name not in topology.nodes:
            raise NotFound(f'node "{name}" not found')
    if a == b:
        raise BadRequest(f"{a} cannot be cut off from itself")
    for name, other in ((a, b), (b, a)):
        if "@" in name and _component(name) not in GROUPS:
            raise BadRequest(
                f"{name} is reached over a unix socket, which no packet crosses; "
                f"to cut it off, freeze it: kubelab fault pause {name}"
            )
        if "@" in name and name.partition("@")[2] == other:
            raise BadRequest(f"{name} is a part of {other}: name two nodes, or two processes")


def same(a: Partition, b: Partition) -> bool:
    """Say whether two partitions are equal. The order of sides does not count where both ways are cut."""
    return _key(a) == _key(b)


def _key(partition: Partition) -> tuple[str, str, bool]:
    a, b = partition.source, partition.target
    return (a, b, True) if partition.one_way else (min(a, b), max(a, b), False)


def _component(process: str) -> str:
    return process.partition("@")[0]


def _side(topology: Topology, name: str) -> _ProcessSide | _PlacesSide:
    place = topology.processes.get(name)
    if place is None:
        return _PlacesSide(name, tuple(topology.nodes[name]))
    alone = sum(other.name == place.name for other in topology.processes.values()) == 1
    return _PlacesSide(name, (place,)) if alone else _ProcessSide(name, place)


def _cut(rules: dict[str, _Rules], source: _ProcessSide | _PlacesSide, target: _ProcessSide | _PlacesSide) -> None:
    """Drop what goes from one side to the other."""
    note = nft("counter drop comment %", Comment(f"{source.name} to {target.name}"))
    if isinstance(source, _ProcessSide):
        if isinstance(target, _ProcessSide):
            _process_to_process(rules, source, target, note)
        else:
            _process_to_places(rules, source, target, note)
        return
    for sender in source.senders():
        if isinstance(target, _ProcessSide):
            chain = rules[target.place.name].input
            chain[nft("% tcp dport % %", sender, target.ports, note)] = None
            chain[nft("% ct mark % %", sender, target.group, note)] = None
        else:
            for place in target.places:
                rules[place.name].arriving[nft("% %", sender, note)] = None


def _process_to_places(rules: dict[str, _Rules], source: _ProcessSide, target: _PlacesSide, note: Fragment) -> None:
    # Routes to a node's pods lead through the node: the next hop identifies it, the destination may be a pod.
    hops = [place.ip for place in target.places]
    rules[source.place.name].output[nft("rt ip nexthop % ct mark % %", hops, source.group, note)] = None
    for place in target.places:
        answers = nft("ip saddr % tcp sport %", source.place.ip, source.ports)
        rules[place.name].arriving[nft("% %", answers, note)] = None


def _process_to_process(rules: dict[str, _Rules], source: _ProcessSide, target: _ProcessSide, note: Fragment) -> None:
    source_place, target_place = source.place, target.place
    asks, answers = nft("tcp dport %", target.ports), nft("tcp sport %", source.ports)
    if source_place.name == target_place.name:  # by 127.0.0.1 or by the place's own address, it goes through lo
        chain = rules[source_place.name].input
        chain[nft('iifname "lo" % ct mark % %', asks, source.group, note)] = None
        chain[nft('iifname "lo" % ct mark % %', answers, target.group, note)] = None
        return
    rules[source_place.name].output[nft("ip daddr % % ct mark % %", target_place.ip, asks, source.group, note)] = None
    rules[target_place.name].input[nft("ip saddr % % ct mark % %", source_place.ip, answers, target.group, note)] = None


def _script(rules: _Rules) -> Fragment:
    chains = (
        (rules.arriving, nft("\tchain arriving {\n\t\ttype filter hook prerouting priority raw; policy accept;")),
        (rules.input, nft("\tchain input {\n\t\ttype filter hook input priority filter; policy accept;")),
        (rules.output, nft("\tchain output {\n\t\ttype filter hook output priority filter; policy accept;")),
    )
    # A table that is not there cannot be deleted, so it is made first; all in one transaction.
    gone = nft("table inet kubelab-faults\ndelete table inet kubelab-faults")
    body = [
        line for chain, head in chains if chain for line in (head, *(nft("\t\t%", rule) for rule in chain), nft("\t}"))
    ]
    return lines([gone, nft("table inet kubelab-faults {"), *body, nft("}")] if body else [gone])


MARKING = marking()
