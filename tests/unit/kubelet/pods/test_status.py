"""Statuses: phases, conditions, container states, in upstream's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.cri.views import ContainerView, PodView, SandboxView, State
from kubelab.kubelet.pods.plan import Waiting
from kubelab.kubelet.pods.status import StatusInput, compute, phase, rejected

SANDBOX = SandboxView("s0", ips=("10.244.1.2",))
APP = ContainerView("c0", "app", 0, State.RUNNING, "s0", started_at=95.0, image="app:v1", image_ref="sha256:1")

DIED, ENDED = replace(APP, state=State.EXITED, exit_code=143), replace(APP, state=State.EXITED, exit_code=0)
SIDE = replace(APP, id="c1", name="side")


def pod_of(*names: str, policy: str = "Always") -> core_pb2.Pod:
    pod = core_pb2.Pod()
    pod.metadata.name, pod.metadata.uid, pod.spec.restartPolicy = "web", "u1", policy
    for name in names:
        pod.spec.containers.add(name=name, image=f"{name}:v1")
    return pod


def status_of(
    pod: core_pb2.Pod,
    *parts: ContainerView | SandboxView,
    last: core_pb2.PodStatus | None = None,
    waiting: dict[str, Waiting] | None = None,
    failed: Waiting | None = None,
    now: float = 100.0,
) -> core_pb2.PodStatus:
    sandboxes = [p for p in parts if isinstance(p, SandboxView)]
    view = PodView.of("u1", "web", "default", sandboxes, [p for p in parts if isinstance(p, ContainerView)])
    given = StatusInput(pod, last or core_pb2.PodStatus(), view, now, "192.168.49.3", "fake", waiting or {}, failed)
    return compute(given)


def test_a_pod_that_is_only_just_seen() -> None:
    status = status_of(pod_of("app"))
    assert (status.phase, status.hostIP, status.podIP, status.startTime.seconds) == ("Pending", "192.168.49.3", "", 100)
    [app] = status.containerStatuses
    assert (app.state.waiting.reason, app.image, app.containerID) == ("ContainerCreating", "app:v1", "")
    assert {c.type: c.status for c in status.conditions}["PodReadyToStartContainers"] == "False"


def test_a_pod_that_runs() -> None:
    status = status_of(pod_of("app"), SANDBOX, APP)
    [app] = status.containerStatuses
    assert (status.phase, status.podIP, [i.ip for i in status.podIPs]) == ("Running", "10.244.1.2", ["10.244.1.2"])
    assert (app.containerID, app.imageID, app.state.running.startedAt.seconds) == ("fake://c0", "sha256:1", 95)


def test_half_a_pod_is_pending_and_not_ready() -> None:
    status = status_of(pod_of("app", "side"), SANDBOX, APP)
    ready = next(c for c in status.conditions if c.type == "Ready")
    assert (status.phase, ready.status, ready.message) == (
        "Pending",
        "False",
        "containers with unready status: [side]",
    )


def test_transition_times_stay_where_nothing_changed() -> None:
    first = status_of(pod_of("app"), SANDBOX, APP, now=100.0)
    second = status_of(pod_of("app"), SANDBOX, APP, last=first, now=200.0)
    third = status_of(pod_of("app"), SANDBOX, replace(APP, state=State.EXITED), last=second, now=300.0)
    assert first == second
    changed = {c.type: c.lastTransitionTime.seconds for c in third.conditions}
    assert (changed["Ready"], changed["PodScheduled"]) == (300, 100)


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [(0, "", "Completed"), (1, "", "Error"), (137, "OOMKilled", "OOMKilled")],
)
def test_how_a_container_ended(code: int, reason: str, told: str) -> None:
    dead = replace(APP, state=State.EXITED, exit_code=code, reason=reason, finished_at=99.0)
    [app] = status_of(pod_of("app", policy="Never"), SANDBOX, dead).containerStatuses
    assert (app.state.terminated.reason, app.state.terminated.exitCode, app.ready) == (told, code, False)


def test_a_back_off_shows_the_death_as_the_last_state() -> None:
    dead = replace(APP, state=State.EXITED, exit_code=1, attempt=3)
    held = Waiting("CrashLoopBackOff", "back-off 10s …")
    [app] = status_of(pod_of("app"), SANDBOX, dead, waiting={"app": held}).containerStatuses
    assert (app.state.waiting.reason, app.lastState.terminated.exitCode, app.restartCount) == ("CrashLoopBackOff", 1, 3)


def test_a_lost_container_counts_as_a_restart_once() -> None:
    before = status_of(pod_of("app"), SANDBOX, APP)
    lost = status_of(pod_of("app"), last=before)
    again = status_of(pod_of("app"), last=lost)
    [app] = lost.containerStatuses
    assert (app.restartCount, app.lastState.terminated.reason) == (1, "ContainerStatusUnknown")
    assert again.containerStatuses == lost.containerStatuses
    assert lost.podIP == "10.244.1.2", "the address stays until there is another"


def test_a_finished_pod_keeps_its_end() -> None:
    done = status_of(pod_of("app", policy="Never"), SANDBOX, replace(APP, state=State.EXITED))
    pod = pod_of("app", policy="Never")
    pod.status.CopyFrom(done)
    later = status_of(pod, last=done)
    assert (done.phase, later.phase) == ("Succeeded", "Succeeded")
    assert later.containerStatuses == done.containerStatuses


def test_a_failed_pod_says_so_when_nothing_runs_any_more() -> None:
    why = Waiting("DeadlineExceeded", "too long")
    still = status_of(pod_of("app"), SANDBOX, APP, failed=why)
    assert (still.phase, still.reason, still.message) == ("Running", "", "")
    status = status_of(pod_of("app"), SANDBOX, DIED, last=still, failed=why)
    assert (status.phase, status.reason, status.message) == ("Failed", "DeadlineExceeded", "too long")
    for told in (still, status):
        assert next(c for c in told.conditions if c.type == "Ready").reason == "PodFailed"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((SANDBOX, APP, SIDE), "Running"),
        ((SANDBOX, ENDED, SIDE), "Running"),
        ((SANDBOX, ENDED, replace(SIDE, state=State.EXITED)), "Succeeded"),
        ((SANDBOX, DIED, replace(SIDE, state=State.EXITED)), "Failed"),
        ((SANDBOX, ENDED, replace(SIDE, state=State.CREATED)), "Failed"),
        ((SANDBOX, ENDED), "Failed"),
        ((), "Failed"),
    ],
)
def test_a_deleted_pod_ends_in_a_terminal_phase(parts: tuple[ContainerView, ...], expected: str) -> None:
    pod = pod_of("app", "side")
    pod.metadata.deletionTimestamp.seconds = 100
    status = status_of(pod, *parts)
    assert status.phase == expected
    if expected != "Running":
        assert all(s.state.HasField("terminated") and not s.ready for s in status.containerStatuses)
    assert status_of(pod, last=status).phase in (expected, "Failed"), "it stays so when all is removed"


def test_what_was_never_started_is_told_as_lost() -> None:
    pod = pod_of("app")
    pod.metadata.deletionTimestamp.seconds = 100
    first = status_of(pod, waiting={"app": Waiting("ImagePullBackOff")})
    [app] = first.containerStatuses
    assert (app.state.terminated.reason, app.state.terminated.exitCode) == ("ContainerStatusUnknown", 137)
    assert status_of(pod, last=first, now=200.0) == first


def test_a_terminal_phase_of_the_api_server_is_not_taken_back() -> None:
    pod = pod_of("app")
    pod.status.phase, pod.status.reason = "Failed", "NodeLost"
    assert status_of(pod, SANDBOX, APP).phase == "Failed"
    assert status_of(pod, SANDBOX, APP).reason == "NodeLost"


def test_a_rejected_pod_says_why_and_stays_so() -> None:
    pod = pod_of("app")
    pod.status.conditions.add(type="PodScheduled", status="True")
    first = rejected(pod, core_pb2.PodStatus(), Waiting("OutOfcpu", "too little"), 100.0)
    assert (first.phase, first.reason, first.message) == ("Failed", "OutOfcpu", "Pod was rejected: too little")
    assert not first.containerStatuses
    pod.status.CopyFrom(first)
    assert status_of(pod, last=first, now=200.0) == first, "also after the kubelet's restart"


def test_the_host_s_network_has_the_host_s_address() -> None:
    pod = pod_of("app")
    pod.spec.hostNetwork = True
    assert status_of(pod, replace(SANDBOX, ips=()), APP).podIP == "192.168.49.3"


def _state(kind: str, code: int = 0, before: bool = False) -> core_pb2.ContainerStatus:
    status = core_pb2.ContainerStatus()
    if kind == "running":
        status.state.running.SetInParent()
    elif kind == "terminated":
        status.state.terminated.exitCode = code
        status.state.terminated.SetInParent()
    else:
        status.state.waiting.reason = "x"
    if before:
        status.lastState.terminated.SetInParent()
    return status


@pytest.mark.parametrize(
    ("policy", "states", "expected"),
    [
        ("Always", [_state("waiting")], "Pending"),
        ("Always", [_state("running"), _state("waiting")], "Pending"),
        ("Always", [_state("running"), _state("waiting", before=True)], "Running"),
        ("Always", [_state("terminated")], "Running"),
        ("Always", [_state("waiting", before=True)], "Running"),
        ("OnFailure", [_state("terminated")], "Succeeded"),
        ("OnFailure", [_state("terminated", 1)], "Running"),
        ("Never", [_state("terminated", 1), _state("terminated")], "Failed"),
        ("Never", [_state("terminated", 1), _state("running")], "Running"),
        ("Never", [_state("terminated"), _state("terminated")], "Succeeded"),
    ],
)
def test_phase(policy: str, states: list[core_pb2.ContainerStatus], expected: str) -> None:
    assert phase(pod_of("app", policy=policy), states) == expected
