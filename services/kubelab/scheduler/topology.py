"""The nodes by name, and their topology domains: how many nodes have each value of a label.

:class:`Tally` sums something by node, such as pods, and by the domains of the topology keys that were asked for. It is
kept up by differences. ``generation`` grows when a node comes, goes or gets other labels; then the sums by domain are
made anew when they are next asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from kubelab.apimachinery.core.nodeaffinity import RequiredNodeAffinity
from kubelab.scheduler.model import NodeInfo

REMEMBERED = 256  # parts of the nodes
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


class Nodes:
    """Some nodes by name, and how many there are in each domain."""

    def __init__(self, nodes: dict[str, NodeInfo]) -> None:
        self.nodes = nodes
        self._domains: dict[str, Counter[str]] = {}

    def domains(self, key: str) -> Mapping[str, int]:
        """Count the nodes of each domain."""
        domains = self._domains.get(key)
        if domains is None:
            values = (node.labels.get(key) for node in self.nodes.values())
            domains = self._domains[key] = Counter(value for value in values if value is not None)
        return domains

    def covers(self, key: str) -> bool:
        """Say whether every node has a label with this key."""
        return sum(self.domains(key).values()) == len(self.nodes)


class Topology(Nodes):
    """The nodes that exist."""

    def __init__(self) -> None:
        super().__init__({})
        self.generation = 0
        self._parts: dict[tuple[RequiredNodeAffinity, frozenset[str]], Nodes] = {}

    def changed(self) -> None:
        """Take note that nodes, or their labels, are not what they were."""
        self.generation += 1
        self._domains.clear()
        self._parts.clear()

    def part(self, affinity: RequiredNodeAffinity, keys: frozenset[str]) -> Nodes:
        """Give the nodes that a pod may have by its affinity and that have all of the keys. Remembered until they
        change, :data:`REMEMBERED` at most."""
        part = self._parts.get((affinity, keys))
        if part is None:
            if len(self._parts) >= REMEMBERED:
                self.changed()
            nodes = self.nodes.items()
            found = {n: i for n, i in nodes if keys <= i.labels.keys() and affinity.matches(i.labels, n)}
            part = self._parts[affinity, keys] = Nodes(found)
        return part


class Tally:
    """A sum by node and by domain. What is zero is not in it."""

    __slots__ = ("_domains", "_generation", "_topology", "by_node")

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.by_node: dict[str, int] = {}
        self._domains: dict[tuple[str, Nodes], dict[str, int]] = {}
        self._generation = topology.generation

    def add(self, node: str, amount: int) -> None:
        """Add to a node's sum; the node need not exist."""
        _add(self.by_node, node, amount)
        if not self._domains:
            return
        if self._generation != self._topology.generation:
            self._domains.clear()
            return
        for (key, part), sums in self._domains.items():
            info = part.nodes.get(node)
            value = info.labels.get(key) if info is not None else None
            if value is not None:
                _add(sums, value, amount)

    def domains(self, key: str, part: Nodes | None = None) -> Mapping[str, int]:
        """Give the sums by domain, over the nodes that exist or some of them."""
        part = part or self._topology
        if self._generation != self._topology.generation:
            self._domains.clear()
            self._generation = self._topology.generation
        sums = self._domains.get((key, part))
        if sums is None:
            sums = self._domains[key, part] = self._sum(key, part)
        return sums

    def _sum(self, key: str, part: Nodes) -> dict[str, int]:
        sums: dict[str, int] = {}
        nodes = part.nodes
        for node, amount in self.by_node.items():
            info = nodes.get(node)
            value = info.labels.get(key) if info is not None else None
            if value is not None:
                _add(sums, value, amount)
        return sums

    def check_invariants(self) -> None:
        """Raise AssertionError unless every sum by domain is what adding again gives."""
        if self._generation == self._topology.generation:
            for (key, part), sums in self._domains.items():
                assert sums == self._sum(key, part), key


def _add(sums: dict[str, int], key: str, amount: int) -> None:
    total = sums.get(key, 0) + amount
    if total:
        sums[key] = total
    else:
        sums.pop(key, None)
