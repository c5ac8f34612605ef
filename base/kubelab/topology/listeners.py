"""Limits on the connections to the ports of a node's own processes, as rules of the node's kernel.

Every pod can open connections to these ports, before TLS identifies the client. gRPC limits the connections of a server
in total; these rules limit the share of each source address, so that one source cannot keep the others out.

::

    input ─▶ reserved ports, new connections only
               from the node itself        at most 1,024 a port
               from another node           at most   256 a port and address
               from anywhere else (pods)   at most    32 a port and address, 256 a port together,
                                           and 50 new ones a second from one address

A connection above the limit is refused by a reset, so that an honest client tries again. A connection counts until it
is closed; the kernel counts (``ct count``, nft(8)).
"""

from __future__ import annotations

from ipaddress import IPv4Network

from kubelab.linux.nftables import Fragment, nft
from kubelab.topology.reservedports import RESERVED

PER_NODE_ITSELF, PER_NODE, PER_SOURCE, OF_SOURCES = 1024, 256, 32, 256
NEW_PER_SECOND, BURST = 50, 100


def limits(nodes: IPv4Network) -> Fragment:
    """Give the script that bounds connections to a node's own ports. ``nodes`` is the network in which nodes are."""
    return nft(
        """\
add table inet kubelab-listeners
delete table inet kubelab-listeners
add table inet kubelab-listeners
add set inet kubelab-listeners ports { type inet_service ; }
add element inet kubelab-listeners ports %
add set inet kubelab-listeners here { type inet_service ; size 64 ; flags dynamic ; }
add set inet kubelab-listeners of-node { type ipv4_addr . inet_service ; size 65535 ; flags dynamic ; }
add set inet kubelab-listeners of-source { type ipv4_addr . inet_service ; size 65535 ; flags dynamic ; }
add set inet kubelab-listeners of-sources { type inet_service ; size 64 ; flags dynamic ; }
add set inet kubelab-listeners new-of-source \
{ type ipv4_addr . inet_service ; size 65535 ; flags dynamic,timeout ; timeout 10s ; }
add chain inet kubelab-listeners too-many
add rule inet kubelab-listeners too-many counter reject with tcp reset
add chain inet kubelab-listeners from-nodes
add rule inet kubelab-listeners from-nodes add @of-node { ip saddr . tcp dport ct count over % } jump too-many
add rule inet kubelab-listeners from-nodes accept
add chain inet kubelab-listeners from-elsewhere
add rule inet kubelab-listeners from-elsewhere \
update @new-of-source { ip saddr . tcp dport limit rate over %/second burst % packets } jump too-many
add rule inet kubelab-listeners from-elsewhere add @of-source { ip saddr . tcp dport ct count over % } jump too-many
add rule inet kubelab-listeners from-elsewhere add @of-sources { tcp dport ct count over % } jump too-many
add chain inet kubelab-listeners input { type filter hook input priority -10 ; }
add rule inet kubelab-listeners input tcp dport != @ports accept
add rule inet kubelab-listeners input ct state != new accept
add rule inet kubelab-listeners input iifname "lo" add @here { tcp dport ct count over % } jump too-many
add rule inet kubelab-listeners input iifname "lo" accept
add rule inet kubelab-listeners input ip saddr % jump from-nodes
add rule inet kubelab-listeners input jump from-elsewhere
""",
        sorted(RESERVED),
        PER_NODE,
        NEW_PER_SECOND,
        BURST,
        PER_SOURCE,
        OF_SOURCES,
        PER_NODE_ITSELF,
        nodes,
    )
