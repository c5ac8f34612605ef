"""Which placed pods a selector takes, and which of them have terms about a pod: the indexes behind affinity and spread.

A group is what one or several selectors take. It is counted once, when it is first asked for, and then kept up as pods
come and go. A :class:`TermIndex` adds up the equal terms of placed pods. Both find what a pod concerns by the pod's own
labels: a selector that demands a label's value lies in the drawer of this pair, the others lie in one more.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from kubelab.apimachinery.labels import Selector
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.podterms import PodTerm
from kubelab.scheduler.topology import Tally, Topology

REMEMBERED = 1024  # groups; the one that was asked for longest ago is forgotten
Pair = tuple[str, str]
K = TypeVar("K")
V = TypeVar("V")


class Matcher(NamedTuple):
    """Pods of some namespaces (None: of all) whose labels match."""

    namespaces: frozenset[str] | None
    selector: Selector

    def matches(self, namespace: str, labels: Mapping[str, str]) -> bool:
        return (self.namespaces is None or namespace in self.namespaces) and self.selector.matches(labels)


class GroupKey(NamedTuple):
    """Pods that all matchers take. ``terminating`` says whether pods count that are being deleted."""

    matchers: tuple[Matcher, ...]
    terminating: bool

    def matches(self, pod: PodInfo) -> bool:
        if pod.terminating and not self.terminating:
            return False
        return all(matcher.matches(pod.namespace, pod.labels) for matcher in self.matchers)


class _Drawers(Generic[K, V]):
    """Entries by a pair that the labels of every pod concerned carry; None for those without such a pair."""

    def __init__(self) -> None:
        self._drawers: defaultdict[Pair | None, dict[K, V]] = defaultdict(dict)

    def put(self, pair: Pair | None, key: K, value: V) -> None:
        self._drawers[pair][key] = value

    def take(self, pair: Pair | None, key: K) -> None:
        drawer = self._drawers[pair]
        drawer.pop(key, None)
        if not drawer:
            del self._drawers[pair]

    def concerning(self, labels: Mapping[str, str]) -> Iterator[tuple[K, V]]:
        """List the entries that may concern a pod of these labels."""
        drawers = self._drawers
        if not drawers:
            return
        if (drawer := drawers.get(None)) is not None:
            yield from drawer.items()
        for pair in labels.items():
            if (drawer := drawers.get(pair)) is not None:
                yield from drawer.items()


def _pair(selectors: Iterable[Selector]) -> Pair | None:
    """Give a pair that labels must carry to match all of the selectors."""
    for selector in selectors:
        for requirement in selector.requirements:
            if requirement.operator in ("=", "==", "in") and len(requirement.values) == 1:
                return requirement.key, requirement.values[0]
    return None


@dataclass(slots=True)
class _Term:
    """How many pods have a term, and the sum of its weights by node."""

    tally: Tally
    pods: int = 0


class TermIndex:
    """The terms of placed pods. Equal ones, as the pods of one template have them, are one entry."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._terms: dict[PodTerm, _Term] = {}
        self._drawers: _Drawers[PodTerm, _Term] = _Drawers()

    def change(self, term: PodTerm, node: str, weight: int, sign: int) -> None:
        """Count a pod's term in (``sign`` 1) or out (-1)."""
        if term.selector is None:
            return  # it takes no pod
        entry = self._terms.get(term)
        if entry is None:
            entry = self._terms[term] = _Term(Tally(self._topology))
            self._drawers.put(_pair((term.selector,)), term, entry)
        entry.tally.add(node, sign * weight)
        entry.pods += sign
        if not entry.pods:
            del self._terms[term]
            self._drawers.take(_pair((term.selector,)), term)

    def about(self, pod: PodInfo, namespace_labels: Mapping[str, str]) -> list[tuple[str, Tally]]:
        """Give the topology keys and sums of the terms that take a pod."""
        if not self._terms:
            return []
        return [
            (term.topology_key, entry.tally)
            for term, entry in self._drawers.concerning(pod.labels)
            if term.matches(pod.namespace, pod.labels, namespace_labels)
        ]

    def statistics(self) -> dict[PodTerm, tuple[int, dict[str, int]]]:
        """Give pods and sums by term, for invariant checks."""
        for entry in self._terms.values():
            entry.tally.check_invariants()
        return {term: (entry.pods, dict(entry.tally.by_node)) for term, entry in self._terms.items()}


