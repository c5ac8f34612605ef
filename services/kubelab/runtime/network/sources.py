"""A pod sends from its own address and from no other: an nftables table of the runtime's own.

::

    prerouting ─▶ IPv6 from a pod's device: dropped, pods have no IPv6 address
               ─▶ a source that is not routed to the device that the packet came in by: dropped

A pod's device has one route, to the pod's address (:mod:`kubelab.runtime.network.pods`), so the second rule is strict
reverse path filtering (RFC 3704, 2.2) for these devices alone. It holds for every pod, and a new pod adds nothing to
it. The hook comes before connection tracking: a forged packet leaves no trace in the node. ARP needs no rule: the node
knows each pod's link-layer address for good, and what a pod says of others counts on the pod's own device only.
"""

from __future__ import annotations

from kubelab.component.config import ConfigError
from kubelab.linux.nftables import nft
from kubelab.runtime.network.nft import apply

RULES = nft("""\
add table inet kubelab-sources
delete table inet kubelab-sources
add table inet kubelab-sources
add chain inet kubelab-sources prerouting { type filter hook prerouting priority -310 ; }
add rule inet kubelab-sources prerouting iifname "kl*" meta nfproto ipv6 drop
add rule inet kubelab-sources prerouting iifname "kl*" fib saddr . iif oif missing drop
""")


def write() -> None:
    """Write the table. Done before: done again. ConfigError, in nft's words: no pod runs without it."""
    try:
        apply(RULES)
    except OSError as err:
        raise ConfigError(f"cannot keep pods from sending with the addresses of others: {err}") from err
