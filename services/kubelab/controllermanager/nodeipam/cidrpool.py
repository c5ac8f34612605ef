"""Which node has which range of a cluster's addresses."""

from __future__ import annotations

import ipaddress

from kubelab.component.config import ConfigError
from kubelab.controllermanager.config import ControllerManagerConfig


class CidrPool:
    """The ranges of one cluster CIDR, and whose each is. The lowest free one is given first."""

    def __init__(self, cluster_cidr: str, mask: int) -> None:
        """Raises ValueError for what is no network, or a mask that does not divide it."""
        self._network = ipaddress.ip_network(cluster_cidr)
        if not self._network.prefixlen <= mask <= self._network.max_prefixlen:
            raise ValueError(f"{cluster_cidr} has no subnets of /{mask}")
        self._mask = mask
        self._size = 1 << (self._network.max_prefixlen - mask)
        self._count = 1 << (mask - self._network.prefixlen)
        self._owners: dict[int, str] = {}
        self._ranges: dict[str, int] = {}

    @classmethod
    def of(cls, config: ControllerManagerConfig) -> CidrPool:
        """Make the configured one. Raises ConfigError."""
        try:
            return cls(config.cluster_cidr, config.node_cidr_mask_size)
        except ValueError as err:
            raise ConfigError(f"clusterCidr: {err}") from err

    def clear(self) -> None:
        """Free every range."""
        self._owners.clear()
        self._ranges.clear()

    def occupy(self, node: str, cidr: str) -> bool:
        """Note a range that a node has already; False when another node has it, or it is none of ours."""
        index = self._index(cidr)
        if index is None or self._owners.get(index, node) != node:
            return False
        if self._ranges.get(node, index) != index:
            self.release(node)
        self._owners[index], self._ranges[node] = node, index
        return True

    def take(self, node: str) -> str | None:
        """Give a node its range, the same at every call; None when all are taken."""
        index = self._ranges.get(node)
        if index is None:
            index = next((i for i in range(self._count) if i not in self._owners), None)
            if index is None:
                return None
            self._owners[index], self._ranges[node] = node, index
        return f"{self._network.network_address + index * self._size}/{self._mask}"

    def release(self, node: str) -> None:
        """Free a node's range."""
        index = self._ranges.pop(node, None)
        if index is not None:
            del self._owners[index]

    def _index(self, cidr: str) -> int | None:
        try:
            network = ipaddress.ip_network(cidr)
        except ValueError:
            return None
        offset = int(network.network_address) - int(self._network.network_address)
        if network.version != self._network.version or network.prefixlen != self._mask:
            return None
        index = offset // self._size
        return index if 0 <= index < self._count else None

    def check_invariants(self) -> None:
        """Raise AssertionError when two nodes share a range."""
        assert {index: node for node, index in self._ranges.items()} == self._owners
