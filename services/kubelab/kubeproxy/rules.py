"""nftables rules: the base of the table, and one transaction from the installed to the wanted rules.

::

    prerouting, output ─▶ services ─▶ service-…/tcp     numgen inc mod N: the backends in turn, by DNAT
                              └─▶ external-…/tcp        node ports: mark for masquerade, then the same turns
                                   with externalTrafficPolicy Local: what comes from a pod or from this node goes to
                                   any backend (upstream's short cuts), the rest to this node's own, or is dropped
    with session affinity: a set for each backend remembers its clients; the turns are for new ones
    postrouting ─▶ masquerade what is marked, and what a pod sends to itself through a service (hairpin); where it is
                   configured, also what a pod sends through a service to an address that is no pod's
    input, forward, output ─▶ reject at once what goes to a service that has no endpoints

All that belongs to one service is a chain of its own or an element of a map, so a change of one service rewrites only
its part. The layout follows upstream's nftables proxier
(https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables); the turns do not: upstream picks
at random, here ``numgen inc`` deals in turn.

Several services may want one address and port: a service's external address may be another one's cluster address. A
cluster address goes before an external one, and of two services the older one has it. So no service takes the
connections of another one, and when the owner goes, the next one in line has the address in the same transaction. What
goes to a node's own address and the port of one of its own processes never gets this far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from kubelab.kubeproxy.model import Backend, ServicePort, backend_addresses
from kubelab.linux.nftables import Fragment, Name, Protocol, joined, lines, nft, replaced
from kubelab.topology.reservedports import RESERVED

TABLE = nft("ip kube-proxy")
PODS = IPv4Network("10.244.0.0/16")
MASQUERADE_MARK = 0x4000  # upstream's --iptables-masquerade-bit, 14
SERVICE_IPS, SERVICE_NODEPORTS = Name("service-ips"), Name("service-nodeports")
NO_ENDPOINT_SERVICES, NO_ENDPOINT_NODEPORTS = Name("no-endpoint-services"), Name("no-endpoint-nodeports")
REJECT = nft("goto reject-chain")

BASE = joined(
    [
        replaced(TABLE),
        nft(
            """\
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict ; }
add map ip kube-proxy no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy no-endpoint-nodeports { type inet_proto . inet_service : verdict ; }
add set ip kube-proxy hairpin-connections { type ipv4_addr . ipv4_addr ; }
add set ip kube-proxy reserved-ports { type inet_service ; }
add element ip kube-proxy reserved-ports %
add chain ip kube-proxy services
add rule ip kube-proxy services tcp dport @reserved-ports fib daddr type local return
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy services ip daddr != 127.0.0.0/8 fib daddr type local \
meta l4proto . th dport vmap @service-nodeports
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }
add rule ip kube-proxy nat-prerouting jump services
add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }
add rule ip kube-proxy nat-output jump services
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }
add rule ip kube-proxy nat-postrouting meta mark & % != 0 masquerade fully-random
add rule ip kube-proxy nat-postrouting ct status dnat ip saddr . ip daddr @hairpin-connections masquerade fully-random
add chain ip kube-proxy reject-chain
add rule ip kube-proxy reject-chain meta l4proto tcp reject with tcp reset
add rule ip kube-proxy reject-chain reject
add chain ip kube-proxy no-endpoints
add rule ip kube-proxy no-endpoints tcp dport @reserved-ports fib daddr type local return
add rule ip kube-proxy no-endpoints ip daddr . meta l4proto . th dport vmap @no-endpoint-services
add rule ip kube-proxy no-endpoints fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports
add chain ip kube-proxy filter-input { type filter hook input priority -110 ; }
add rule ip kube-proxy filter-input ct state new jump no-endpoints
add chain ip kube-proxy filter-forward { type filter hook forward priority -110 ; }
add rule ip kube-proxy filter-forward ct state new jump no-endpoints
add chain ip kube-proxy filter-output { type filter hook output priority 0 ; }
add rule ip kube-proxy filter-output ct state new jump no-endpoints
""",
            sorted(RESERVED),
            MASQUERADE_MARK,
        ),
    ],
    "",
)

Key = Fragment  # of an element: an address, protocol and port, or a protocol and port


class Claim(NamedTuple):
    """The value that one service port claims for an element; the smallest of several claims wins."""

    outside: bool  # by an external address or a node port, not by the service's own
    created: int
    name: str
    of_map: Name
    verdict: Fragment


@dataclass(frozen=True, slots=True)
class PortRules:
    """The rules of one service port: its chains, its elements of maps, and its sets of clients with the seconds that an
    element lasts."""

    chains: Mapping[Name, tuple[Fragment, ...]]
    claims: Mapping[Key, Claim]
    sets: Mapping[Name, int]


def round_robin(backends: tuple[Backend, ...], protocol: Protocol) -> Fragment:
    """The statement that sends each new connection to the next backend."""
    if len(backends) == 1:
        return nft("meta l4proto % dnat to %:%", protocol, backends[0].ip, backends[0].port)
    dealt = {nft("%", n): nft("% . %", backend.ip, backend.port) for n, backend in enumerate(backends)}
    return nft("meta l4proto % dnat ip to numgen inc mod % map %", protocol, len(backends), dealt)


def port_rules(port: ServicePort, pods: IPv4Network = PODS) -> PortRules:
    """Work out the chains, elements and sets of one service port. ``pods`` is where every pod's address is."""
    chains: dict[Name, tuple[Fragment, ...]] = {}
    claims: dict[Key, Claim] = {}
    sets: dict[Name, int] = {}

    def claim(key: Key, of_map: Name, verdict: Fragment, *, outside: bool = True) -> None:
        claims.setdefault(key, Claim(outside, port.created, port.name, of_map, verdict))

    inside = nft("% . % . %", port.cluster_ip, port.protocol, port.port)
    if port.internal:
        _add_backend_chain(port, port.chain, port.internal, chains, sets)
        claim(inside, SERVICE_IPS, nft("goto %", port.chain), outside=False)
    else:
        claim(inside, NO_ENDPOINT_SERVICES, REJECT, outside=False)
    if not port.external_ips and not port.node_port:
        return PortRules(chains, claims, sets)
    verdict = REJECT
    if port.backends:
        verdict = nft("goto %", port.external_chain)
        if port.everywhere_chain not in chains:
            _add_backend_chain(port, port.everywhere_chain, port.backends, chains, sets)
        chains[port.external_chain] = _from_outside(port, pods, chains, sets)
    for ip in port.external_ips:
        of_map = SERVICE_IPS if port.backends else NO_ENDPOINT_SERVICES
        claim(nft("% . % . %", ip, port.protocol, port.port), of_map, verdict)
    if port.node_port:
        of_map = SERVICE_NODEPORTS if port.backends else NO_ENDPOINT_NODEPORTS
        claim(nft("% . %", port.protocol, port.node_port), of_map, verdict)
    return PortRules(chains, claims, sets)


