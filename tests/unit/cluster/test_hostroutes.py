"""The kernel's table of routes, read as it is printed on a little-endian machine."""

from __future__ import annotations

import sys

import pytest

from kubelab.cluster.hostroutes import links_to

TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
br-1\t003CA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
br-0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
tun0\t003DA8C0\t010200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is a little-endian machine's")
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.9", ("eth0",)),
        ("192.168.60.11", ("br-0", "br-1")),  # two networks with the same addresses
        ("192.168.61.11", ("br-0",)),  # what is behind a gateway is not near
        ("10.0.0.1", ()),  # the default route is no network
    ],
)
def test_which_interfaces_lead_to_an_address(address: str, expected: tuple[str, ...]) -> None:
    assert links_to(address, TABLE) == expected


def test_loopback_or_not_this_machines_table_can_be_read() -> None:
    assert links_to("203.0.113.1") == ()  # an address of documentation (RFC 5737)
