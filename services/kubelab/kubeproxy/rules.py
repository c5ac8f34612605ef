"""nftables rules as text: the base of the table, and one transaction from what is in place to what should be.

::

    prerouting, output ─▶ services ─▶ service-…/tcp     numgen inc mod N: the backends in turn, by DNAT
                              └─▶ external-…/tcp        node ports: mark for masquerade, then the same turns
    postrouting ─▶ masquerade what is marked, and what a pod sends to itself through a service (hairpin)
    input, forward, output ─▶ reject at once what goes to a service that has no endpoints

Everything that changes with a service is an element of a map or a chain of its own, so that a change costs what it
changes. The layout follows upstream's nftables proxier
(https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables); the turns do not: upstream picks
at random, here ``numgen inc`` deals in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubelab.kubeproxy.model import Backend, ServicePort, addresses_behind

TABLE = "ip kube-proxy"
MASQUERADE_MARK = "0x4000"  # upstream's --iptables-masquerade-bit, 14

BASE = f"""\
add table {TABLE}
delete table {TABLE}
add table {TABLE}
add map {TABLE} service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict ; }}
add map {TABLE} service-nodeports {{ type inet_proto . inet_service : verdict ; }}
add map {TABLE} no-endpoint-services {{ type ipv4_addr . inet_proto . inet_service : verdict ; }}
add map {TABLE} no-endpoint-nodeports {{ type inet_proto . inet_service : verdict ; }}
add set {TABLE} hairpin-connections {{ type ipv4_addr . ipv4_addr ; }}
add chain {TABLE} services
add rule {TABLE} services ip daddr . meta l4proto . th dport vmap @service-ips
add rule {TABLE} services ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @service-nodeports
add chain {TABLE} nat-prerouting {{ type nat hook prerouting priority -100 ; }}
add rule {TABLE} nat-prerouting jump services
add chain {TABLE} nat-output {{ type nat hook output priority -100 ; }}
add rule {TABLE} nat-output jump services
add chain {TABLE} nat-postrouting {{ type nat hook postrouting priority 100 ; }}
add rule {TABLE} nat-postrouting meta mark & {MASQUERADE_MARK} != 0 masquerade fully-random
add rule {TABLE} nat-postrouting ct status dnat ip saddr . ip daddr @hairpin-connections masquerade fully-random
add chain {TABLE} reject-chain
add rule {TABLE} reject-chain meta l4proto tcp reject with tcp reset
add rule {TABLE} reject-chain reject
add chain {TABLE} no-endpoints
add rule {TABLE} no-endpoints ip daddr . meta l4proto . th dport vmap @no-endpoint-services
add rule {TABLE} no-endpoints fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports
add chain {TABLE} filter-input {{ type filter hook input priority -110 ; }}
add rule {TABLE} filter-input ct state new jump no-endpoints
add chain {TABLE} filter-forward {{ type filter hook forward priority -110 ; }}
add rule {TABLE} filter-forward ct state new jump no-endpoints
add chain {TABLE} filter-output {{ type filter hook output priority -110 ; }}
add rule {TABLE} filter-output ct state new jump no-endpoints
"""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one service port occupies in the table: chains with their rules, elements of maps with their verdicts."""

    chains: Mapping[str, tuple[str, ...]]
    elements: Mapping[tuple[str, str], str]  # (map, key) → verdict


def turns(backends: tuple[Backend, ...], protocol: str) -> str:
    """The statement that sends each new connection to the next backend."""
    if len(backends) == 1:
        return f"meta l4proto {protocol} dnat to {backends[0].ip}:{backends[0].port}"
    dealt = ", ".join(f"{n} : {b.ip} . {b.port}" for n, b in enumerate(backends))
    return f"meta l4proto {protocol} dnat ip to numgen inc mod {len(backends)} map {{ {dealt} }}"


def footprint(port: ServicePort) -> Footprint:
    """Work out the chains and elements of one service port."""
    chains: dict[str, tuple[str, ...]] = {}
    elements: dict[tuple[str, str], str] = {}
    inside = f"{port.cluster_ip} . {port.protocol} . {port.port}"
    if port.internal:
        chains[port.chain] = (turns(port.internal, port.protocol),)
        elements["service-ips", inside] = f"goto {port.chain}"
    else:
        elements["no-endpoint-services", inside] = "goto reject-chain"

    outside = [("services", f"{ip} . {port.protocol} . {port.port}") for ip in port.external_ips]
    if port.node_port:
        outside.append(("nodeports", f"{port.protocol} . {port.node_port}"))
    if not outside:
        return Footprint(chains, elements)
    if port.external:
        name = port.chain.replace("service-", "external-", 1)
        mark = () if port.keeps_client_address else (f"meta mark set meta mark | {MASQUERADE_MARK}",)
        # one chain deals the turns for both ways in, unless a traffic policy makes the backends differ
        same = port.chain in chains and port.external == port.internal
        chains[name] = (*mark, f"goto {port.chain}" if same else turns(port.external, port.protocol))
    for which, key in outside:
        if port.external:
            of_map = "service-ips" if which == "services" else "service-nodeports"
            elements[of_map, key] = f"goto {port.chain.replace('service-', 'external-', 1)}"
        else:
            elements[f"no-endpoint-{which}", key] = "goto reject-chain"
    return Footprint(chains, elements)


