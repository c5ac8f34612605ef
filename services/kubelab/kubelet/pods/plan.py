"""What to do next for one pod: a pure function of the worker's phase, the pod, what the runtime has, and the time.

::

    SYNC         no sandbox, or a dead one ──▶ CreateSandbox ──▶ StartContainer … ──▶ nothing to do
                                                                   ▲         │ dies
                                                                   └─ back-off┘
    TERMINATING  StopContainer …
    TERMINATED   StopSandbox ─┬─▶ its dead containers stay for their logs
                              └─▶ removing: RemoveSandbox ──▶ Finish

Actions are safe to repeat: the next plan is made from what the runtime then has, never from what was meant to happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.durations import format_seconds
from kubelab.kubelet.backoff import Backoff
from kubelab.kubelet.cri.views import ContainerView, PodView, State, container_hash, pod_text
from kubelab.kubelet.pods.lifecycle import PodLifecycle, Reason, WorkerPhase

MIN_GRACE_SECONDS = 1
MAX_RESTARTS = 2**31 - 1  # what a status can hold


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int
    changed: bool = False
    """An earlier one died, which is an event."""


@dataclass(frozen=True, slots=True)
class StopSandbox:
    id: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    id: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    name: str
    attempt: int
    restart_of: str = ""
    """The attempt that ended, when this start counts for the back-off."""


@dataclass(frozen=True, slots=True)
class StopContainer:
    id: str
    name: str
    grace: float
    """Seconds from now until it is killed."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    id: str
    log_path: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing of the pod is left in the runtime: remove its logs, and let the api-server forget it."""


Action = CreateSandbox | StopSandbox | RemoveSandbox | StartContainer | StopContainer | RemoveContainer | Finish


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run yet; the reason and message of its status."""

    reason: str
    message: str = ""


