"""Compare the forwarding rules of a node with the endpoints. Pure: nft's JSON and objects in, differences out.

The rules come from ``nft -j list table ip kube-proxy``: a map leads from (address, protocol, port), for node ports from
(protocol, port), to a chain, the chain's rules to ``dnat``, perhaps by one more chain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from kubelab.api.core.v1 import core_pb2

COMMAND = ("nft", "-j", "list", "table", "ip", "kube-proxy")
Key = tuple[str, str, int]  # address of a service or NODE, protocol, port
Backends = frozenset[tuple[str, int]]
NONE: Backends = frozenset()
NODE = "the node"  # stands for all its addresses: for node ports
PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}  # nft prints numbers where there is no /etc/protocols


def installed(document: str | bytes) -> dict[Key, Backends]:
    """Return each service address's backends, none where connections are refused. ValueError for other text."""
    chains: dict[str, list[list[Any]]] = {}
    elements: dict[str, list[Any]] = {}
    try:
        for entry in json.loads(document)["nftables"]:
            if "rule" in entry:
                chains.setdefault(entry["rule"]["chain"], []).append(entry["rule"].get("expr", []))
            if "map" in entry:
                elements[entry["map"]["name"]] = entry["map"].get("elem", [])
    except (KeyError, TypeError) as err:
        raise ValueError(f"not what nft prints: {err!r}") from err
    backends: dict[Key, Backends] = {}
    for forwarded in ("service-ips", "service-nodeports"):
        for key, verdict in elements.get(forwarded, []):
            backends[_key(key)] = frozenset(_targets(_goto(verdict), chains))
    for refused in ("no-endpoint-services", "no-endpoint-nodeports"):
        for key, _ in elements.get(refused, []):
            backends[_key(key)] = NONE
    return backends


def _key(key: Any) -> Key:
    *address, protocol, port = cast(Sequence[Any], key["concat"])
    ip = address[0] if address else NODE
    return str(ip), PROTOCOLS.get(str(protocol), str(protocol)), int(port)


def _goto(verdict: Any) -> str:
    target: Any = verdict.get("goto") or verdict.get("jump") or {}
    return str(target.get("target", ""))


def _targets(chain: str, chains: Mapping[str, list[list[Any]]]) -> Iterator[tuple[str, int]]:
    """Yield the backends that a chain may send a new client to; rules for known clients (affinity) are skipped."""
    for rule in chains.get(chain, []):
        if any(_by_client(expression) for expression in rule):
            continue
        for expression in rule:
            if "goto" in expression or "jump" in expression:
                yield from _targets(_goto(expression), chains)
            elif "vmap" in expression:  # numgen inc mod N vmap { n : goto CHAIN }
                for _, verdict in expression["vmap"]["data"]["set"]:
                    yield from _targets(_goto(verdict), chains)
            elif "dnat" in expression:
                address = expression["dnat"]
                if "port" in address:
                    yield str(address["addr"]), int(address["port"])
                else:  # numgen inc mod N map { n : address . port }
                    for _, target in address["addr"]["map"]["data"]["set"]:
                        ip, port = target["concat"]
                        yield str(ip), int(port)


def _by_client(expression: Any) -> bool:
    """Say whether a rule matches the source of a packet."""
    operand: Any = expression.get("match", {}).get("left", {})
    return operand.get("payload", {}).get("field") == "saddr" or "saddr" in operand.get("fib", {}).get("flags", [])


def expected(
    services: Iterable[core_pb2.Service], endpoints: Iterable[core_pb2.Endpoints], node: str
) -> dict[Key, Backends]:
    """Say where each service address should lead on a node: to every ready endpoint, or to those of the node where a
    traffic policy is Local."""
    by_name = {(e.metadata.namespace, e.metadata.name): e for e in endpoints}
    backends: dict[Key, Backends] = {}
    for service in services:
        if service.spec.clusterIP in ("", "None"):
            continue
        ready = by_name.get((service.metadata.namespace, service.metadata.name))
        for port in service.spec.ports:
            protocol = (port.protocol or "TCP").lower()
            inside = node if service.spec.internalTrafficPolicy == "Local" else ""
            outside = node if service.spec.externalTrafficPolicy == "Local" else ""
            ways = [(service.spec.clusterIP, port.port, inside)]
            ways += [(ip, port.port, outside) for ip in service.spec.externalIPs]
            ways += [(NODE, port.nodePort, outside)] if port.nodePort else []
            for address, number, only in ways:
                backends[address, protocol, number] = frozenset(_ready(ready, port.name, only)) if ready else NONE
    return backends


def _ready(endpoints: core_pb2.Endpoints, port: str, node: str) -> Iterator[tuple[str, int]]:
    """The ready addresses of a port, by its name; with a node, only those that run there."""
    for subset in endpoints.subsets:
        for p in subset.ports:
            if p.name == port:
                yield from ((a.ip, p.port) for a in subset.addresses if not node or a.nodeName == node)


def differences(kernel: Mapping[Key, Backends], want: Mapping[Key, Backends]) -> list[str]:
    """Name every service address whose rules are not what the endpoints say; empty when all agree."""
    texts: list[str] = []
    for key in sorted({*kernel, *want}):
        have, should = kernel.get(key), want.get(key)
        if have == should:
            continue
        address = f"node port {key[2]}" if key[0] == NODE else f"{key[0]}:{key[2]}"
        if should is None:
            texts.append(f"{address} is forwarded, but no service has it")
        elif have is None:
            texts.append(f"{address} is not forwarded")
        else:
            more, less = sorted(have - should), sorted(should - have)
            changes = [f"still leads to {ip}:{port}" for ip, port in more]
            changes += [f"does not lead to {ip}:{port}" for ip, port in less]
            texts.append(f"{address} {', '.join(changes)}")
    return texts