@dataclass(slots=True)
class Table:
    """What is in the kernel, as far as this process put it there; commits come from :meth:`transaction`."""

    ports: dict[str, tuple[ServicePort, ...]] = field(default_factory=dict[str, tuple[ServicePort, ...]])
    hairpins: Counter[str] = field(default_factory=Counter[str])

    def transaction(self, changes: Mapping[str, tuple[ServicePort, ...]]) -> str:
        """Say in nft's language how to get from here to there; empty when nothing differs.

        ``changes`` maps a service's key to the ports it should have; none removes it. What is still referred to goes
        last, what will be referred to comes first, because nft checks each line as it reads it.
        """
        before, after = _merged(self.ports.get(k, ()) for k in changes), _merged(changes.values())
        lines: list[str] = [f"add chain {TABLE} {chain}" for chain in after.chains if chain not in before.chains]
        for (of_map, key), verdict in before.elements.items():
            if after.elements.get((of_map, key)) != verdict:
                lines.append(f"delete element {TABLE} {of_map} {{ {key} }}")
        rewritten = [chain for chain, rules in after.chains.items() if before.chains.get(chain) != rules]
        lines += [f"flush chain {TABLE} {chain}" for chain in rewritten if chain in before.chains]
        lines += [f"add rule {TABLE} {chain} {rule}" for chain in rewritten for rule in after.chains[chain]]
        for (of_map, key), verdict in after.elements.items():
            if before.elements.get((of_map, key)) != verdict:
                lines.append(f"add element {TABLE} {of_map} {{ {key} : {verdict} }}")
        gone = [chain for chain in before.chains if chain not in after.chains]
        lines += [f"flush chain {TABLE} {chain}" for chain in gone]
        lines += [f"delete chain {TABLE} {chain}" for chain in gone]
        moved = self._hairpin_moves(changes)
        lines += [f"delete element {TABLE} hairpin-connections {{ {ip} . {ip} }}" for ip, n in moved.items() if n < 0]
        lines += [f"add element {TABLE} hairpin-connections {{ {ip} . {ip} }}" for ip, n in moved.items() if n > 0]
        return "".join(f"{line}\n" for line in lines)

    def replaced(self, everything: Mapping[str, tuple[ServicePort, ...]]) -> str:
        """The transaction that makes the whole table anew, whatever is in the kernel."""
        return BASE + Table().transaction(everything)

    def commit(self, changes: Mapping[str, tuple[ServicePort, ...]]) -> None:
        """Note that a transaction over these changes is in place."""
        for key, ports in changes.items():
            self.hairpins.subtract(addresses_behind(self.ports.get(key, ())))
            self.hairpins.update(addresses_behind(ports))
            if ports:
                self.ports[key] = ports
            else:
                self.ports.pop(key, None)
        self.hairpins = +self.hairpins

    def _hairpin_moves(self, changes: Mapping[str, tuple[ServicePort, ...]]) -> dict[str, int]:
        """+1 for an address that some service gains for the first time, -1 for one that none has any more."""
        count = Counter(self.hairpins)
        touched: set[str] = set()
        for key, ports in changes.items():
            old, new = addresses_behind(self.ports.get(key, ())), addresses_behind(ports)
            touched |= old | new
            count.subtract(old)
            count.update(new)
        return {ip: (count[ip] > 0) - (self.hairpins[ip] > 0) for ip in sorted(touched)}

    def check_invariants(self) -> None:
        """Raise AssertionError when the counts do not follow from the ports."""
        expected: Counter[str] = Counter()
        for ports in self.ports.values():
            expected.update(addresses_behind(ports))
        assert expected == self.hairpins, (expected, self.hairpins)


def _merged(groups: Iterable[tuple[ServicePort, ...]]) -> Footprint:
    chains: dict[str, tuple[str, ...]] = {}
    elements: dict[tuple[str, str], str] = {}
    for ports in groups:
        for port in ports:
            part = footprint(port)
            chains.update(part.chains)
            elements.update(part.elements)
    return Footprint(chains, elements)
