"""The cells of a row of pods, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_ready, is_terminal
from kubelab.apimachinery.timestamps import from_time, human_duration
from kubelab.apiserver.printers.cells import NONE, age


def pod_status(pod: core_pb2.Pod) -> tuple[str, int, int, float]:
    """STATUS, ready containers, restarts, and when the last restart was (0: never)."""
    reason = pod.status.reason or pod.status.phase
    ready = restarts = 0
    last_restart, running = 0.0, False
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            reason = condition.reason
    for status in reversed(pod.status.containerStatuses):  # so that the first container has the last word
        restarts += status.restartCount
        if status.lastState.HasField("terminated"):
            last_restart = max(last_restart, from_time(status.lastState.terminated.finishedAt))
        state = status.state
        if state.HasField("waiting") and state.waiting.reason:
            reason = state.waiting.reason
        elif state.HasField("terminated"):
            ended = state.terminated
            reason = ended.reason or (f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exitCode}")
        elif status.ready and state.HasField("running"):
            running = True
            ready += 1
    if reason == "Completed" and running:
        reason = "Running" if is_ready(pod) else "NotReady"
    if pod.metadata.HasField("deletionTimestamp"):
        if pod.status.reason == "NodeLost":
            reason = "Unknown"
        elif not is_terminal(pod):
            reason = "Terminating"
    return reason, ready, restarts, last_restart


def row(pod: core_pb2.Pod, now: float) -> list[str]:
    reason, ready, restarts, last = pod_status(pod)
    message = f"{restarts} ({human_duration(now - last)} ago)" if restarts and last else str(restarts)
    return [
        pod.metadata.name,
        f"{ready}/{len(pod.spec.containers)}",
        reason,
        message,
        age(pod.metadata.creationTimestamp, now),
        pod.status.podIPs[0].ip if pod.status.podIPs else pod.status.podIP or NONE,
        pod.spec.nodeName or NONE,
        pod.status.nominatedNodeName or NONE,
        NONE,  # there are no readiness gates
    ]
