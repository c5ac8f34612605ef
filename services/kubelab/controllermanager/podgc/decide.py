"""Which ended pods are too many: a pure function of them."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.meta import key_of


def surplus(ended: Sequence[core_pb2.Pod], threshold: int) -> list[core_pb2.Pod]:
    """Choose the oldest of the ended pods, as many as there are too many; 0 keeps all."""
    too_many = len(ended) - threshold
    if threshold <= 0 or too_many <= 0:
        return []
    return sorted(ended, key=lambda pod: (pod.metadata.creationTimestamp.seconds, key_of(pod)))[:too_many]