class _Member(NamedTuple):
    pod: PodInfo
    node: str


@dataclass(slots=True)
class _Group:
    key: GroupKey
    tally: Tally
    pair: Pair | None


@dataclass(slots=True)
class PodIndex:
    """The placed pods. ``required`` and ``anti_affinity`` have their required terms, ``preferred`` the other ones."""

    topology: Topology = field(default_factory=Topology)
    required: TermIndex = field(init=False)
    anti_affinity: TermIndex = field(init=False)
    preferred: TermIndex = field(init=False)
    _members: defaultdict[str, dict[str, _Member]] = field(default_factory=lambda: defaultdict(dict))
    _groups: OrderedDict[GroupKey, _Group] = field(default_factory=OrderedDict)
    _drawers: _Drawers[GroupKey, _Group] = field(default_factory=_Drawers)

    def __post_init__(self) -> None:
        self.required, self.anti_affinity = TermIndex(self.topology), TermIndex(self.topology)
        self.preferred = TermIndex(self.topology)

    def count(self, *matchers: Matcher, terminating: bool = True) -> Tally:
        """Count the pods that all matchers take."""
        key = GroupKey(matchers, terminating)
        group = self._groups.get(key)
        if group is None:
            return self._count(key).tally
        self._groups.move_to_end(key)
        return group.tally

    def _count(self, key: GroupKey) -> _Group:
        tally = Tally(self.topology)
        for node, pods in self._taken(key).items():
            tally.add(node, pods)
        pair = _pair(matcher.selector for matcher in key.matchers)
        group = self._groups[key] = _Group(key, tally, pair)
        self._drawers.put(pair, key, group)
        if len(self._groups) > REMEMBERED:
            oldest, forgotten = self._groups.popitem(last=False)
            self._drawers.take(forgotten.pair, oldest)
        return group

    def _taken(self, key: GroupKey) -> Counter[str]:
        limits = [matcher.namespaces for matcher in key.matchers if matcher.namespaces is not None]
        namespaces = frozenset.intersection(*limits) if limits else self._members.keys()
        members = (self._members[namespace].values() for namespace in namespaces if namespace in self._members)
        return Counter(member.node for some in members for member in some if key.matches(member.pod))

    def add(self, pod: PodInfo, node: str) -> None:
        """Count a pod in."""
        self._members[pod.namespace][pod.uid] = _Member(pod, node)
        self._change(pod, node, 1)

    def remove(self, pod: PodInfo) -> None:
        """Count a pod out."""
        members = self._members[pod.namespace]
        member = members.pop(pod.uid)
        if not members:
            del self._members[pod.namespace]
        self._change(member.pod, member.node, -1)

    def _change(self, pod: PodInfo, node: str, sign: int) -> None:
        for key, group in self._drawers.concerning(pod.labels):
            if key.matches(pod):
                group.tally.add(node, sign)
        neighbours = pod.neighbours
        for term in neighbours.affinity:
            self.required.change(term, node, 1, sign)
        for term in neighbours.anti_affinity:
            self.anti_affinity.change(term, node, 1, sign)
        for term, weight in neighbours.preferred:
            self.preferred.change(term, node, weight, sign)

    def check_invariants(self) -> None:
        """Raise AssertionError unless every sum is what adding again gives."""
        for key, group in self._groups.items():
            assert group.tally.by_node == self._taken(key), key
            group.tally.check_invariants()
        again = PodIndex(self.topology)
        for members in self._members.values():
            for member in members.values():
                again.add(member.pod, member.node)
        for name in ("required", "anti_affinity", "preferred"):
            assert getattr(self, name).statistics() == getattr(again, name).statistics(), name
