"""The pod that a command works in: named itself, or one of a workload's or a service's (kubectl's
``polymorphichelpers.AttachablePodForObject``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubelab.kctl import resource as resources
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.podselectors import selector_of
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery.clock import Clock
    from kubelab.client.client import Client

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


async def find_object(client: Client, argument: str, namespace: str) -> Any:
    """Read what POD or TYPE/NAME names. Raises NotFound."""
    from kubelab.apimachinery.scheme import PODS

    word, slash, name = argument.rpartition("/")
    resource = resources.find(word) if slash else PODS
    if not name:
        raise UsageProblem(resources.EMPTY_NAME)
    return await client.get(resource, name, namespace if resource.namespaced else "")


async def pod_of(client: Client, obj: Any, namespace: str, seconds: float, clock: Clock) -> core_pb2.Pod:
    """Give the object itself where it is a pod, else the best of its pods; waits so long for the first. Failed."""
    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery import scheme

    if isinstance(obj, core_pb2.Pod):
        return obj
    selector = selector_of(obj)
    if selector is None:
        kind = f"*{scheme.of_object(obj).version}.{scheme.of_object(obj).kind}"
        raise Failed(f"error: cannot attach to {kind}: selector for {kind} not implemented")
    if not selector:
        raise Failed(f"error: invalid {scheme.of_object(obj).kind.lower()} {obj.metadata.name!r}: it selects no pods")
    listed = await client.list(scheme.PODS, namespace, label_selector=selector)
    if listed.items:
        return max(listed.items, key=_rank)
    events = client.watch(
        scheme.PODS, namespace, resource_version=listed.resource_version, label_selector=selector, bookmarks=True
    )
    try:
        async with clock.timeout(seconds):
            async for event in events:
                if event.object is not None:
                    return event.object
    except TimeoutError:
        pass
    finally:
        await events.aclose()
    raise Failed("error: timed out waiting for the condition")


def _rank(pod: core_pb2.Pod) -> tuple[bool, int, bool, int, int]:
    """Which is the more useful, as client-go's ``ActivePods`` says: assigned, running, ready, restarted least, old."""
    ready = next((c for c in pod.status.conditions if c.type == "Ready" and c.status == "True"), None)
    restarts = max((s.restartCount for s in pod.status.containerStatuses), default=0)
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase, -1),
        ready is not None,
        -restarts,
        -pod.metadata.creationTimestamp.seconds,
    )
