"""The decision, case by case: what is wanted, what the runtime has, what follows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.backoff import Backoff
from kubelab.kubelet.cri.views import ContainerView, PodView, SandboxView, State, container_hash
from kubelab.kubelet.pods.lifecycle import PodLifecycle, Reason, WorkerPhase
from kubelab.kubelet.pods.plan import (
    SANDBOX,
    Action,
    CreateSandbox,
    Failure,
    Finish,
    Plan,
    PodHistory,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
    Waiting,
    deadline,
    first_attempt,
    plan,
)

NOW = 1000.0
READY = SandboxView("s0", 0, True, 900.0, ("10.244.1.2",))
DEAD = replace(READY, ready=False)
OLD = SandboxView("s-1", 0, False, 800.0)
NEW = replace(READY, id="s1", attempt=1)


def wanted(
    *,
    policy: str = "Always",
    containers: tuple[str, ...] = ("app",),
    deleted: int | None = None,
    phase: str = "Running",
    host_network: bool = False,
    deadline: int | None = None,
) -> core_pb2.Pod:
    pod = core_pb2.Pod()
    pod.metadata.name, pod.metadata.namespace, pod.metadata.uid = "web", "default", "u1"
    pod.spec.restartPolicy, pod.spec.hostNetwork = policy, host_network
    pod.spec.terminationGracePeriodSeconds = 30
    pod.status.phase = phase
    for name in containers:
        pod.spec.containers.add(name=name, image="app:v1")
    if deleted is not None:
        pod.metadata.deletionTimestamp.seconds = int(NOW) + deleted
        pod.metadata.deletionGracePeriodSeconds = 30
    if deadline is not None:
        pod.spec.activeDeadlineSeconds = deadline
    return pod


def running(name: str = "app", attempt: int = 0, sandbox: str = "s0") -> ContainerView:
    digest = container_hash(core_pb2.Container(name=name, image="app:v1"))
    return ContainerView(f"{name}-{attempt}", name, attempt, State.RUNNING, sandbox, hash=digest)


def ended(name: str = "app", attempt: int = 0, code: int = 1, at: float = 990.0, sandbox: str = "s0") -> ContainerView:
    return replace(running(name, attempt, sandbox), state=State.EXITED, exit_code=code, finished_at=at)


def seen(*parts: SandboxView | ContainerView) -> PodView:
    sandboxes = [p for p in parts if isinstance(p, SandboxView)]
    return PodView.of("u1", "web", "default", sandboxes, [p for p in parts if isinstance(p, ContainerView)])


def crashing(name: str = "app", times: int = 1) -> Backoff[str]:
    backoff: Backoff[str] = Backoff(10, 300)
    for _ in range(times):
        backoff.next(name, 980.0, 985.0)
    return backoff


@dataclass(frozen=True)
class Case:
    name: str
    pod: core_pb2.Pod
    view: PodView
    actions: tuple[Action, ...] = ()
    waiting: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    wake_at: float | None = None
    history: PodHistory = field(default_factory=lambda: PodHistory(Backoff(10, 300)))
    gone: bool = False
    failed: bool = False


HELD = Waiting("CrashLoopBackOff", "back-off 10s restarting failed container=app pod=web_default(u1)")
STOP = StopContainer("app-0", "app", 30.0, "Stopping container app")
REFUSED = Waiting("ErrImagePull", "no")
CASES = [
    Case("a new pod gets all it needs", wanted(), seen(), (CreateSandbox(0), StartContainer("app", 0))),
    Case("at rest", wanted(), seen(READY, running())),
    Case(
        "only what lacks is started",
        wanted(containers=("app", "side")),
        seen(READY, running()),
        (StartContainer("side", 0),),
    ),
    Case("the first death costs nothing", wanted(), seen(READY, ended()), (StartContainer("app", 1, "app-0"),)),
    Case(
        "the second waits its back-off",
        wanted(),
        seen(READY, ended(at=992.0)),
        waiting={"app": HELD},
        wake_at=1002.0,
        history=PodHistory(crashing()),
    ),
    Case(
        "and then starts",
        wanted(),
        seen(READY, ended(at=989.0)),
        (StartContainer("app", 1, "app-0"),),
        history=PodHistory(crashing()),
    ),
    Case(
        "what is tried again keeps its reason until it is known how that ends",
        wanted(),
        seen(READY),
        (StartContainer("app", 0),),
        waiting={"app": REFUSED},
        history=PodHistory(Backoff(10, 300), {"app": Failure(NOW, REFUSED)}),
    ),
    Case("OnFailure lets a success be", wanted(policy="OnFailure"), seen(READY, ended(code=0)), (StopSandbox("s0"),)),
    Case(
        "OnFailure starts a failure again",
        wanted(policy="OnFailure"),
        seen(READY, ended(code=2)),
        (StartContainer("app", 1, "app-0"),),
    ),
    Case("Never means never", wanted(policy="Never"), seen(READY, ended()), (StopSandbox("s0"),)),
    Case("a finished pod is not taken up again", wanted(phase="Succeeded"), seen(DEAD, ended(code=0))),
    Case("a finished pod's rest is ended", wanted(phase="Failed"), seen(READY, running()), (STOP,)),
    Case(
        "a dead sandbox is made anew",
        wanted(),
        seen(DEAD, ended()),
        (CreateSandbox(1, changed=True), StartContainer("app", 1, "app-0")),
    ),
    Case("what runs in a dead sandbox is ended first", wanted(), seen(DEAD, running()), (STOP,)),
    Case("a dead sandbox of a Never pod stays dead", wanted(policy="Never"), seen(DEAD, ended())),
    Case(
        "a sandbox without an address is of no use",
        wanted(),
        seen(replace(READY, ips=())),
        (StopSandbox("s0"), CreateSandbox(1, changed=True), StartContainer("app", 0)),
    ),
    Case("unless it is on the host's network", wanted(host_network=True), seen(replace(READY, ips=()), running())),
    Case(
        "a failed sandbox is not made again at once",
        wanted(),
        seen(),
        wake_at=1005.0,
        history=PodHistory(Backoff(10, 300), {SANDBOX: Failure(1005.0, REFUSED)}),
    ),
    Case(
        "a failed start waits, and says why",
        wanted(),
        seen(READY),
        waiting={"app": REFUSED},
        wake_at=1005.0,
        history=PodHistory(Backoff(10, 300), {"app": Failure(1005.0, REFUSED)}),
    ),
    Case(
        "a container that was made and never started is made once more, under its number",
        wanted(),
        seen(READY, replace(running(attempt=2), state=State.CREATED)),
        (RemoveContainer("app-2"), StartContainer("app", 2)),
    ),
    Case(
        "where the runtime forgot all, counting goes on",
        wanted(),
        seen(),
        (CreateSandbox(0), StartContainer("app", 4)),
        history=PodHistory(Backoff(10, 300), first_attempts={"app": 4}),
    ),
    Case(
        "another image is a restart",
        wanted(),
        seen(READY, replace(running(), hash="other")),
        (StopContainer("app-0", "app", 30.0, "Container app definition changed, will be restarted"),),
    ),
    Case(
        "old attempts and old sandboxes are forgotten",
        wanted(),
        seen(
            NEW, OLD, ended(attempt=0, sandbox="s-1"), ended(attempt=1, sandbox="s1"), running(attempt=2, sandbox="s1")
        ),
        (RemoveContainer("app-0"), RemoveSandbox("s-1")),
    ),
    Case(
        "a deleted pod ends within what is left of its grace",
        wanted(deleted=12),
        seen(READY, running()),
        (replace(STOP, grace=12.0),),
    ),
    Case(
        "a deleted pod without processes is cleared away",
        wanted(deleted=12),
        seen(READY, ended()),
        (StopSandbox("s0"), RemoveSandbox("s0")),
    ),
    Case("and then forgotten", wanted(deleted=12), seen(), (Finish(),)),
    Case("a late one is killed", wanted(deleted=-5), seen(READY, running()), (replace(STOP, grace=1.0),)),
    Case(
        "one taken from the api-server hurries",
        wanted(),
        seen(READY, running()),
        (replace(STOP, grace=1.0),),
        gone=True,
    ),
    Case(
        "a deadline is waited for",
        wanted(deadline=60),
        seen(READY, running()),
        wake_at=1030.0,
        history=PodHistory(Backoff(10, 300), started_at=970.0),
    ),
    Case(
        "and ends the pod",
        wanted(deadline=60),
        seen(READY, running()),
        (STOP,),
        history=PodHistory(Backoff(10, 300), started_at=940.0),
        failed=True,
    ),
]


def decide(
    lifecycle: PodLifecycle,
    pod: core_pb2.Pod | None,
    view: PodView,
    *,
    history: PodHistory | None = None,
    gone: bool = False,
    computed_phase: str = "",
) -> Plan:
    """One round of a worker at ``NOW``: the machine observes, the plan follows."""
    history = history or PodHistory(Backoff(10, 300))
    if gone:
        lifecycle.terminate(Reason.GONE, NOW)
    lifecycle.observe(pod, view, NOW, computed_phase=computed_phase, deadline=deadline(pod, history))
    lifecycle.check_invariants()
    return plan(lifecycle, pod, view, NOW, history)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case) -> None:
    lifecycle = PodLifecycle("default/web", NOW)
    decided = decide(lifecycle, case.pod, case.view, history=case.history, gone=case.gone)
    assert decided.actions == case.actions
    assert decided.waiting == case.waiting
    assert decided.wake_at == case.wake_at
    assert (Reason.FAILED in lifecycle.reasons) == case.failed


def test_an_orphan_is_ended_as_gently_as_it_asked_for() -> None:
    lifecycle = PodLifecycle("default/web", NOW)
    view = seen(READY, replace(running(), grace_seconds=7))
    assert decide(lifecycle, None, view).actions == (StopContainer("app-0", "app", 7.0),)
    assert decide(lifecycle, None, seen(READY, ended())).actions == (StopSandbox("s0"), RemoveSandbox("s0"))
    assert decide(lifecycle, None, seen()).actions == (Finish(),)


def test_a_container_that_turns_up_late_is_stopped() -> None:
    lifecycle = PodLifecycle("default/web", NOW)
    pod = wanted(deleted=12)
    assert decide(lifecycle, pod, seen(READY)).actions == (StopSandbox("s0"), RemoveSandbox("s0"))
    assert decide(lifecycle, pod, seen(READY, running())).actions == (replace(STOP, grace=12.0),)
    assert lifecycle.phase is WorkerPhase.TERMINATED


def test_a_pod_that_ended_is_not_taken_up_again_whatever_its_object_says() -> None:
    lifecycle = PodLifecycle("default/web", NOW)
    decide(lifecycle, wanted(policy="Never"), seen(READY, ended()), computed_phase="Failed")
    assert decide(lifecycle, wanted(), seen(READY)).actions == (StopSandbox("s0"),)


def test_a_failure_changes_its_name_on_the_way() -> None:
    failure = Failure(1010.0, REFUSED, then_at=1002.0, then=Waiting("ImagePullBackOff"))
    history = PodHistory(Backoff(10, 300), {"app": failure})
    lifecycle = PodLifecycle("default/web", NOW)
    early = plan(lifecycle, wanted(), seen(READY), NOW, history)
    late = plan(lifecycle, wanted(), seen(READY), 1003.0, history)
    assert (early.waiting["app"].reason, early.wake_at) == ("ErrImagePull", 1002.0)
    assert (late.waiting["app"].reason, late.wake_at) == ("ImagePullBackOff", 1010.0)


def test_counting_goes_on_from_what_was_told() -> None:
    old = core_pb2.ContainerStatus(restartCount=2)
    assert first_attempt(old) == 2
    old.state.running.startedAt.seconds = 5
    assert first_attempt(old) == 3


def test_backoff_doubles_is_bounded_and_forgets() -> None:
    backoff: Backoff[str] = Backoff(10, 300)
    assert backoff.remaining("a", 0.0, 0.0) == 0.0
    delays = [backoff.next("a", float(n), float(n)) for n in range(7)]
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.remaining("a", 100.0, 150.0) == 250.0
    assert backoff.remaining("a", 700.0, 700.0) == 0.0, "ten good minutes"
    assert backoff.next("a", 700.0, 700.0) == 10
