"""Routes in a real network namespace."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kubelab.kubelet.node.routes import KernelRoutes

pytestmark = pytest.mark.root


@pytest.fixture
def inside() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Run something in a network namespace of its own, with an interface that reaches 192.168.49.0/24."""
    name = f"kl-kubelet-{os.getpid()}"
    _ip("netns", "add", name)
    try:
        for command in (
            "link set lo up",
            "link add eth0 type veth peer name eth1",
            "addr add 192.168.49.3/24 dev eth0",
            "link set eth0 up",
            "link set eth1 up",
        ):
            _ip("-n", name, *command.split())
        yield lambda work: _in_namespace(name, work)
    finally:
        _ip("netns", "del", name)


def test_routes_are_set_replaced_read_and_removed(inside: Callable[[Callable[[], Any]], Any]) -> None:
    def work() -> list[dict[str, str]]:
        table = KernelRoutes()
        seen = [table.read()]
        table.replace("10.244.2.0/24", "192.168.49.4")
        table.replace("10.244.3.0/24", "192.168.49.5")
        table.replace("10.244.3.0/24", "192.168.49.6")
        seen.append(table.read())
        table.delete("10.244.2.0/24")
        seen.append(table.read())
        assert table.network_of("192.168.49.3") == "192.168.49.0/24"
        assert table.network_of("192.168.49.4") == ""
        with pytest.raises(ProcessLookupError):
            table.delete("10.244.2.0/24")
        with pytest.raises(OSError, match="unreachable"):
            table.replace("10.244.9.0/24", "172.31.0.1")
        return seen

    assert inside(work) == [
        {},
        {"10.244.2.0/24": "192.168.49.4", "10.244.3.0/24": "192.168.49.6"},
        {"10.244.3.0/24": "192.168.49.6"},
    ]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _in_namespace(name: str, work: Callable[[], Any]) -> Any:
    result: list[Any] = []
    errors: list[BaseException] = []

    def enter() -> None:
        with open(f"/run/netns/{name}") as namespace:  # noqa: PTH123 — a descriptor is what is needed
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        try:
            result.append(work())
        except BaseException as err:  # noqa: BLE001 — given on to the test
            errors.append(err)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]
