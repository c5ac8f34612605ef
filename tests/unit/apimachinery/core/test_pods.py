"""What a pod's status says of it."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import available_in, is_active
from tests.support import objects as make


@pytest.mark.parametrize(
    ("pod", "min_ready_seconds", "seconds"),
    [
        (make.pod(), 0, None),
        (make.pod(ready=False, ready_since=90), 0, None),
        (make.pod(ready=True), 0, 0),
        (make.pod(ready=True), 10, 10),  # its condition has no time: the whole wait is ahead
        (make.pod(ready=True, ready_since=95), 10, 5),
        (make.pod(ready=True, ready_since=80), 10, 0),
    ],
)
def test_when_a_pod_is_available(pod: core_pb2.Pod, min_ready_seconds: int, seconds: float | None) -> None:
    assert available_in(pod, min_ready_seconds, now=100.0) == seconds


@pytest.mark.parametrize(
    ("pod", "active"),
    [
        (make.pod(), True),
        (make.pod(phase="Running"), True),
        (make.pod(phase="Succeeded"), False),
        (make.pod(phase="Failed"), False),
        (make.pod(phase="Running", deleting=True), False),
    ],
)
def test_which_pods_count(pod: core_pb2.Pod, active: bool) -> None:
    assert is_active(pod) is active
