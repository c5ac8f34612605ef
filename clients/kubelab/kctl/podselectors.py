"""Which pods belong to a service or a workload."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client


def selector_of(workload: Any) -> str | None:
    """Give the selector of a service or workload as text; None for a kind that selects no pods."""
    from kubelab.api.meta.v1 import meta_pb2
    from kubelab.apimachinery import labelselectors

    selector = getattr(getattr(workload, "spec", None), "selector", None)
    if isinstance(selector, meta_pb2.LabelSelector):
        chosen = bool(selector.matchLabels or selector.matchExpressions)
        return labelselectors.text(selector) if chosen else ""
    if isinstance(selector, Mapping):
        labels = cast("Mapping[str, str]", selector)
        return ",".join(f"{key}={labels[key]}" for key in sorted(labels))
    return None


async def first_pods(client: Client, namespace: str, selector: str, seconds: float) -> list[core_pb2.Pod]:
    """Give the pods that a selector chooses; where there is none yet, the first that comes within ``seconds``."""
    from kubelab.apimachinery.scheme import PODS

    listed = await client.list(PODS, namespace, label_selector=selector)
    if listed.items:
        return listed.items
    events = client.watch(PODS, namespace, resource_version=listed.resource_version, label_selector=selector)
    try:
        async with client.clock.timeout(seconds), aclosing(events):
            async for event in events:
                if event.object is not None and event.type.value != "DELETED":
                    return [event.object]
    except TimeoutError:
        pass  # the caller words it
    return []
