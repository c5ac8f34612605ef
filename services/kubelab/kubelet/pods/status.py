"""A pod's status, computed: what the runtime has, why something waits, and what was last told. Pure.

Words and rules are upstream's: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.conditions import keep_transition_times
from kubelab.apimachinery.core.pods import TERMINAL_PHASES, is_terminal
from kubelab.apimachinery.core.qos import pod_qos
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.timestamps import to_time
from kubelab.kubelet.containers import termination
from kubelab.kubelet.cri.views import ContainerView, PodView, State
from kubelab.kubelet.pods.plan import Waiting, dead_attempt, first_attempt

OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_UNKNOWN = "ContainerStatusUnknown"
_LOST = "The container could not be located when the pod was deleted.  The container used to be Running"
_MISSING = "The container could not be located when the pod was terminated"
REJECTED = "Pod was rejected: "


@dataclass(frozen=True, slots=True)
class StatusInput:
    """All that a status is made from. ``last`` is what was last computed, or what the api-server had at first."""

    pod: core_pb2.Pod
    last: core_pb2.PodStatus
    view: PodView
    now: float
    host_ip: str
    runtime_name: str
    waiting: Mapping[str, Waiting] = field(default_factory=dict[str, Waiting])
    failed: Waiting | None = None


def compute(given: StatusInput) -> core_pb2.PodStatus:
    """Compute the whole status; conditions keep their transition times where they did not change."""
    pod, last = given.pod, given.last
    if is_terminal(pod) and given.view.empty and not pod.status.containerStatuses:
        return ours(pod.status)  # it was refused, or ended before anything of it was made: there is no more to tell
    statuses = [_container(given, c) for c in sorted(pod.spec.containers, key=lambda c: c.name)]
    if _ends(given) and not given.view.running:
        for missing in (s for s in statuses if not s.state.HasField("terminated")):
            missing.ready = missing.started = False
            missing.state.Clear()
            missing.state.terminated.CopyFrom(
                core_pb2.ContainerStateTerminated(exitCode=137, reason=_UNKNOWN, message=_MISSING)
            )
    status = core_pb2.PodStatus(
        hostIP=given.host_ip,
        hostIPs=[core_pb2.HostIP(ip=given.host_ip)],
        startTime=last.startTime if last.HasField("startTime") else to_time(given.now),
        containerStatuses=statuses,
        qosClass=pod_qos(pod),
        nominatedNodeName=last.nominatedNodeName,
    )
    _shorten_messages(status)
    status.phase, status.reason, status.message = _outcome(given, statuses)
    _addresses(status, given)
    ready_sandbox = any(s.ready for s in given.view.sandboxes)
    status.conditions.extend(conditions(pod, status, last, ready_sandbox, given.now))
    if given.view.running and status.phase in TERMINAL_PHASES and not is_terminal(pod):
        # What a terminal phase sets free is still in use. The conditions say already that it is not ready any more.
        status.phase, status.reason, status.message = phase(pod, statuses), "", ""
    return status


def _shorten_messages(status: core_pb2.PodStatus) -> None:
    """Keep the messages of all containers together below upstream's bound."""
    share = termination.MAX_POD_BYTES // max(len(status.containerStatuses), 1)
    for one in status.containerStatuses:
        for state in (one.state, one.lastState):
            if state.HasField("terminated") and len(state.terminated.message.encode()) > share:
                state.terminated.message = state.terminated.message.encode()[:share].decode(errors="ignore")


def rejected(pod: core_pb2.Pod, last: core_pb2.PodStatus, why: Waiting, now: float) -> core_pb2.PodStatus:
    """The status of a pod that this node does not take: nothing of it is ever made."""
    return core_pb2.PodStatus(
        phase="Failed",
        reason=why.reason,
        message=f"{REJECTED}{why.message}",
        startTime=last.startTime if last.HasField("startTime") else to_time(now),
        qosClass=pod_qos(pod),
        conditions=[c for c in pod.status.conditions if c.type == "PodScheduled"],
    )


def ours(status: core_pb2.PodStatus) -> core_pb2.PodStatus:
    """The status without the conditions that others keep in it."""
    merged = deep_copy(status)
    del merged.conditions[:]
    merged.conditions.extend(c for c in status.conditions if c.type in OURS)
    return merged


def _ends(given: StatusInput) -> bool:
    """Whether no container of it will be started again, whatever its restart policy says."""
    return given.failed is not None or is_terminal(given.pod) or given.pod.metadata.HasField("deletionTimestamp")


def _outcome(given: StatusInput, statuses: Sequence[core_pb2.ContainerStatus]) -> tuple[str, str, str]:
    """Phase, reason and message, as if what has to be stopped were stopped. What was terminal stays as it was."""
    for status in (given.pod.status, given.last):
        if status.phase in TERMINAL_PHASES:
            return status.phase, status.reason, status.message
    if given.failed is not None:
        return "Failed", given.failed.reason, given.failed.message
    if _ends(given) and not given.view.running:
        return "Failed" if any(s.state.terminated.exitCode for s in statuses) else "Succeeded", "", ""
    return phase(given.pod, statuses), "", ""


def _addresses(status: core_pb2.PodStatus, given: StatusInput) -> None:
    sandbox = given.view.sandbox
    ips: Sequence[str] = ()
    if given.pod.spec.hostNetwork:
        ips = (given.host_ip,)
    elif sandbox is not None and sandbox.ready:
        ips = sandbox.ips
    ips = ips or [ip.ip for ip in given.last.podIPs]
    if ips:
        status.podIP = ips[0]
        status.podIPs.extend(core_pb2.PodIP(ip=ip) for ip in ips)


