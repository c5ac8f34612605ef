"""What a pod's worker knows of its pod, and what it asks of the loop that runs it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.backoff import jittered
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.backoff import Backoff
from kubelab.kubelet.cri.client import PodRef
from kubelab.kubelet.cri.views import PodView
from kubelab.kubelet.pods.lifecycle import PodLifecycle
from kubelab.kubelet.pods.plan import Failure, Waiting

RETRY_SECONDS = 10.0
"""Between two attempts at what others may mend at any moment: upstream's backOffPeriod, which does not grow."""
FLIP_SECONDS = 2.0
"""How long a fresh failure is shown under its own name before it is called a back-off."""


class WorkerLoop(Protocol):
    """What a worker asks of the loop that runs it."""

    def wake(self, uid: str, seconds: float) -> None:
        """Have the worker of a uid look again in so many seconds."""
        ...

    def spawn(self, operation: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run an operation that takes long, owned by the loop's task group."""
        ...


class Freshness(enum.IntEnum):
    """What has to be asked before the view of a pod can be relied on."""

    CURRENT = 0
    CHANGED = 1
    """Something changed in the sandboxes that the view has."""
    UNKNOWN = 2
    """There may be sandboxes that the view does not have: a call's outcome is unknown, or another kubelet was here."""


@dataclass(slots=True)
class RuntimeCache:
    """What the runtime had of the pod at the last look, and whether that may have changed since."""

    view: PodView
    freshness: Freshness = Freshness.UNKNOWN
    creating_sandbox: bool = False
    """Events may tell of a new sandbox before the call that makes it is answered."""

    @property
    def current(self) -> bool:
        return self.freshness is Freshness.CURRENT

    def changed(self) -> None:
        """The known sandboxes and their containers have to be looked at again."""
        self.freshness = max(self.freshness, Freshness.CHANGED)

    def unknown(self) -> None:
        """All of the pod's sandboxes have to be looked for."""
        self.freshness = Freshness.UNKNOWN


@dataclass(slots=True)
class StartAttempts:
    """What came of the attempts to start the pod's sandbox (key ``SANDBOX``) and containers (by name)."""

    crashes: Backoff[str]
    starts: Backoff[str]
    pulls_failed: Backoff[str]
    """By image."""
    failures: dict[str, Failure] = field(default_factory=dict[str, Failure])
    pulling: set[str] = field(default_factory=set[str])
    pulled: dict[str, cri.Image] = field(default_factory=dict[str, cri.Image])

    def failed(self, now: float, name: str, reason: str, message: str) -> None:
        """An attempt failed for what others may mend at any moment: the next one comes after the same time again."""
        self.failures[name] = Failure(now + jittered(RETRY_SECONDS), Waiting(reason, message))


@dataclass(slots=True)
class StatusReport:
    """The status that was written last."""

    status: core_pb2.PodStatus = field(default_factory=core_pb2.PodStatus)
    waiting: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    """By container, the reason of its last event."""
    ready_once: bool = False


@dataclass(slots=True)
class StopUnderWay:
    until: float
    task: asyncio.Task[None]


@dataclass(slots=True)
class PodState:
    """All that is known of one pod. ``pod`` is None for one that only the runtime has."""

    ref: PodRef
    pod: core_pb2.Pod | None
    lifecycle: PodLifecycle
    runtime: RuntimeCache
    attempts: StartAttempts
    report: StatusReport = field(default_factory=StatusReport)
    rejected: Waiting | None = None
    """Why this node does not take it."""
    stops: dict[str, StopUnderWay] = field(default_factory=dict[str, StopUnderWay])
    """By container id."""
    deletion_sent: str = ""
    """The resourceVersion at which the last delete was sent."""
    first_seen: float = 0.0

    @property
    def view(self) -> PodView:
        return self.runtime.view

    @property
    def status(self) -> core_pb2.PodStatus:
        return self.report.status
