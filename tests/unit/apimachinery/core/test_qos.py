"""The class of a pod: by amounts of cpu and memory, however they are written."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.qos import compute_pod_qos, pod_qos

Amounts = dict[str, str]
Container = tuple[Amounts, Amounts]  # requests, limits

BOTH = {"cpu": "1", "memory": "1Gi"}


def spec(*containers: Container) -> core_pb2.PodSpec:
    made = core_pb2.PodSpec()
    for requests, limits in containers:
        container = made.containers.add()
        for name, text in requests.items():
            container.resources.requests[name].string = text
        for name, text in limits.items():
            container.resources.limits[name].string = text
    return made


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([({}, {})], "BestEffort"),
        ([({"ephemeral-storage": "1Gi"}, {"ephemeral-storage": "1Gi"})], "BestEffort"),
        ([({"cpu": "0"}, {"cpu": "0", "memory": "0"})], "BestEffort"),
        ([(BOTH, {"cpu": "1000m", "memory": "1024Mi"})], "Guaranteed"),
        ([(BOTH, BOTH), (BOTH, BOTH)], "Guaranteed"),
        ([(BOTH, BOTH), ({}, {})], "Burstable"),
        ([({"cpu": "1"}, {"cpu": "1"})], "Burstable"),
        ([({"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"})], "Burstable"),
        ([({"cpu": "1"}, {})], "Burstable"),
        ([({}, {"memory": "1Gi"})], "Burstable"),
        ([({"cpu": "many"}, {"cpu": "many"})], "BestEffort"),
    ],
)
def test_class(containers: list[Container], expected: str) -> None:
    assert compute_pod_qos(spec(*containers)) == expected


def test_the_status_decides_where_it_names_a_class() -> None:
    pod = core_pb2.Pod(spec=spec((BOTH, BOTH)))
    assert pod_qos(pod) == "Guaranteed"
    pod.status.qosClass = "Burstable"
    assert pod_qos(pod) == "Burstable"