def _container(given: StatusInput, spec: core_pb2.Container) -> core_pb2.ContainerStatus:
    newest = given.view.newest(spec.name)
    waiting = given.waiting.get(spec.name)
    last = next((s for s in given.last.containerStatuses if s.name == spec.name), None)
    if newest is None:
        return _unseen(given, spec, last, waiting)
    status = core_pb2.ContainerStatus(
        name=spec.name,
        image=newest.image or spec.image,
        imageID=newest.image_ref,
        containerID=f"{given.runtime_name}://{newest.id}",
        restartCount=newest.attempt,
        ready=newest.state is State.RUNNING,
        started=newest.state is State.RUNNING,
    )
    earlier = dead_attempt(given.view, spec.name)
    if newest.state is State.RUNNING:
        status.state.running.startedAt.CopyFrom(to_time(newest.started_at))
    elif newest.state is State.EXITED and waiting is None:
        status.state.terminated.CopyFrom(terminated(newest, given.runtime_name))
    elif newest.state is State.EXITED and waiting is not None:
        status.state.waiting.CopyFrom(core_pb2.ContainerStateWaiting(reason=waiting.reason, message=waiting.message))
        earlier = newest
    else:
        held = waiting or Waiting("ContainerCreating")
        status.state.waiting.CopyFrom(core_pb2.ContainerStateWaiting(reason=held.reason, message=held.message))
    if earlier is not None:
        status.lastState.terminated.CopyFrom(terminated(earlier, given.runtime_name))
    elif last is not None and last.lastState.HasField("terminated"):
        status.lastState.CopyFrom(last.lastState)
    return status


def _unseen(
    given: StatusInput,
    spec: core_pb2.Container,
    last: core_pb2.ContainerStatus | None,
    waiting: Waiting | None,
) -> core_pb2.ContainerStatus:
    """Write the status of a container that the runtime does not have: not made yet, or lost."""
    status = core_pb2.ContainerStatus(name=spec.name, image=spec.image, started=False)
    held = waiting or Waiting("ContainerCreating")
    status.state.waiting.CopyFrom(core_pb2.ContainerStateWaiting(reason=held.reason, message=held.message))
    if last is None:
        return status
    ending = _ends(given)
    if ending and last.state.HasField("terminated"):
        status.CopyFrom(last)
        return status
    if last.state.HasField("running"):
        lost = core_pb2.ContainerStateTerminated(
            exitCode=137,
            reason=_UNKNOWN,
            message=_LOST,
            startedAt=last.state.running.startedAt,
            finishedAt=to_time(given.now),
            containerID=last.containerID,
        )
        if ending:
            status.CopyFrom(last)
            status.ready, status.started = False, False
            status.state.Clear()
            status.state.terminated.CopyFrom(lost)
            return status
        status.lastState.terminated.CopyFrom(lost)
    elif last.state.HasField("terminated"):
        status.lastState.CopyFrom(last.state)
    else:
        status.lastState.CopyFrom(last.lastState)
    status.restartCount = first_attempt(last)
    return status


def terminated(view: ContainerView, runtime_name: str) -> core_pb2.ContainerStateTerminated:
    """Tell how an attempt ended; the runtime's reason, or upstream's words for the exit code."""
    return core_pb2.ContainerStateTerminated(
        exitCode=view.exit_code,
        reason=view.reason or ("Completed" if view.exit_code == 0 else "Error"),
        message=view.message,
        startedAt=to_time(view.started_at),
        finishedAt=to_time(view.finished_at),
        containerID=f"{runtime_name}://{view.id}",
    )


def phase(pod: core_pb2.Pod, statuses: Sequence[core_pb2.ContainerStatus]) -> str:
    """Pending until every container has been started once, then Running, until none is and none will be again."""
    waiting = running = stopped = succeeded = 0
    for status in statuses:
        if status.state.HasField("running"):
            running += 1
        elif status.state.HasField("terminated"):
            stopped += 1
            succeeded += status.state.terminated.exitCode == 0
        elif status.lastState.HasField("terminated"):
            stopped += 1
        else:
            waiting += 1
    if waiting or not statuses:
        return "Pending"
    if running or pod.spec.restartPolicy not in ("Never", "OnFailure"):
        return "Running"
    if stopped == succeeded:
        return "Succeeded"
    return "Failed" if pod.spec.restartPolicy == "Never" else "Running"


def conditions(
    pod: core_pb2.Pod, status: core_pb2.PodStatus, last: core_pb2.PodStatus, ready_sandbox: bool, now: float
) -> list[core_pb2.PodCondition]:
    """Upstream's five in its order; those of others are not touched."""
    reason, message = _unready(status)
    # A finished pod's sandbox is stopped; its address is still the one it had, so the condition says what is now.
    sandbox = ready_sandbox and bool(status.podIP)
    current = [
        _condition("PodReadyToStartContainers", sandbox),
        _condition("Initialized", True, "PodCompleted" if status.phase == "Succeeded" else ""),
        _condition("Ready", not reason, reason, message),
        _condition("ContainersReady", not reason, reason, message),
        _condition("PodScheduled", True),
    ]
    keep_transition_times(current, (*pod.status.conditions, *last.conditions), now)
    return current


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> core_pb2.PodCondition:
    return core_pb2.PodCondition(type=kind, status="True" if holds else "False", reason=reason, message=message)


def _unready(status: core_pb2.PodStatus) -> tuple[str, str]:
    if status.phase == "Succeeded":
        return "PodCompleted", ""
    if status.phase == "Failed":
        return "PodFailed", ""
    unready = [s.name for s in status.containerStatuses if not s.ready]
    return ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]") if unready else ("", "")
