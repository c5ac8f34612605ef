"""Complaints about addresses (apimachinery's IsValidIP and IsValidCIDR, core's ValidateNonSpecialIP)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_INVALID_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_INVALID_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_HOST_BITS = "must not have bits set beyond the prefix length"
_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def read(text: str) -> Address | None:
    """The address, or None where the text is none. Zones, such as in ``fe80::1%eth0``, are none."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def family(address: Address) -> str:
    return f"IPv{address.version}"


def valid(field: str, text: str) -> list[Cause]:
    return [] if read(text) is not None else [causes.invalid(field, text, _INVALID_IP)]


def valid_cidr(field: str, text: str) -> list[Cause]:
    """Complain of what is no network in CIDR notation, and of one that names an address inside of it."""
    length = text.partition("/")[2]  # ipaddress would take a mask, or none, too
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return [causes.invalid(field, text, _INVALID_CIDR)]
    if not (length.isascii() and length.isdecimal()) or "%" in text:
        return [causes.invalid(field, text, _INVALID_CIDR)]
    if interface.ip != interface.network.network_address:
        return [causes.invalid(field, text, _HOST_BITS)]
    return []


def is_strict_subnet(part: str, whole: str) -> bool:
    """Whether a network is a part of another one, and not all of it. Both are in CIDR notation."""
    inner, outer = ipaddress.ip_network(part), ipaddress.ip_network(whole)
    return inner.version == outer.version and inner != outer and inner.subnet_of(outer)  # pyright: ignore[reportArgumentType]  of one version


def reachable(field: str, text: str) -> list[Cause]:
    """Refuse addresses that mean something else on every machine; a text that is no address is none of them."""
    address = read(text)
    if address is None:
        return [causes.invalid(field, text, "must be a valid IP address")]
    complaints: list[Cause] = []
    if address.is_unspecified:
        complaints.append(causes.invalid(field, text, f"may not be unspecified ({text})"))
    if address.is_loopback:
        complaints.append(causes.invalid(field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        complaints.append(causes.invalid(field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if any(address in network for network in _LINK_LOCAL_MULTICAST if network.version == address.version):
        message = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        complaints.append(causes.invalid(field, text, message))
    return complaints


def one_per_family(field: str, texts: Sequence[str], shown: object) -> list[Cause]:
    """Of several valid addresses, one may be IPv4 and one IPv6. ``shown`` is how the list looks in the complaint."""
    families = [family(address) for text in texts if (address := read(text)) is not None]
    if len(texts) > 2 or len(set(families)) != len(families):
        return [causes.invalid(field, shown, "may specify no more than one IP for each IP family")]
    return []
