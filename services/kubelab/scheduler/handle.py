"""What the scheduler gives to a plugin that it makes (upstream's ``framework.Handle``)."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.client.client import Client
from kubelab.scheduler.waitingpods import WaitingPods


@dataclass(frozen=True, slots=True)
class Handle:
    """``client`` writes while this process leads; ``waiting`` has the pods that Permit plugins let wait."""

    client: Client
    waiting: WaitingPods
