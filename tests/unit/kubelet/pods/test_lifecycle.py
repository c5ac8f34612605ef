"""The phases of a pod's worker: every move there is, every one there is not, and any order of observations."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.backoff import Backoff
from kubelab.kubelet.cri.views import ContainerView, PodView, SandboxView, State
from kubelab.kubelet.pods.lifecycle import HISTORY, MOVES, IllegalMove, PodLifecycle, Reason, WorkerPhase
from kubelab.kubelet.pods.plan import Action, CreateSandbox, Finish, PodHistory, RemoveSandbox, StartContainer, plan

NOW = 1000.0
EMPTY = PodView("u1")
SANDBOX = SandboxView("s0", ips=("10.244.1.2",))
RUNNING = PodView.of("u1", "web", "default", [SANDBOX], [ContainerView("c0", "app", sandbox_id="s0")])
EXITED = PodView.of("u1", "web", "default", [SANDBOX], [ContainerView("c0", "app", state=State.EXITED)])
SYNC, TERMINATING, TERMINATED = WorkerPhase


def lifecycle_in(phase: WorkerPhase) -> PodLifecycle:
    made = PodLifecycle("default/web", NOW)
    if phase is not SYNC:
        made.terminate(Reason.DELETED, NOW)
    if phase is TERMINATED:
        made.move(TERMINATED, "no container runs", NOW)
    assert made.phase is phase
    return made


def pod(*, deleted: bool = False, phase: str = "Running") -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name, made.metadata.namespace, made.metadata.uid = "web", "default", "u1"
    made.spec.restartPolicy, made.status.phase = "Always", phase
    made.spec.containers.add(name="app", image="app:v1")
    if deleted:
        made.metadata.deletionTimestamp.seconds = int(NOW) + 30
    return made


@pytest.mark.parametrize(("start", "to"), list(itertools.product(WorkerPhase, repeat=2)))
def test_only_the_moves_of_the_table_are_made(start: WorkerPhase, to: WorkerPhase) -> None:
    lifecycle = lifecycle_in(start)
    if (start, to) in MOVES:
        lifecycle.move(to, "test", NOW)
        assert lifecycle.phase is to
    else:
        with pytest.raises(IllegalMove, match=f"no move from {start.value} to {to.value}"):
            lifecycle.move(to, "test", NOW)
        assert lifecycle.phase is start


def test_an_illegal_move_tells_the_recent_history() -> None:
    lifecycle = lifecycle_in(TERMINATED)
    with pytest.raises(IllegalMove) as refused:
        lifecycle.move(SYNC, "again", 1001.0)
    assert str(refused.value) == (
        "pod default/web: no move from TerminatedPod to SyncPod (again); recent: 1000.000 SyncPod (new); "
        "1000.000 TerminatingPod (deleted); 1000.000 TerminatedPod (no container runs)"
    )


@dataclass(frozen=True)
class Case:
    name: str
    pod: core_pb2.Pod | None
    view: PodView
    phase: WorkerPhase
    reasons: frozenset[Reason] = frozenset()
    computed: str = ""
    deadline: float | None = None
    removing: bool = False


CASES = [
    Case("a pod that is wanted", pod(), RUNNING, SYNC),
    Case("one that nothing runs of yet", pod(), EMPTY, SYNC),
    Case("before its deadline", pod(), RUNNING, SYNC, deadline=NOW + 1),
    Case("deleted", pod(deleted=True), RUNNING, TERMINATING, frozenset({Reason.DELETED}), removing=True),
    Case("deleted, and stopped", pod(deleted=True), EXITED, TERMINATED, frozenset({Reason.DELETED}), removing=True),
    Case("deleted before it started", pod(deleted=True), EMPTY, TERMINATED, frozenset({Reason.DELETED}), removing=True),
    Case("known to the runtime alone", None, RUNNING, TERMINATING, frozenset({Reason.ORPHANED}), removing=True),
    Case("over its deadline", pod(), RUNNING, TERMINATING, frozenset({Reason.FAILED}), deadline=NOW),
    Case("completed", pod(), EXITED, TERMINATED, frozenset({Reason.COMPLETED}), computed="Succeeded"),
    Case("completed before this kubelet", pod(phase="Failed"), EMPTY, TERMINATED, frozenset({Reason.COMPLETED})),
    Case(
        "completed by somebody's word while it runs",
        pod(phase="Failed"),
        RUNNING,
        TERMINATING,
        frozenset({Reason.COMPLETED}),
    ),
    Case(
        "a deletion comes before a deadline",
        pod(deleted=True),
        RUNNING,
        TERMINATING,
        frozenset({Reason.DELETED}),
        deadline=NOW,
        removing=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_observed_decides_the_phase(case: Case) -> None:
    lifecycle = PodLifecycle("default/web", NOW)
    lifecycle.observe(case.pod, case.view, NOW, computed_phase=case.computed, deadline=case.deadline)
    assert (lifecycle.phase, lifecycle.reasons, lifecycle.removing) == (case.phase, case.reasons, case.removing)
    lifecycle.check_invariants()


def test_a_node_rejects_a_pod_before_it_terminates_for_another_reason() -> None:
    lifecycle = PodLifecycle("default/web", NOW)
    lifecycle.terminate(Reason.REJECTED, NOW)
    lifecycle.observe(pod(deleted=True), EMPTY, NOW)
    assert (lifecycle.phase, lifecycle.removing) == (TERMINATED, True)
    with pytest.raises(IllegalMove, match="rejected"):
        lifecycle_in(TERMINATING).terminate(Reason.REJECTED, NOW)


_LATER = [reason for reason in Reason if reason is not Reason.REJECTED]
OBSERVATIONS = st.one_of(
    st.tuples(st.sampled_from(_LATER)),
    st.tuples(
        st.sampled_from([pod(), pod(deleted=True), pod(phase="Succeeded"), None]),
        st.sampled_from([EMPTY, RUNNING, EXITED]),
        st.sampled_from(["", "Running", "Failed"]),
        st.sampled_from([None, NOW + 3, NOW + 1000]),
    ),
)


@given(st.booleans(), st.lists(OBSERVATIONS, max_size=2 * HISTORY))
def test_in_any_order_of_observations_no_pod_starts_again(rejected: bool, steps: list[tuple[object, ...]]) -> None:
    lifecycle, order = PodLifecycle("default/web", NOW), list(WorkerPhase)
    if rejected:
        lifecycle.terminate(Reason.REJECTED, NOW)
    for n, step in enumerate(steps):
        before, reasons, now = lifecycle.phase, lifecycle.reasons, NOW + n
        match step:
            case (Reason() as reason,):
                lifecycle.terminate(reason, now)
            case ((core_pb2.Pod() | None) as seen_pod, PodView() as view, str(computed), deadline):
                assert deadline is None or isinstance(deadline, float)
                lifecycle.observe(seen_pod, view, now, computed_phase=computed, deadline=deadline)
                check_plan(lifecycle, seen_pod, view, now)
            case _:
                raise AssertionError(step)
        lifecycle.check_invariants()
        assert order.index(lifecycle.phase) >= order.index(before)
        assert lifecycle.reasons >= reasons
        assert len(lifecycle.recent) <= HISTORY


def check_plan(lifecycle: PodLifecycle, seen_pod: core_pb2.Pod | None, view: PodView, now: float) -> None:
    """What the worker then does fits its phase: starts in SYNC alone, removals only when nothing runs."""
    actions: tuple[Action, ...] = plan(lifecycle, seen_pod, view, now, PodHistory(Backoff(10, 300))).actions
    starts = any(isinstance(action, CreateSandbox | StartContainer) for action in actions)
    removes = any(isinstance(action, Finish | RemoveSandbox) for action in actions)
    assert lifecycle.phase is SYNC or not starts
    if lifecycle.phase is TERMINATING:
        assert view.running
    if removes:
        assert (lifecycle.phase, lifecycle.removing, view.running) == (TERMINATED, True, ())
