"""What the workers of one kubelet share, and what each of them knows of its pod."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from structlog.typing import FilteringBoundLogger

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.client.client import Client
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.backoff import Backoff
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubelet.cri import PodRef, Runtime
from kubelab.kubelet.lifecycle import PodLifecycle
from kubelab.kubelet.metrics import KubeletMetrics
from kubelab.kubelet.model import PodView
from kubelab.kubelet.plan import Failure, Waiting
from kubelab.kubelet.podconfig import NodeSettings
from kubelab.kubelet.statusmanager import StatusManager
from kubelab.kubelet.telling import PodEvents
from kubelab.kubelet.userranges import UserRanges


@dataclass(frozen=True)
class Kit:
    """What every worker of one kubelet shares."""

    client: Client
    runtime: Runtime
    statuses: StatusManager
    events: PodEvents
    config: KubeletConfig
    node: NodeSettings
    users: UserRanges
    services: Callable[[], list[core_pb2.Service]]
    clock: Clock
    log: FilteringBoundLogger
    metrics: KubeletMetrics
    wake: Callable[[str, float], None]
    """Have the worker of a uid look again in so many seconds."""
    spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    """Run an operation that takes long, owned by the manager's task group."""
    labels: Callable[[], Mapping[str, str]]
    """The labels of this node, as far as they are known here."""
    synced: Callable[[], Awaitable[None]]
    """Wait until the services are known: containers are told of them."""


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


@dataclass(slots=True)
class StatusReport:
    """What was told of the pod last."""

    status: core_pb2.PodStatus = field(default_factory=core_pb2.PodStatus)
    waiting: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    """By container, the reason that an event told of."""
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
