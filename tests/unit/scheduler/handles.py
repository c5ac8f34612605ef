"""What plugins of a test are given."""

from __future__ import annotations

from kubelab.apimachinery.clock import SystemClock
from kubelab.scheduler.handle import Handle
from kubelab.scheduler.waitingpods import WaitingPods
from tests.support.apiserver import ApiServerInMemory


def handle() -> Handle:
    """A client of an empty api-server in memory, and no waiting pods."""
    return Handle(ApiServerInMemory().client(), WaitingPods(SystemClock()))
