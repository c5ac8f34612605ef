"""Endpoints: addresses and ports."""

from __future__ import annotations

from tests.unit.apiserver.strategies.answers import (
    LABEL,
    NOT_IP,
    PORT,
    QUALIFIED,
    SUBDOMAIN,
    Change,
    on_create,
    on_update,
    table,
)

MANIFEST = """
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default}
subsets:
- addresses: [{ip: 10.244.0.2}]
  ports: [{port: 8080}]
"""
IP = "subsets[0].addresses[0].ip: Invalid value:"


@table(
    ({},),
    ({"subsets": []},),
    ({"metadata.name": "A"}, f'metadata.name: Invalid value: "A": {SUBDOMAIN}'),
    ({"subsets[0].addresses": []}, "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"),
    ({"subsets[0].addresses[0].ip": "web"}, f'{IP} "web": {NOT_IP}', f'{IP} "web": must be a valid IP address'),
    (
        {"subsets[0].addresses[0].ip": "fe80::1%eth0"},
        f'{IP} "fe80::1%eth0": {NOT_IP}',
        f'{IP} "fe80::1%eth0": must be a valid IP address',
    ),
    ({"subsets[0].addresses[0].ip": "::"}, f'{IP} "::": may not be unspecified (::)'),
    (
        {"subsets[0].addresses[0].ip": "127.0.0.1"},
        f'{IP} "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ),
    (
        {"subsets[0].addresses[0].ip": "169.254.1.1"},
        f'{IP} "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
    ),
    (
        {"subsets[0].addresses[0].ip": "224.0.0.5"},
        f'{IP} "224.0.0.5": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
    ),
    (
        {"subsets[0].addresses[0].ip": "ff02::5"},
        f'{IP} "ff02::5": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
    ),
    (
        {"subsets[0].notReadyAddresses[0]": {"ip": "10.0.0.1", "hostname": "a.b", "nodeName": "Node"}},
        f'subsets[0].notReadyAddresses[0].hostname: Invalid value: "a.b": {LABEL}',
        f'subsets[0].notReadyAddresses[0].nodeName: Invalid value: "Node": {SUBDOMAIN}',
    ),
    ({"subsets[0].ports[0].port": 0}, f"subsets[0].ports[0].port: Invalid value: 0: {PORT}"),
    (
        {"subsets[0].ports[0].protocol": "ICMP"},
        'subsets[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    ({"subsets[0].ports[0].appProtocol": "a b"}, f'subsets[0].ports[0].appProtocol: Invalid value: "a b": {QUALIFIED}'),
    ({"subsets[0].ports[0].name": "Web"}, f'subsets[0].ports[0].name: Invalid value: "Web": {LABEL}'),
    (
        {"subsets[0].ports[1].port": 81},
        "subsets[0].ports[0].name: Required value",
        "subsets[0].ports[1].name: Required value",
    ),
    (
        {"subsets[1]": {"ports": [{"port": -1}]}, "subsets[0].ports[0].protocol": "X"},
        'subsets[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`",
        f"subsets[1].ports[0].port: Invalid value: -1: {PORT}",
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"subsets[0].addresses[0].ip": "10.244.0.3", "subsets[0].addresses[0].nodeName": "node-2"},),
    (
        {"subsets[0].addresses": [], "metadata.name": "other"},
        'metadata.name: Invalid value: "other": field is immutable',
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told
