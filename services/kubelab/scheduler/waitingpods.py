"""Pods that have a node and wait for Permit plugins, after upstream's ``runtime/waiting_pods_map.go``.

A pod waits in a task of its own until every plugin that asked for it allows it, one rejects it, or the time of one is
over. Everything but :meth:`WaitingPod.wait` is synchronous and may be called from plugins and watch handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.durations import format_seconds
from kubelab.scheduler.framework import Rejection, Wait
from kubelab.scheduler.model import PodInfo

MAX_SECONDS = 15 * 60.0  # upstream's maxTimeout


class WaitingPod:
    """One pod that waits. ``waits`` are the answers of the Permit plugins, by name."""

    def __init__(self, pod: PodInfo, node: str, waits: Mapping[str, Wait], clock: Clock) -> None:
        self.pod, self.node = pod, node
        self._clock = clock
        self._began = clock.monotonic()
        self._pending = dict(waits)
        self._rejection: Rejection | None = None
        self._changed = asyncio.Event()

    @property
    def pending(self) -> list[str]:
        """The plugins that have not allowed the pod yet."""
        return [*self._pending]

    def allow(self, plugin: str) -> None:
        """Let the pod go on as far as this plugin is concerned; the last one that allows it sets it free."""
        if self._pending.pop(plugin, None) is not None:
            self._changed.set()

    def reject(self, plugin: str, reason: str) -> None:
        """End the wait: the pod is unschedulable, until an event that the plugin named comes."""
        wait = self._pending.get(plugin)
        if self._rejection is None:
            self._rejection = Rejection(plugin, (reason,), wait.retry_on if wait else frozenset())
            self._changed.set()

    async def wait(self) -> Rejection | None:
        """Wait until the pod is allowed (None) or rejected."""
        while self._pending and self._rejection is None:
            plugin, seconds = min(
                ((plugin, min(wait.seconds, MAX_SECONDS)) for plugin, wait in self._pending.items()),
                key=lambda entry: entry[1],
            )
            self._changed.clear()
            try:
                async with self._clock.timeout(max(self._began + seconds - self._clock.monotonic(), 0.0)):
                    await self._changed.wait()
            except TimeoutError:
                after = format_seconds(seconds)
                self.reject(plugin, f"rejected due to timeout after waiting {after} at plugin {plugin}")
        return self._rejection


class WaitingPods:
    """All pods that wait, by uid; the profiles share them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[str, WaitingPod] = {}

    def add(self, pod: PodInfo, node: str, waits: Mapping[str, Wait]) -> WaitingPod:
        """Let a pod wait from now on, until :meth:`remove`."""
        waiting = self._pods[pod.uid] = WaitingPod(pod, node, waits, self._clock)
        return waiting

    def get(self, uid: str) -> WaitingPod | None:
        """Find a pod that waits."""
        return self._pods.get(uid)

    def list(self) -> list[WaitingPod]:
        """Give all pods that wait, the longest waiting first."""
        return [*self._pods.values()]

    def reject(self, uid: str) -> bool:
        """End the wait of a pod that was removed, has a node by now or is preempted; False if it does not wait."""
        waiting = self._pods.get(uid)
        if waiting is not None:
            waiting.reject("", "removed")
        return waiting is not None

    def remove(self, uid: str) -> None:
        """Forget a pod whose wait is over."""
        self._pods.pop(uid, None)
