"""The phases of a pod's worker: a machine without I/O, after upstream's ``pod_workers.go``.

The worker tells the machine what it observes (the pod object, the runtime's containers, a computed status); the machine
keeps the phase and the reasons why the pod terminates. The plan of the next actions follows from both
(:mod:`kubelab.kubelet.pods.plan`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import TERMINAL_PHASES, is_terminal
from kubelab.kubelet.cri.views import PodView

HISTORY = 16
"""How many of a pod's last moves an error tells."""


class WorkerPhase(enum.Enum):
    """What a worker does for its pod; the names are upstream's (``SyncPod``, ``SyncTerminatingPod`` …)."""

    SYNC = "SyncPod"
    """It starts containers and keeps them running."""
    TERMINATING = "TerminatingPod"
    """It stops every container."""
    TERMINATED = "TerminatedPod"
    """No container runs; it takes away what is left."""


class Reason(enum.Enum):
    """Why a pod terminates. Several can hold, in any order."""

    DELETED = "deleted"
    """The object has a deletion timestamp."""
    GONE = "gone"
    """The api-server does not have the object any more."""
    ORPHANED = "orphaned"
    """The runtime has the pod, and the api-server's watch never showed it."""
    REJECTED = "rejected"
    """This node does not take the pod."""
    FAILED = "failed"
    """The pod ran longer than its deadline."""
    COMPLETED = "completed"
    """The pod's phase is Succeeded or Failed."""


REMOVING = frozenset({Reason.DELETED, Reason.GONE, Reason.ORPHANED})
"""With one of these nothing of the pod stays in the runtime; else its dead containers stay for their logs."""

MOVES = frozenset(
    {
        (WorkerPhase.SYNC, WorkerPhase.TERMINATING),
        (WorkerPhase.TERMINATING, WorkerPhase.TERMINATED),
    }
)
"""Every legal move. A pod that once terminates never syncs again."""


class IllegalMove(RuntimeError):
    """A defect of the kubelet: a move that :data:`MOVES` does not have. The text ends with the recent history."""


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of the history; ``at`` is in seconds since the epoch."""

    at: float
    phase: WorkerPhase
    why: str

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.phase.value} ({self.why})"


class PodLifecycle:
    """The phase of one pod's worker.

    ::

        ┌──────┐ deleted, gone, orphaned, rejected,  ┌─────────────┐ no container runs ┌────────────┐
        │ SYNC │ ──── over its deadline, completed ─▶│ TERMINATING │ ─────────────────▶│ TERMINATED │
        └──────┘                                     └─────────────┘                   └────────────┘
          start and restart containers                 stop containers                  stop sandboxes; if removing:
                                                                                        remove them, logs, the object

    The phases only go forward. A container that the runtime shows running after TERMINATED (a start whose outcome was
    unknown) is stopped there too.
    """

    __slots__ = ("_moves", "_name", "_phase", "_reasons")

    def __init__(self, name: str, now: float) -> None:
        """``name`` stands in errors."""
        self._name = name
        self._phase = WorkerPhase.SYNC
        self._reasons: frozenset[Reason] = frozenset()
        self._moves = (Move(now, WorkerPhase.SYNC, "new"),)

    @property
    def phase(self) -> WorkerPhase:
        return self._phase

    @property
    def reasons(self) -> frozenset[Reason]:
        return self._reasons

    @property
    def recent(self) -> tuple[Move, ...]:
        """The last moves, oldest first."""
        return self._moves

    @property
    def removing(self) -> bool:
        """Nothing of the pod is to stay in the runtime."""
        return not REMOVING.isdisjoint(self._reasons)

    @property
    def forgotten(self) -> bool:
        """The api-server has no object of this pod: there is no status to write."""
        return Reason.GONE in self._reasons or Reason.ORPHANED in self._reasons

    def terminate(self, reason: Reason, now: float) -> None:
        """Note a reason to terminate, and leave SYNC for it. IllegalMove: a node rejects a pod before all else."""
        if reason in self._reasons:
            return
        if reason is Reason.REJECTED and self._phase is not WorkerPhase.SYNC:
            raise self._illegal(WorkerPhase.TERMINATING, reason.value)
        self._reasons |= {reason}
        if self._phase is WorkerPhase.SYNC:
            self.move(WorkerPhase.TERMINATING, reason.value, now)
        else:
            self._note(Move(now, self._phase, reason.value))

    def observe(
        self,
        pod: core_pb2.Pod | None,
        view: PodView,
        now: float,
        *,
        computed_phase: str = "",
        deadline: float | None = None,
    ) -> None:
        """Take in the newest object, what the runtime has, the phase of the status computed last, and when the pod is
        over its deadline (seconds since the epoch)."""
        if pod is None:
            self.terminate(Reason.ORPHANED, now)
        else:
            if pod.metadata.HasField("deletionTimestamp"):
                self.terminate(Reason.DELETED, now)
            if is_terminal(pod) or computed_phase in TERMINAL_PHASES:
                self.terminate(Reason.COMPLETED, now)
            if self._phase is WorkerPhase.SYNC and deadline is not None and now >= deadline:
                self.terminate(Reason.FAILED, now)
        if self._phase is WorkerPhase.TERMINATING and not view.running:
            self.move(WorkerPhase.TERMINATED, "no container runs", now)

    def move(self, to: WorkerPhase, why: str, now: float) -> None:
        """Go to another phase. IllegalMove where :data:`MOVES` does not have it."""
        if (self._phase, to) not in MOVES:
            raise self._illegal(to, why)
        self._phase = to
        self._note(Move(now, to, why))

    def _note(self, move: Move) -> None:
        self._moves = (*self._moves, move)[-HISTORY:]

    def check_invariants(self) -> None:
        """Raise AssertionError where the fields contradict each other."""
        assert (self._phase is WorkerPhase.SYNC) == (not self._reasons), f"{self._phase} because of {self._reasons}"
        assert self._moves[-1].phase is self._phase, f"{self._phase} after {self._moves[-1]}"
        order = list(WorkerPhase)
        phases = [order.index(move.phase) for move in self._moves]
        assert phases == sorted(phases), f"a phase was left backwards: {self._moves}"

    def _illegal(self, to: WorkerPhase, why: str) -> IllegalMove:
        moves = "; ".join(map(str, self._moves))
        return IllegalMove(f"pod {self._name}: no move from {self._phase.value} to {to.value} ({why}); recent: {moves}")
