"""Which pods the pod garbage collector removes."""

from __future__ import annotations

from kubelab.controllermanager.podgc.decide import surplus
from tests.support import objects as make


def test_the_oldest_ended_pods_are_surplus() -> None:
    ended = [make.pod(f"p{n}", created=10 - n) for n in range(5)]
    assert [p.metadata.name for p in surplus(ended, 3)] == ["p4", "p3"]
    assert surplus(ended, 0) == []
