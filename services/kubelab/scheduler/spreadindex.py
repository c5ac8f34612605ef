"""Which pods belong together, and how many of them each node has: the index behind spreading.

A group is a namespace and the labels that its members carry: those that the services of a pod and its replication
controller select, together. A group is counted once, when it is first asked for, and then kept up as pods come and go.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubelab.scheduler.model import PodInfo

Labels = frozenset[tuple[str, str]]
Group = tuple[str, Labels]
REMEMBERED = 1024  # groups; the one that was asked for longest ago is forgotten


@dataclass(slots=True)
class _Member:
    pod: PodInfo
    node: str


@dataclass(slots=True)
class SpreadIndex:
    """Counts by group and node."""

    _services: defaultdict[str, dict[str, Labels]] = field(default_factory=lambda: defaultdict(dict))
    _controllers: dict[str, Labels] = field(default_factory=dict)
    _members: defaultdict[str, dict[str, _Member]] = field(default_factory=lambda: defaultdict(dict))
    _counts: OrderedDict[Group, Counter[str]] = field(default_factory=OrderedDict)
    _groups: defaultdict[str, set[Labels]] = field(default_factory=lambda: defaultdict(set))

    def set_service(self, namespace: str, name: str, selector: Mapping[str, str]) -> None:
        """Learn what a service selects; an empty selector selects nothing."""
        if selector:
            self._services[namespace][name] = frozenset(selector.items())
        else:
            self.remove_service(namespace, name)

    def remove_service(self, namespace: str, name: str) -> None:
        self._services[namespace].pop(name, None)

    def set_controller(self, uid: str, selector: Mapping[str, str]) -> None:
        """Learn what a replication controller selects."""
        self._controllers[uid] = frozenset(selector.items())

    def remove_controller(self, uid: str) -> None:
        self._controllers.pop(uid, None)

    def group_of(self, pod: PodInfo) -> Group | None:
        """Name a pod's group; None when nothing selects it."""
        items = pod.labels.items()
        requirements: set[tuple[str, str]] = set()
        for selector in self._services.get(pod.namespace, {}).values():
            if selector <= items:
                requirements |= selector
        if pod.owner is not None:
            requirements |= self._controllers.get(pod.owner.uid, frozenset())
        return (pod.namespace, frozenset(requirements)) if requirements else None

    def counts(self, pod: PodInfo) -> Mapping[str, int] | None:
        """Count the group's pods by node; None when the pod has no group."""
        group = self.group_of(pod)
        if group is None:
            return None
        counts = self._counts.get(group)
        if counts is None:
            counts = self._count(group)
        self._counts.move_to_end(group)
        return counts

    def _count(self, group: Group) -> Counter[str]:
        namespace, labels = group
        members: Iterable[_Member] = self._members[namespace].values()
        counts = Counter(member.node for member in members if labels <= member.pod.labels.items())
        self._counts[group] = counts
        self._groups[namespace].add(labels)
        if len(self._counts) > REMEMBERED:
            (old_namespace, old_labels), _ = self._counts.popitem(last=False)
            self._groups[old_namespace].discard(old_labels)
        return counts

    def add(self, pod: PodInfo, node: str) -> None:
        """Count a pod in, unless it is on its way out."""
        if not pod.terminating:
            self._members[pod.namespace][pod.uid] = _Member(pod, node)
            self._change(pod, node, 1)

    def remove(self, pod: PodInfo) -> None:
        """Count a pod out."""
        member = self._members[pod.namespace].pop(pod.uid, None)
        if member is not None:
            self._change(member.pod, member.node, -1)

    def _change(self, pod: PodInfo, node: str, sign: int) -> None:
        items = pod.labels.items()
        for labels in self._groups[pod.namespace]:
            if labels <= items:
                self._counts[pod.namespace, labels][node] += sign

    def check_invariants(self) -> None:
        """Raise AssertionError unless every count is what counting again gives."""
        for namespace, labels in self._counts:
            members = self._members[namespace].values()
            again = Counter(member.node for member in members if labels <= member.pod.labels.items())
            assert +self._counts[namespace, labels] == again, (namespace, labels)
