"""What selects a pod: its services and its controller. Pods with the same selection spread by default.

https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#cluster-level-default-constraints
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from kubelab.apimachinery.labels import Requirement, Selector
from kubelab.scheduler.model import PodInfo

Pairs = frozenset[tuple[str, str]]


class WorkloadSelectors:
    """Selectors of services by name, and of controllers by uid."""

    def __init__(self) -> None:
        self._services: defaultdict[str, dict[str, Pairs]] = defaultdict(dict)
        self._controllers: dict[str, Selector] = {}

    def set_service(self, namespace: str, name: str, selector: Mapping[str, str]) -> None:
        """Learn what a service selects; an empty selector selects nothing."""
        if selector:
            self._services[namespace][name] = frozenset(selector.items())
        else:
            self.remove_service(namespace, name)

    def remove_service(self, namespace: str, name: str) -> None:
        self._services[namespace].pop(name, None)

    def set_controller(self, uid: str, selector: Selector) -> None:
        """Learn what a controller selects."""
        self._controllers[uid] = selector

    def remove_controller(self, uid: str) -> None:
        self._controllers.pop(uid, None)

    def selector_of(self, pod: PodInfo) -> Selector | None:
        """Join what the pod's services and its controller select; None when nothing does."""
        items = pod.labels.items()
        pairs: set[tuple[str, str]] = set()
        for selector in self._services.get(pod.namespace, {}).values():
            if selector <= items:
                pairs |= selector
        controller = self._controllers.get(pod.owner.uid) if pod.owner is not None else None
        if not pairs:
            return controller or None
        services = equal_to(dict(pairs))
        return Selector((*services.requirements, *controller.requirements)) if controller else services


def equal_to(labels: Mapping[str, str]) -> Selector:
    """Make the selector of a service or replication controller."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))