def _from_outside(
    port: ServicePort, pods: IPv4Network, chains: dict[Name, tuple[Fragment, ...]], sets: dict[Name, int]
) -> tuple[Fragment, ...]:
    """The rules of node ports and external addresses. With the policy ``Local``, clients inside the cluster have the
    policy ``Cluster`` (pkg/proxy/nftables/proxier.go: "short-circuit pod traffic", "short-circuit local traffic")."""
    mark = nft("meta mark set meta mark | %", MASQUERADE_MARK)
    anywhere = nft("goto %", port.everywhere_chain)
    if not port.keeps_client_address:
        return mark, anywhere
    inside = (
        nft("ip saddr % goto %", pods, port.everywhere_chain),
        nft("fib saddr type local meta mark set meta mark | % goto %", MASQUERADE_MARK, port.everywhere_chain),
    )
    if not port.external:
        return *inside, nft("drop")
    if port.external == port.backends:
        return *inside, anywhere
    _add_backend_chain(port, port.local_chain, port.external, chains, sets)
    return *inside, nft("goto %", port.local_chain)


def _add_backend_chain(
    port: ServicePort,
    chain: Name,
    backends: tuple[Backend, ...],
    chains: dict[Name, tuple[Fragment, ...]],
    sets: dict[Name, int],
) -> None:
    """Fill a chain that sends each connection to one of these backends."""
    if not port.affinity:
        chains[chain] = (round_robin(backends, port.protocol),)
        return
    sticky: list[Fragment] = []
    numbered: dict[int, Fragment] = {}
    for number, backend in enumerate(backends):
        endpoint, clients = port.endpoint_chain(backend), port.clients(backend)
        chains[endpoint] = (nft("update @% { ip saddr }", clients), round_robin((backend,), port.protocol))
        sets[clients] = port.affinity
        sticky.append(nft("ip saddr @% goto %", clients, endpoint))
        numbered[number] = nft("goto %", endpoint)
    chains[chain] = (*sticky, nft("numgen inc mod % vmap %", len(backends), numbered))


