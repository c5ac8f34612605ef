"""A pod's network: a routed point-to-point veth, with no bridge.

In the node: ``kl<id>`` with a /32 route to the pod. In the pod: ``eth0`` with its address, and a default route by a
link-local gateway that exists only as a neighbour entry. Traffic between two pods of one node so passes the node's
rules like any other. What is sent to an address of this node's range that no pod has ends here, at a bridge without
ports, and does not leave by the default route. Everything here blocks (netlink), so callers use one thread for it; what
the kernel refuses is an OSError.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
from collections.abc import Generator, Iterable

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kubelab.linux import syscalls

GATEWAY = "169.254.1.1"
RANGE_DEVICE = "pod-range"
LARGEST, SMALLEST = 8, 30  # prefixes of a node's range: a longer one has no address to give
_NUD_PERMANENT = 0x80
_NODE_MAC = "ee:ee:ee:ee:ee:ee"  # each is alone on its link
_DEVICE = re.compile(r"kl[0-9a-f]{11}")


class NoAddress(Exception):
    """Every address of the node's range is in use, or the node has no range yet."""


def check_range(cidr: str) -> None:
    """ValueError says why this is no range of addresses for pods."""
    network = ipaddress.IPv4Network(cidr)
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise ValueError(f"expected a prefix of {LARGEST} to {SMALLEST} bits")


class Addresses:
    """Hands out the addresses of the pod CIDR, each time the next one, so that one is not used again at once.

    ``newest`` is the one that was handed out last, by a runtime before this one.
    """

    def __init__(self, used: Iterable[str] = (), newest: str = "") -> None:
        self._used = set(used)
        self._newest = newest
        self._network: ipaddress.IPv4Network | None = None

    @property
    def cidr(self) -> str:
        return str(self._network) if self._network else ""

    def set_range(self, cidr: str) -> None:
        self._network = ipaddress.IPv4Network(cidr)

    def take(self) -> str:
        """The next free address; NoAddress."""
        if self._network is None:
            raise NoAddress("the node has no pod CIDR yet")
        size = self._network.num_addresses - 3  # not the network, not .1, not the broadcast address
        last = self._place(self._network)
        for _ in range(size):
            last = 2 if last >= size + 1 else last + 1
            address = str(self._network[last])
            if address not in self._used:
                self._used.add(address)
                self._newest = address
                return address
        raise NoAddress(f"no address is free in {self._network}")

    def _place(self, network: ipaddress.IPv4Network) -> int:
        """Where in the range the newest one is; else before the first: .1 is left to gateways of other layouts."""
        if self._newest and (newest := ipaddress.IPv4Address(self._newest)) in network:
            return int(newest) - int(network.network_address)
        return 1

    def give_back(self, address: str) -> None:
        self._used.discard(address)


@contextlib.contextmanager
def _netlink() -> Generator[IPRoute]:
    """A way to the kernel, in the thread's network namespace. NetlinkError is no OSError; to callers it is one."""
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as err:
        raise OSError(err.code, str(err)) from err


def claim(cidr: str) -> None:
    """Say that this range is this node's. Who sends to an address that no pod has hears "no route to host", after 3 s.

    A pod's own route is longer, so it wins. The others lead to a bridge without ports, where nothing answers to ARP. An
    ``unreachable`` route would not do: a packet that it refuses leaves no conntrack entry, so that a connection to a
    service would go to another pod with its next SYN, while it must keep the pod that it was given. Done before: done
    again.
    """
    with _netlink() as node:
        try:
            node.link("add", ifname=RANGE_DEVICE, kind="bridge", state="up")
        except NetlinkError as err:
            if err.code != errno.EEXIST:
                raise
        index = socket.if_nametoindex(RANGE_DEVICE)
        node.link("set", index=index, state="up")
        node.route("replace", dst=cidr, oif=index, scope="link")


def disclaim(cidr: str) -> None:
    """Take back :func:`claim` of one range. Nothing there is no error."""
    with _netlink() as node:
        try:
            node.route("del", dst=cidr, oif=socket.if_nametoindex(RANGE_DEVICE))
        except NetlinkError as err:
            if err.code != errno.ESRCH:
                raise


def prune(sandboxes: Iterable[str]) -> None:
    """Remove the devices of pods that are not there: a runtime was killed while it made or removed them."""
    kept = {device_name(sandbox) for sandbox in sandboxes}
    with _netlink() as node:
        names = [dict(link["attrs"])["IFLA_IFNAME"] for link in node.get_links(kind="veth")]
    for name in names:
        if _DEVICE.fullmatch(name) and name not in kept:
            disconnect(name.removeprefix("kl"))


def device_name(sandbox: str) -> str:
    """15 bytes at most."""
    return f"kl{sandbox[:11]}"


def connect(sandbox: str, pid: int, address: str) -> None:
    """Give the network namespace of a process its address and a way out. Done before: done again.

    Link-layer addresses are chosen here, as Calico and CNI choose them: so nothing has to be asked for afterwards.
    """
    device = device_name(sandbox)
    pod_mac = "0a:58:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)
    peer = {"ifname": "eth0", "net_ns_pid": pid, "address": pod_mac}
    with _netlink() as node:
        try:
            node.link("add", ifname=device, kind="veth", peer=peer, address=_NODE_MAC, state="up")
        except NetlinkError as err:
            if err.code != errno.EEXIST:
                raise
            disconnect(sandbox)
            node.link("add", ifname=device, kind="veth", peer=peer, address=_NODE_MAC, state="up")
        index = socket.if_nametoindex(device)  # one system call; netlink's look-up takes half a millisecond
        _configure_pod(pid, address)
        node.route("replace", dst=f"{address}/32", oif=index, scope="link")
        node.neigh("replace", dst=address, lladdr=pod_mac, ifindex=index, state=_NUD_PERMANENT)


def _configure_pod(pid: int, address: str) -> None:
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        try:
            with _netlink() as pod:
                pod.link("set", index=1, state="up")
                index = socket.if_nametoindex("eth0")
                pod.addr("add", index=index, address=address, prefixlen=32)
                pod.link("set", index=index, state="up")
                pod.neigh("replace", dst=GATEWAY, lladdr=_NODE_MAC, ifindex=index, state=_NUD_PERMANENT)
                pod.route("replace", dst=f"{GATEWAY}/32", oif=index, scope="link", prefsrc=address)
                pod.route("replace", dst="0.0.0.0/0", gateway=GATEWAY, oif=index)
        finally:
            syscalls.setns(here, syscalls.CLONE_NEWNET)
    finally:
        os.close(here)
        os.close(namespace)


def disconnect(sandbox: str) -> None:
    """Remove a pod's device; its routes go with it. Nothing there is no error."""
    with _netlink() as node:
        for index in node.link_lookup(ifname=device_name(sandbox)):
            try:
                node.link("del", index=index)
            except NetlinkError as err:
                if err.code != errno.ENODEV:  # it went with the pod's namespace meanwhile
                    raise
