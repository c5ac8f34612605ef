"""Pods that failed and are made again in the same place, each time later: what refused one refuses the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.core.pods import FAILED

BACKOFF = ExponentialBackoff(1.0, 900.0)


class Replacing(Protocol):
    """A plan: pods to delete, and of those the ones that ended by themselves."""

    delete: list[core_pb2.Pod]
    ended: list[core_pb2.Pod]


class FailedPods:
    """What failed of each key, by place: a node, or a name."""

    def __init__(self, place: Callable[[core_pb2.Pod], str]) -> None:
        self._place = place
        self._seen: dict[str, tuple[int, dict[str, tuple[int, float]]]] = {}  # how often, and until when to wait

    def forget(self, key: str) -> None:
        """Remember nothing of a key that is gone."""
        self._seen.pop(key, None)

    def hold_back(self, key: str, generation: int, todo: Replacing, now: float) -> float | None:
        """Take those pods out of a plan that are left for a while. Gives in how many seconds to look again. A new
        generation of the owner may do better, and waits for nothing."""
        before, seen = self._seen.get(key, (generation, {}))
        if before != generation:
            seen = {}
        self._seen[key] = generation, seen
        soonest: float | None = None
        for pod in [pod for pod in todo.ended if pod.status.phase == FAILED]:
            place = self._place(pod)
            times, until = seen.get(place, (0, 0.0))
            if now < until:
                todo.delete.remove(pod)
                todo.ended.remove(pod)
                soonest = until - now if soonest is None else min(soonest, until - now)
                continue
            times = times + 1 if now < until + BACKOFF.cap else 1
            seen[place] = (times, now + BACKOFF.longest(times))
        return soonest