@dataclass(slots=True)
class Table:
    """The rules in the kernel, as this process put them there. :meth:`transaction` computes changes."""

    pods: IPv4Network = PODS
    masquerade_outside: bool = False
    """Whether an endpoint that is no pod gets to see the node's address instead of a pod's."""
    ports: dict[str, tuple[ServicePort, ...]] = field(default_factory=dict[str, tuple[ServicePort, ...]])
    hairpins: Counter[IPv4Address] = field(default_factory=Counter[IPv4Address])
    claims: dict[Key, frozenset[Claim]] = field(default_factory=dict[Key, frozenset[Claim]])

    def transaction(self, changes: Mapping[str, tuple[ServicePort, ...]]) -> Fragment:
        """Say in nft's language how to get from here to there; empty when nothing differs.

        ``changes`` maps a service's key to the ports it should have; none removes it. What is still referred to goes
        last, what will be referred to comes first, because nft checks each line as it reads it.
        """
        before, after = self._merged(self.ports.get(k, ()) for k in changes), self._merged(changes.values())
        claims = self._claims_after(before, after)
        elements = {key: (_first(self.claims.get(key)), _first(claimed)) for key, claimed in claims.items()}
        moved = {key: pair for key, pair in elements.items() if _element(pair[0]) != _element(pair[1])}
        rewritten = [chain for chain, rules in after.chains.items() if before.chains.get(chain) != rules]
        gone = [chain for chain in before.chains if chain not in after.chains]
        hairpins = self._hairpin_moves(changes)
        return lines(
            [
                *(
                    nft("add set % % { type ipv4_addr ; flags dynamic,timeout ; timeout %s ; }", TABLE, name, seconds)
                    for name, seconds in after.sets.items()
                    if name not in before.sets
                ),
                *(nft("add chain % %", TABLE, chain) for chain in after.chains if chain not in before.chains),
                *(nft("delete element % % { % }", TABLE, old.of_map, key) for key, (old, _) in moved.items() if old),
                *(nft("flush chain % %", TABLE, chain) for chain in rewritten if chain in before.chains),
                *(nft("add rule % % %", TABLE, chain, rule) for chain in rewritten for rule in after.chains[chain]),
                *(
                    nft("add element % % { % : % }", TABLE, new.of_map, key, new.verdict)
                    for key, (_, new) in moved.items()
                    if new
                ),
                *(nft("flush chain % %", TABLE, chain) for chain in gone),
                *(nft("delete chain % %", TABLE, chain) for chain in gone),
                *(nft("delete set % %", TABLE, name) for name in before.sets if name not in after.sets),
                *(
                    nft("delete element % hairpin-connections { % . % }", TABLE, ip, ip)
                    for ip, n in hairpins.items()
                    if n < 0
                ),
                *(
                    nft("add element % hairpin-connections { % . % }", TABLE, ip, ip)
                    for ip, n in hairpins.items()
                    if n > 0
                ),
            ]
        )

    def replaced(self, everything: Mapping[str, tuple[ServicePort, ...]]) -> Fragment:
        """The transaction that replaces the whole table in the kernel."""
        outside = nft(
            "add rule % nat-postrouting ct status dnat ip saddr % ip daddr != % masquerade fully-random\n",
            TABLE,
            self.pods,
            self.pods,
        )
        return joined([BASE, *([outside] if self.masquerade_outside else []), self.empty().transaction(everything)], "")

    def empty(self) -> Table:
        """The table of the same settings without a service."""
        return Table(self.pods, self.masquerade_outside)

    def commit(self, changes: Mapping[str, tuple[ServicePort, ...]]) -> None:
        """Note that a transaction over these changes is in place."""
        before, after = self._merged(self.ports.get(k, ()) for k in changes), self._merged(changes.values())
        for key, claimed in self._claims_after(before, after).items():
            if claimed:
                self.claims[key] = claimed
            else:
                self.claims.pop(key, None)
        for key, ports in changes.items():
            self.hairpins.subtract(backend_addresses(self.ports.get(key, ())))
            self.hairpins.update(backend_addresses(ports))
            if ports:
                self.ports[key] = ports
            else:
                self.ports.pop(key, None)
        self.hairpins = +self.hairpins

    def _claims_after(self, before: _Merged, after: _Merged) -> dict[Key, frozenset[Claim]]:
        """Return all claims on the elements that these services claim or claimed, after the change."""
        none: frozenset[Claim] = frozenset()
        keys = dict.fromkeys((*before.claims, *after.claims))
        return {
            key: self.claims.get(key, none) - before.claims.get(key, none) | after.claims.get(key, none) for key in keys
        }

    def _hairpin_moves(self, changes: Mapping[str, tuple[ServicePort, ...]]) -> dict[IPv4Address, int]:
        """+1 for an address that some service gains for the first time, -1 for one that none has any more."""
        count = Counter(self.hairpins)
        touched: set[IPv4Address] = set()
        for key, ports in changes.items():
            old, new = backend_addresses(self.ports.get(key, ())), backend_addresses(ports)
            touched |= old | new
            count.subtract(old)
            count.update(new)
        return {ip: (count[ip] > 0) - (self.hairpins[ip] > 0) for ip in sorted(touched)}

    def check_invariants(self) -> None:
        """Raise AssertionError when the counts and claims do not follow from the ports."""
        expected: Counter[IPv4Address] = Counter()
        for ports in self.ports.values():
            expected.update(backend_addresses(ports))
        assert expected == self.hairpins, (expected, self.hairpins)
        assert self._merged(self.ports.values()).claims == self.claims

    def _merged(self, groups: Iterable[tuple[ServicePort, ...]]) -> _Merged:
        merged = _Merged({}, {}, {})
        for ports in groups:
            for port in ports:
                part = port_rules(port, self.pods)
                merged.chains.update(part.chains)
                merged.sets.update(part.sets)
                for key, claim in part.claims.items():
                    merged.claims[key] = merged.claims.get(key, frozenset()) | {claim}
        return merged


class _Merged(NamedTuple):
    chains: dict[Name, tuple[Fragment, ...]]
    claims: dict[Key, frozenset[Claim]]
    sets: dict[Name, int]


def _first(claims: frozenset[Claim] | None) -> Claim | None:
    return min(claims) if claims else None


def _element(claim: Claim | None) -> tuple[Name, Fragment] | None:
    return (claim.of_map, claim.verdict) if claim else None
