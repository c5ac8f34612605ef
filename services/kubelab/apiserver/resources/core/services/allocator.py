"""Cluster addresses and node ports of services, never handed out twice.

Each one that is in use has a record in etcd, ``/registry/ranges/serviceips/10.96.0.17``. The transaction that writes
the service creates its records, on the condition that they do not exist, or deletes them. There is no moment, and no
second api-server, in which a service and its records disagree; so nothing has to be repaired.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.claims import Claims, RangeFull
from kubelab.apiserver.storage.store import Absent, Delete, Put, StoreEvent
from kubelab.topology import reservedports

RECORDS = "/registry/ranges/"
ADDRESSES = RECORDS + "serviceips/"
PORTS = RECORDS + "servicenodeports/"
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
_RESERVED = frozenset(f"{PORTS}{port}" for port in reservedports.RESERVED)  # never handed out
_DYNAMIC_OFFSET = (
    16,
    16,
    256,
)  # upstream: min(max(16, size / 16), 256) addresses at the start are kept for requests that name one


class ServiceAllocator:
    """Chooses addresses and ports. It learns from the reflector what is in use; only the transaction decides.

    ``addresses`` is the service network, ``ports`` the node ports.
    """

    def __init__(self, addresses: ipaddress.IPv4Network, ports: range) -> None:
        self._network, self._ports = addresses, ports
        self._used: set[str] = set()  # keys of records

    @property
    def kubernetes_address(self) -> str:
        """The first address: the api-server's own service."""
        return str(self._network[1])

    def note(self, event: StoreEvent) -> None:
        """Take in a change of a record."""
        if event.value is None:
            self._used.discard(event.key)
        else:
            self._used.add(event.key)

    def forget(self) -> None:
        """Begin anew, before everything is listed again."""
        self._used.clear()

    def keep(self, new: core_pb2.Service, old: core_pb2.Service) -> None:
        """Give an update what it leaves open and the service has already; drop what its new type does not have."""
        if _has_address(old) and new.spec.type != "ExternalName" and not new.spec.clusterIP:
            new.spec.clusterIP = old.spec.clusterIP
            new.spec.ClearField("clusterIPs")
            new.spec.clusterIPs.extend(old.spec.clusterIPs)
        left = new.spec.type == "ExternalName" and old.spec.type != "ExternalName"
        if left and new.spec.clusterIP == old.spec.clusterIP:
            new.spec.ClearField("clusterIP")
            new.spec.ClearField("clusterIPs")
        if old.spec.type in _WITH_NODE_PORTS:
            _keep_node_ports(new, old)

    def claim(self, new: core_pb2.Service, old: core_pb2.Service | None, taken: set[str]) -> Claims:
        """Fill in addresses and ports. ``taken`` are records that turned out to be another service's.

        Invalid when the one asked for is taken or out of range; :class:`RangeFull`.
        """
        held = _records(old) if old is not None else set[str]()
        self._claim_address(new, held, taken)
        self._claim_ports(new, held, taken)
        records = _records(new)
        owner = f"{new.metadata.namespace}/{new.metadata.name}".encode()
        return Claims(
            tuple(Absent(key) for key in sorted(records - held)),
            (
                *(Put(key, owner) for key in sorted(records - held)),
                *(Delete(key) for key in sorted(held - records)),
            ),
        )

    def release(self, service: core_pb2.Service) -> Claims:
        """Give back all that a service holds."""
        return Claims((), tuple(Delete(key) for key in sorted(_records(service))))

    def _claim_address(self, service: core_pb2.Service, held: set[str], taken: set[str]) -> None:
        spec = service.spec
        if spec.type == "ExternalName":
            return
        if not spec.clusterIP:
            spec.clusterIP = self._free_address(taken)
        elif spec.clusterIP != "None" and ADDRESSES + spec.clusterIP not in held:
            self._check_address(service, taken)
        if not spec.clusterIPs:
            spec.clusterIPs.append(spec.clusterIP)
        if not spec.ipFamilies:
            spec.ipFamilies.append("IPv4")
        if not spec.HasField("ipFamilyPolicy"):
            spec.ipFamilyPolicy = "SingleStack"

    def _check_address(self, service: core_pb2.Service, taken: set[str]) -> None:
        address = service.spec.clusterIP
        why = ""
        if not self._inside(address):
            why = (
                f"the provided IP ({address}) is not in the valid range. "
                f"The range of valid IPs is {self._network.with_prefixlen}"
            )
        elif ADDRESSES + address in taken:
            why = "provided IP is already allocated"
        if why:
            message = f'Invalid value: []string{{"{address}"}}: failed to allocate IP {address}: {why}'
            raise _invalid(service, Cause("spec.clusterIPs", message))

    def _inside(self, address: str) -> bool:
        try:
            ip = ipaddress.IPv4Address(address)
        except ValueError:
            return False
        return ip in self._network and ip not in (self._network.network_address, self._network.broadcast_address)

    def _free_address(self, taken: set[str]) -> str:
        """A random free address, first of the part that requests rarely name. The first one is the api-server's."""
        size = self._network.num_addresses
        least, share, most = _DYNAMIC_OFFSET
        offset = min(max(least, size // share), most)
        for low, high in ((offset, size - 1), (2, min(offset, size - 1))):
            index = self._pick(low, high, lambda i: ADDRESSES + str(self._network[i]), taken)
            if index is not None:
                return str(self._network[index])
        raise RangeFull("failed to allocate a serviceIP: range is full")

    def _claim_ports(self, service: core_pb2.Service, held: set[str], taken: set[str]) -> None:
        if service.spec.type not in _WITH_NODE_PORTS:
            return
        mine = {port.nodePort for port in service.spec.ports}
        causes: list[Cause] = []
        by_port: dict[int, int] = {}  # TCP and UDP of one port share a node port, the one that is asked for if any is
        for port in service.spec.ports:
            if port.nodePort:
                by_port.setdefault(port.port, port.nodePort)
        for i, port in enumerate(service.spec.ports):
            key = f"{PORTS}{port.nodePort}"
            if port.nodePort:
                message = ""
                if port.nodePort not in self._ports:
                    valid = f"{self._ports.start}-{self._ports.stop - 1}"
                    message = f"provided port is not in the valid range. The range of valid ports is {valid}"
                elif process := reservedports.owner(port.nodePort):
                    message = f"may not be used since it is used by a node's {process}"
                elif key in taken and key not in held:
                    message = "provided port is already allocated"
                if message:
                    causes.append(Cause(f"spec.ports[{i}].nodePort", f"Invalid value: {port.nodePort}: {message}"))
            elif _wants_ports(service):
                port.nodePort = by_port.get(port.port) or self._free_port(taken, mine)
                mine.add(port.nodePort)
                by_port[port.port] = port.nodePort
        if causes:
            raise _invalid(service, *causes)

    def _free_port(self, taken: set[str], mine: Iterable[int]) -> int:
        avoid = taken | {f"{PORTS}{port}" for port in mine} | _RESERVED
        port = self._pick(self._ports.start, self._ports.stop, lambda p: f"{PORTS}{p}", avoid)
        if port is None:
            raise RangeFull("failed to allocate a nodePort: range is full")
        return port

    def _pick(self, low: int, high: int, key: Callable[[int], str], avoid: set[str]) -> int | None:
        """A random number in [low, high) whose record is free: a few throws, then the first after a random start."""
        size = high - low
        if size <= 0:
            return None
        for _ in range(16):
            n = random.randrange(low, high)
            if (record := key(n)) not in self._used and record not in avoid:
                return n
        start = random.randrange(size)
        for step in range(size):
            n = low + (start + step) % size
            if (record := key(n)) not in self._used and record not in avoid:
                return n
        return None


def _keep_node_ports(new: core_pb2.Service, old: core_pb2.Service) -> None:
    """Node ports that are left open stay with the port's name, whatever else of it changes; upstream's
    ``patchAllocatedValues``. A service that needs none any more, and names the same ones, drops them."""
    before, named = _node_ports(old), _node_ports(new)
    if new.spec.type not in _WITH_NODE_PORTS:
        if before == named:
            for port in new.spec.ports:
                port.nodePort = 0
        return
    by_name = {port.name: port.nodePort for port in old.spec.ports}
    used = before & named
    for port in new.spec.ports:
        had = by_name.get(port.name, 0)
        if not port.nodePort and had and had not in used and _wants_ports(new):
            port.nodePort = had
            used.add(had)


def _node_ports(service: core_pb2.Service) -> set[int]:
    return {port.nodePort for port in service.spec.ports if port.nodePort}


def _wants_ports(service: core_pb2.Service) -> bool:
    spec = service.spec
    return not (
        spec.type == "LoadBalancer"
        and spec.HasField("allocateLoadBalancerNodePorts")
        and not spec.allocateLoadBalancerNodePorts
    )


def _has_address(service: core_pb2.Service) -> bool:
    return service.spec.type != "ExternalName" and bool(service.spec.clusterIP)


def _records(service: core_pb2.Service) -> set[str]:
    """The keys of all records that a service holds."""
    spec = service.spec
    keys: set[str] = set()
    if _has_address(service) and spec.clusterIP != "None":
        keys.add(ADDRESSES + spec.clusterIP)
    if spec.type in _WITH_NODE_PORTS:
        keys.update(f"{PORTS}{port.nodePort}" for port in spec.ports if port.nodePort)
    return keys


def _invalid(service: core_pb2.Service, *causes: Cause) -> errors.Invalid:
    return errors.invalid("Service", service.metadata.name, causes)
