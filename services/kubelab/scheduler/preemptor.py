"""Takes the victims of a preemption away: each learns why by its status and an event, then it is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.core.conditions import TRUE, set_condition
from kubelab.apimachinery.core.pods import DISRUPTION_TARGET
from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import PODS
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.waitingpods import WaitingPods

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Preemptor:
    """Deletes pods for one that goes before them. A deletion that fails is logged; the next attempt tries again."""

    def __init__(self, client: Client, waiting: WaitingPods, clock: Clock, log: FilteringBoundLogger) -> None:
        self._client, self._waiting, self._clock, self._log = client, waiting, clock, log

    async def make_room(self, pod: PodInfo, node: str, victims: tuple[PodInfo, ...], recorder: EventRecorder) -> None:
        """Take the victims away from a node."""
        for victim in victims:
            if self._waiting.reject(victim.uid):
                continue  # it was not bound yet
            try:
                await self._target(victim, pod.pod.spec.schedulerName)
                await self._client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
            except NotFound:
                continue
            except ApiError as err:
                self._log.warning("could not preempt a pod", pod=victim.key, for_pod=pod.key, reason=err.reason)
                continue
            self._log.info("preempted", pod=victim.key, for_pod=pod.key, node=node)
            recorder.event(victim.pod, "Normal", "Preempted", f"Preempted by pod {pod.uid} on node {node}")

    async def _target(self, victim: PodInfo, scheduler_name: str) -> None:
        """Say in the pod's status why it goes; what others wrote meanwhile is read first."""
        current = victim.pod
        message = f"{scheduler_name}: preempting to accommodate a higher priority pod"
        while True:
            changed, now = deep_copy(current), self._clock.time()
            conditions = changed.status.conditions
            if not set_condition(
                conditions, DISRUPTION_TARGET, TRUE, now, reason="PreemptionByScheduler", message=message
            ):
                return
            try:
                await self._client.update_status(changed)
                return
            except Conflict:
                current = await self._client.get(PODS, victim.name, victim.namespace)
                if current.metadata.uid != victim.uid:
                    return
