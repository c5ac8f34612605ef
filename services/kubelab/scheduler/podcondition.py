"""The condition PodScheduled=False, by which a pod's reader learns why it has no node."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.core.conditions import FALSE, set_condition
from kubelab.apimachinery.core.pods import POD_SCHEDULED
from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import PODS
from kubelab.client.client import Client
from kubelab.rpc import tracing
from kubelab.scheduler.model import PodInfo

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

TRIES = 5


class PodConditionUpdater:
    """Writes the condition, as upstream's ``podConditionUpdater``."""

    def __init__(self, client: Client, clock: Clock, log: FilteringBoundLogger) -> None:
        self._client, self._clock, self._log = client, clock, log

    async def not_scheduled(self, pod: PodInfo, reason: str, message: str, nominated: str | None = None) -> None:
        """Write PodScheduled=False, and where room is made for the pod (None: as it is), unless the status has it
        already or the pod has a node or is gone. A write that fails is logged: the pod's next attempt writes it."""

        def change(changed: core_pb2.Pod) -> bool:
            conditions, now = changed.status.conditions, self._clock.time()
            differs = set_condition(conditions, POD_SCHEDULED, FALSE, now, reason=reason, message=message)
            if nominated is None or changed.status.nominatedNodeName == nominated:
                return differs
            changed.status.nominatedNodeName = nominated
            return True

        await self._write(pod, change)

    async def clear_nomination(self, pod: PodInfo) -> None:
        """Say that no room is made for a pod any more."""

        def change(changed: core_pb2.Pod) -> bool:
            differs = bool(changed.status.nominatedNodeName)
            changed.status.nominatedNodeName = ""
            return differs

        await self._write(pod, change)

    async def _write(self, pod: PodInfo, change: Callable[[core_pb2.Pod], bool]) -> None:
        current = pod.pod
        for _ in range(TRIES):
            if current.spec.nodeName or current.metadata.uid != pod.uid:
                return
            changed = deep_copy(current)
            if not change(changed):
                return
            try:
                with tracing.root(), tracing.cause(current.metadata.resourceVersion):
                    await self._client.update_status(changed)
                    return
            except NotFound:
                return
            except Conflict:
                pass  # read it again
            except ApiError as err:
                self._log.warning("could not write the condition", pod=pod.key, reason=err.reason)
                return
            try:
                current = await self._client.get(PODS, pod.name, pod.namespace)
            except ApiError as err:
                self._log.info("could not read the pod again", pod=pod.key, reason=err.reason)
                return
