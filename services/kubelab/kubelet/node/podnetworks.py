"""Which node's pods are where: what of the Nodes' own words becomes a route. Pure, and total: whatever a Node says.

A Node's addresses are its kubelet's to write, so none of them is believed where it could take another node's traffic.
A range must be one that the node IPAM gives out, a gateway an address of the nodes' network; what two nodes claim is
the older one's, and never taken from this node itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from kubelab.api.core.v1 import core_pb2


@dataclass(frozen=True, slots=True)
class Layout:
    """``pods`` is the cluster's network of pods, of which each node has a part of so many bits; ``nodes`` is the
    network in which nodes reach each other directly."""

    pods: IPv4Network
    mask: int
    nodes: IPv4Network


@dataclass(frozen=True, slots=True)
class Routes:
    """``via`` is each range's gateway. ``refused`` says by node what was not believed, and why."""

    via: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])


def said(node: core_pb2.Node) -> tuple[str, tuple[str, ...]]:
    """What a Node says of itself: its address in the cluster, and its ranges."""
    address = next((a.address for a in node.status.addresses if a.type == "InternalIP"), "")
    return address, tuple(node.spec.podCIDRs) or ((node.spec.podCIDR,) if node.spec.podCIDR else ())


def routes(nodes: Iterable[core_pb2.Node], own_name: str, own_address: str, layout: Layout) -> Routes:
    """Give the routes that this node should have to the others."""
    routes_of_nodes = Routes()
    gateways: dict[str, str] = {own_address: own_name}
    ranges: dict[str, str] = {}
    for node in sorted(nodes, key=lambda node: _rank(node, own_name)):
        name = node.metadata.name
        address, cidrs = said(node)
        if not cidrs or (name != own_name and not address):
            continue  # it is not there yet
        if name == own_name:
            ranges.update(dict.fromkeys(cidrs, name))
            continue
        why = _range_problem(cidrs, ranges, layout) or _gateway_problem(address, gateways, layout)
        if why:
            routes_of_nodes.refused[name] = why
            continue
        gateways[address] = ranges[cidrs[0]] = name
        routes_of_nodes.via[cidrs[0]] = address
    return routes_of_nodes


def _rank(node: core_pb2.Node, own_name: str) -> tuple[bool, int, str]:
    return node.metadata.name != own_name, node.metadata.creationTimestamp.seconds, node.metadata.name


def _range_problem(cidrs: tuple[str, ...], taken: dict[str, str], layout: Layout) -> str:
    cidr = cidrs[0]
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError:
        return f"podCIDR {cidr!r} is no network"
    if network.prefixlen != layout.mask or not network.subnet_of(layout.pods) or str(network) != cidr:
        return f"podCIDR {cidr} is no /{layout.mask} of {layout.pods}"
    if cidr in taken:
        return f"podCIDR {cidr} is of {taken[cidr]}"
    return f"it has {len(cidrs)} podCIDRs, expected one" if len(cidrs) > 1 else ""


def _gateway_problem(address: str, taken: dict[str, str], layout: Layout) -> str:
    try:
        gateway = IPv4Address(address)
    except ValueError:
        return f"InternalIP {address!r} is no address"
    ends = (layout.nodes.network_address, layout.nodes.broadcast_address)
    if gateway not in layout.nodes or gateway in ends or str(gateway) != address:
        return f"InternalIP {address} is no node's address in {layout.nodes}"
    return f"InternalIP {address} is of {taken[address]}" if address in taken else ""
