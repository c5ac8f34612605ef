"""The configured delays of a cluster that an experiment on dead nodes has to wait for."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import durations
from kubelab.chaos.workload import UNREACHABLE_TAINTS
from kubelab.cluster.driver import ClusterDriver

GRACE_SECONDS = 50.0  # the controller-manager's default, and upstream's since 1.32


async def grace_period(driver: ClusterDriver) -> float:
    """Give ``nodeMonitorGracePeriod`` in seconds, as the cluster was started with, or its default."""
    setting = await driver.setting("controller-manager", "nodeLifecycle.nodeMonitorGracePeriod")
    return GRACE_SECONDS if setting is None else durations.parse_or_seconds(setting)


def tolerations(pod: core_pb2.Pod) -> int | None:
    """For how many seconds a pod tolerates that its node is gone; None: not at all."""
    granted = [
        toleration.tolerationSeconds
        for toleration in pod.spec.tolerations
        if toleration.key in UNREACHABLE_TAINTS and toleration.effect == "NoExecute"
    ]
    return min(granted, default=None)
