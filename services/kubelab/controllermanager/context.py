"""What the process gives to a controller that it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery.clock import Clock
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.client.workqueue import WorkQueue
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.informers import SharedInformers

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class ControllerContext:
    """What a controller is made of. ``recorder`` gives an event recorder that writes as a component."""

    config: ControllerManagerConfig
    client: Client
    informers: SharedInformers
    queue: WorkQueue[str]
    recorder: Callable[[str], EventRecorder]
    clock: Clock
    log: FilteringBoundLogger
