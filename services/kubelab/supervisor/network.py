"""A cluster's network: one namespace with the bridge, one for each node, joined by veth pairs.

::

    host                    nothing of the cluster is here
    ns/cluster   br0 192.168.49.1/24 ── port of cp-1 ── port of node-1 ── …
    ns/cp-1      eth0 192.168.49.2/24, default route by 192.168.49.1
    ns/node-1    eth0 192.168.49.3/24

Namespaces are held by mounts in the cluster's run folder, so they survive the supervisor. Everything here is
idempotent, and blocking: call it in a thread. A thread that entered a namespace is never used for anything else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from kubelab.linux import syscalls
from kubelab.topology.record import NodeRecord, Record

CLUSTER = "cluster"
BRIDGE, BRIDGE_ADDRESS, PREFIX = "br0", "192.168.49.1", 24
# Nodes forward for their pods, and answer on addresses that rules translate; IPv6 is not used and only costs time.
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}

T = TypeVar("T")


class NetworkError(Exception):
    """The kernel refused a part of the network; the message says which, and what to do where that is known."""


class NamespaceThread:
    """A thread that lives in one network namespace: sockets made in it belong to that namespace."""

    def __init__(self, namespace: int, name: str) -> None:
        """``namespace`` is a descriptor; it is not needed any more when the first call has been answered."""
        self._pool = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix=f"ns-{name}", initializer=syscalls.setns, initargs=(namespace,)
        )

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` in the namespace."""
        return self._pool.submit(work)

    def tcp_socket(self) -> Future[socket.socket]:
        """Make a TCP socket that does not block."""

        def make() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock

        return self.submit(make)

    def close(self) -> None:
        """End the thread; it keeps the namespace alive until then."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def create(record: Record) -> None:
    """Make what is missing of a cluster's network. Raises NetworkError."""
    from pyroute2.netlink.exceptions import NetlinkError

    folder = record.namespace(CLUSTER).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if not syscalls.is_namespace(record.host_namespace):
            record.host_namespace.touch(mode=0o600)
            syscalls.bind("/proc/self/ns/net", record.host_namespace)
        fresh = {name for name in (CLUSTER, *record.node_names) if _ensure_namespace(record.namespace(name))}
        inside(record.namespace(CLUSTER), lambda: _build_bridge(record, fresh))
        for node in record.nodes:
            inside(record.namespace(node.name), lambda node=node: _build_node(node))
    except NetlinkError as err:
        raise NetworkError(_explain(OSError(err.code, os.strerror(err.code)))) from err
    except OSError as err:
        raise NetworkError(_explain(err)) from err


def remove(record: Record) -> None:
    """Give up every namespace of a cluster; the kernel removes what is in them with the last process."""
    folder = record.namespace(CLUSTER).parent
    if not folder.is_dir():
        return
    for path in (*folder.iterdir(), record.host_namespace):
        while syscalls.is_namespace(path):
            syscalls.unmount(path)
        path.unlink(missing_ok=True)
    folder.rmdir()


def inodes(record: Record) -> set[int]:
    """Give the numbers by which the kernel knows a cluster's namespaces."""
    folder = record.namespace(CLUSTER).parent
    if not folder.is_dir():
        return set()
    return {path.stat().st_ino for path in folder.iterdir() if syscalls.is_namespace(path)}


def inside(namespace: Path, work: Callable[[], T]) -> T:
    """Run ``work`` in a thread of its own in a namespace, and give what it gave."""

    def enter() -> T:
        fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.setns(fd)
        finally:
            os.close(fd)
        return work()

    return _in_thread(enter)


def _in_thread(work: Callable[[], T]) -> T:
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as err:  # noqa: BLE001 — raised again in the caller's thread
            answer.set_exception(err)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    return answer.result()


def _ensure_namespace(path: Path) -> bool:
    """Make a namespace; False when it is there already."""
    if syscalls.is_namespace(path):
        return False
    path.touch(mode=0o600)

    def make() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        # Of this thread, while it lives: the mount keeps the namespace from then on.
        syscalls.bind(f"/proc/self/task/{threading.get_native_id()}/ns/net", path)

    _in_thread(make)
    return True


def _build_bridge(record: Record, fresh: set[str]) -> None:
    from pyroute2 import IPRoute

    _set_sysctls()
    with IPRoute() as ip:
        _up(ip, "lo")
        if not _index(ip, BRIDGE):
            ip.link("add", ifname=BRIDGE, kind="bridge", br_stp_state=0, br_forward_delay=0)
        bridge = _index(ip, BRIDGE)
        _address(ip, bridge, BRIDGE_ADDRESS)
        ip.link("set", index=bridge, state="up")
        for node in record.nodes:
            port = _index(ip, node.name)
            if port and node.name in fresh:
                _delete(ip, port)  # it led to a namespace that is no more; the kernel removes it only by and by
                port = 0
            if not port:
                fd = os.open(record.namespace(node.name), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    peer = {"ifname": "eth0", "net_ns_fd": fd}
                    ip.link("add", ifname=node.name, kind="veth", peer=peer)
                finally:
                    os.close(fd)
                port = _index(ip, node.name)
            ip.link("set", index=port, master=bridge, state="up")


def _build_node(node: NodeRecord) -> None:
    from pyroute2 import IPRoute

    _set_sysctls()
    with IPRoute() as ip:
        _up(ip, "lo")
        index = _index(ip, "eth0")
        _address(ip, index, node.address)
        ip.link("set", index=index, state="up")
        ip.route("replace", dst="default", gateway=BRIDGE_ADDRESS)


def _index(ip: Any, name: str) -> int:
    """Give the number of an interface; 0 when there is none of that name."""
    indices: Sequence[int] = ip.link_lookup(ifname=name)
    return int(indices[0]) if indices else 0


def _up(ip: Any, name: str) -> None:
    ip.link("set", index=_index(ip, name), state="up")


def _delete(ip: Any, index: int) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        ip.link("del", index=index)
    except NetlinkError as err:
        if err.code != errno.ENODEV:
            raise


def _address(ip: Any, index: int, address: str) -> None:
    ip.addr("replace", index=index, address=address, prefixlen=PREFIX)


def _set_sysctls() -> None:
    for name, value in SYSCTLS.items():
        path = Path("/proc/sys") / name
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            path.write_text(value)


def _explain(err: OSError) -> str:
    text = f"cannot build the cluster's network: {err}"
    if err.errno in (errno.EOPNOTSUPP, errno.ENOENT, errno.ENODEV):
        return f"{text}: the kernel lacks bridge or veth; type: modprobe bridge veth"
    if err.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        return f"{text}: this needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN (a container must be privileged)"
    return text
