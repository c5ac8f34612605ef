"""What the workers of one kubelet share, and what each of them knows of its pod."""

from __future__ import annotations

import asyncio
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


@dataclass(slots=True)
class StopUnderWay:
    until: float
    task: asyncio.Task[None]


@dataclass(slots=True)
class PodState:
    """All that is known of one pod. ``pod`` is None for one that only the runtime has."""

    ref: PodRef
    pod: core_pb2.Pod | None
    view: PodView
    crashes: Backoff[str]
    starts: Backoff[str]
    pulls_failed: Backoff[str]
    making: bool = False
    """A sandbox is being made: events may tell of it before the call's answer does."""
    gone: bool = False
    dirty: bool = True
    """Something changed since the runtime was looked at."""
    unsure: bool = True
    """There may be sandboxes that the view does not have: a call's outcome is unknown, or another kubelet was here."""
    finished: str = ""
    """The resourceVersion at which the last delete was sent."""
    rejected: Waiting | None = None
    """Why this node does not take it."""
    failed: Waiting | None = None
    """Why the whole pod failed; it is told as its end once nothing runs any more."""
    first_seen: float = 0.0
    ran: bool = False
    failures: dict[str, Failure] = field(default_factory=dict[str, Failure])
    pulling: set[str] = field(default_factory=set[str])
    pulled: dict[str, cri.Image] = field(default_factory=dict[str, cri.Image])
    stops: dict[str, StopUnderWay] = field(default_factory=dict[str, StopUnderWay])
    told: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    status: core_pb2.PodStatus = field(default_factory=core_pb2.PodStatus)