DEADLINE_EXCEEDED = Waiting("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


@dataclass(frozen=True, slots=True)
class Failure:
    """The last attempt to start a container, or the sandbox, failed; try again at ``retry_at``. What is told about
    it may change on the way, at ``then_at``: ErrImagePull becomes ImagePullBackOff."""

    retry_at: float
    waiting: Waiting
    then_at: float = 0.0
    then: Waiting | None = None
    pull_at: float = 0.0
    """Not to pull the image before then; an attempt that comes earlier only looks whether it is there by now."""

    def told(self, now: float) -> Waiting:
        return self.then if self.then is not None and now >= self.then_at else self.waiting


@dataclass(frozen=True, slots=True)
class Plan:
    actions: tuple[Action, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict[str, Waiting])
    """By container, what holds it up although it should run."""
    wake_at: float | None = None
    """When to look again although nothing happened; seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class PodHistory:
    """What a worker knows beside the runtime. ``SANDBOX`` keys a failure of the sandbox."""

    crashes: Backoff[str]
    failures: Mapping[str, Failure] = field(default_factory=dict[str, Failure])
    started_at: float | None = None
    """When this kubelet took the pod on; the deadline counts from it."""
    first_attempts: Mapping[str, int] = field(default_factory=dict[str, int])
    """By container, the attempt to begin with where the runtime has forgotten all earlier ones."""


SANDBOX = ""


def plan(lifecycle: PodLifecycle, pod: core_pb2.Pod | None, view: PodView, now: float, history: PodHistory) -> Plan:
    """Decide. ``pod`` is None for one that only the runtime has: such a one terminates."""
    if pod is not None and lifecycle.phase is WorkerPhase.SYNC:
        return _sync_pod(pod, view, now, history)
    stops = _stops(view, _grace_left(lifecycle, pod, now))
    if stops or lifecycle.phase is WorkerPhase.TERMINATING:
        return Plan(stops)
    return Plan(_clear(view) if lifecycle.removing else _stop_sandboxes(view))


def deadline(pod: core_pb2.Pod | None, history: PodHistory) -> float | None:
    """Give the time at which the pod fails because it ran for ``activeDeadlineSeconds``."""
    if pod is None or not pod.spec.HasField("activeDeadlineSeconds") or history.started_at is None:
        return None
    return history.started_at + pod.spec.activeDeadlineSeconds


def _sync_pod(pod: core_pb2.Pod, view: PodView, now: float, history: PodHistory) -> Plan:
    running = _run(pod, view, now, history)
    wakes = [at for at in (running.wake_at, deadline(pod, history)) if at is not None]
    return Plan(running.actions, running.waiting, min(wakes, default=None))


def _grace_left(lifecycle: PodLifecycle, pod: core_pb2.Pod | None, now: float) -> float | None:
    """Seconds that the containers of a pod that terminates have left; None: each what it was started with."""
    if pod is None:
        return None
    meta, grace = pod.metadata, float(_grace(pod))
    if Reason.GONE in lifecycle.reasons:  # without being asked to finish, or any longer: a forced deletion
        return float(MIN_GRACE_SECONDS)
    if Reason.DELETED in lifecycle.reasons:
        grace = min(meta.deletionTimestamp.seconds - now, float(meta.deletionGracePeriodSeconds))
        return max(grace, float(MIN_GRACE_SECONDS))
    return grace


def _clear(view: PodView) -> tuple[Action, ...]:
    if view.empty:
        return (Finish(),)
    stops = [StopSandbox(s.id) for s in view.sandboxes if s.ready]
    loose = [RemoveContainer(c.id) for c in view.containers if c.sandbox_id not in {s.id for s in view.sandboxes}]
    return (*stops, *loose, *(RemoveSandbox(s.id) for s in view.sandboxes))


def _shut(view: PodView, grace: float) -> tuple[Action, ...]:
    """End what runs, but keep what is dead: its logs and its exit code are still asked for."""
    return _stops(view, grace) or _stop_sandboxes(view)


def _stop_sandboxes(view: PodView) -> tuple[StopSandbox, ...]:
    return tuple(StopSandbox(s.id) for s in view.sandboxes if s.ready)


def _stops(view: PodView, grace: float | None) -> tuple[StopContainer, ...]:
    """Stop what runs within ``grace`` seconds, or as gently as each container asked for when it was made."""
    if grace is None:
        return tuple(StopContainer(c.id, c.name, float(max(c.grace_seconds, MIN_GRACE_SECONDS))) for c in view.running)
    return tuple(StopContainer(c.id, c.name, grace, f"Stopping container {c.name}") for c in view.running)


def _run(pod: core_pb2.Pod, view: PodView, now: float, history: PodHistory) -> Plan:
    startable = [c for c in pod.spec.containers if should_start(pod, c, view)]
    sandbox = view.sandbox
    usable = sandbox is not None and sandbox.ready and (bool(sandbox.ips) or pod.spec.hostNetwork)
    if not usable:
        ended = pod.spec.restartPolicy == "Never" and sandbox is not None and bool(view.containers)
        if not startable or ended:
            return Plan(_shut(view, float(_grace(pod))))
        if view.running:  # their namespaces' keeper is dead: they cannot stay
            return Plan(_stops(view, float(_grace(pod))))
        held = history.failures.get(SANDBOX)
        if held is not None and held.retry_at > now:
            return Plan(wake_at=held.retry_at)
        stale: list[Action] = [StopSandbox(s.id) for s in view.sandboxes if s.ready]
        attempt = sandbox.attempt + 1 if sandbox else 0
        start = Plan((*stale, CreateSandbox(attempt, changed=sandbox is not None)))
        return _with_starts(start, startable, pod, view, now, history)
    replaced = _replaced(pod, view)
    if not startable and not view.running:
        return Plan(_shut(view, 0.0))
    tidy = _tidy(view)
    return _with_starts(Plan((*replaced, *tidy)), startable, pod, view, now, history)


def should_start(pod: core_pb2.Pod, container: core_pb2.Container, view: PodView) -> bool:
    """Say whether the restart policy asks for a (new) attempt."""
    newest = view.newest(container.name)
    if newest is None or newest.state is State.CREATED:
        return True
    if newest.state is not State.EXITED:
        return False
    if pod.spec.restartPolicy == "Never":
        return False
    return pod.spec.restartPolicy != "OnFailure" or newest.exit_code != 0


def _with_starts(
    base: Plan, containers: list[core_pb2.Container], pod: core_pb2.Pod, view: PodView, now: float, history: PodHistory
) -> Plan:
    actions, waiting, wakes = list(base.actions), dict[str, Waiting](), list[float]()
    for container in containers:
        name, newest = container.name, view.newest(container.name)
        failure = history.failures.get(name)
        if failure is not None:
            waiting[name] = failure.told(now)  # also while it is tried again: until something else is known
            if failure.retry_at > now:
                wakes.append(failure.then_at if now < failure.then_at else failure.retry_at)
                continue
        if newest is None:
            actions.append(StartContainer(name, history.first_attempts.get(name, 0)))
            continue
        if newest.state is State.CREATED:  # made and never started: the same attempt once more
            actions += [RemoveContainer(newest.id), StartContainer(name, newest.attempt)]
            continue
        remaining = history.crashes.remaining(name, newest.finished_at, now)
        if remaining > 0:
            back_off = format_seconds(history.crashes.delay(name))
            text = f"back-off {back_off} restarting failed container={name} pod={pod_text(pod)}"
            waiting[name] = Waiting("CrashLoopBackOff", text)
            wakes.append(now + remaining)
            continue
        actions.append(StartContainer(name, newest.attempt + 1, restart_of=newest.id))
    return Plan(tuple(actions), waiting, min(wakes, default=None))


def _replaced(pod: core_pb2.Pod, view: PodView) -> list[Action]:
    """Stop what runs with an image that is no longer asked for, and what the pod no longer has."""
    hashes = {c.name: container_hash(c) for c in pod.spec.containers}
    stops: list[Action] = []
    for c in view.running:
        if c.hash and hashes.get(c.name) != c.hash:
            text = f"Container {c.name} definition changed, will be restarted"
            stops.append(StopContainer(c.id, c.name, float(_grace(pod)), text))
    return stops


def _tidy(view: PodView) -> list[Action]:
    """Forget dead attempts except the newest and the one before it, and dead sandboxes that hold none of the kept."""
    kept: set[str] = set()
    sandboxes = {view.sandboxes[0].id}
    for name in dict.fromkeys(c.name for c in view.containers):
        for c in (*view.attempts(name)[:2], *(c for c in view.running if c.name == name)):
            kept.add(c.id)
            sandboxes.add(c.sandbox_id)
    dead: list[Action] = [RemoveContainer(c.id, c.log_path) for c in view.containers if c.id not in kept]
    for s in view.sandboxes:
        if s.id not in sandboxes:
            dead += [StopSandbox(s.id)] if s.ready else []
            dead.append(RemoveSandbox(s.id))
    return dead


def _grace(pod: core_pb2.Pod) -> int:
    return pod.spec.terminationGracePeriodSeconds if pod.spec.HasField("terminationGracePeriodSeconds") else 30


def first_attempt(old: core_pb2.ContainerStatus) -> int:
    """Give the restart count to go on with, from what the api-server last heard, where the runtime forgot all."""
    ran = old.state.HasField("running") or (old.state.HasField("terminated") and bool(old.containerID))
    return max(0, min(old.restartCount + 1 if ran else old.restartCount, MAX_RESTARTS))


def dead_attempt(view: PodView, name: str) -> ContainerView | None:
    """Give the newest attempt that ended before the present one."""
    return next((c for c in view.attempts(name)[1:] if c.state is State.EXITED), None)
