"""Find this machine's interfaces that lead to an address without a gateway."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

TABLE = Path("/proc/net/route")
NO_GATEWAY = "00000000"


def links_to(address: str, table: str | None = None) -> tuple[str, ...]:
    """Names of the interfaces in whose networks an IPv4 address lies, sorted.

    A sound machine has at most one. ``table`` is the text of ``/proc/net/route`` (proc_net(5)): a line has interface,
    destination, gateway, …, mask, the numbers in hexadecimal and in the machine's byte order. Where the kernel has no
    such file there is nothing to be said.
    """
    if table is None:
        table = TABLE.read_text() if TABLE.exists() else ""
    number = int(ipaddress.IPv4Address(address))
    links: set[str] = set()
    for line in table.splitlines()[1:]:
        link, destination, gateway, *_, mask, _mtu, _window, _rtt = line.split()
        if gateway == NO_GATEWAY and _number(mask) and number & _number(mask) == _number(destination):
            links.add(link)
    return tuple(sorted(links))


def _number(text: str) -> int:
    return int.from_bytes(int(text, 16).to_bytes(4, sys.byteorder), "big")
