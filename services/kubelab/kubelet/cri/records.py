"""The kubelet's half of the flow: every CRI call, with what it followed from, in a bounded memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from kubelab.rpc.apiserver.v1 import apiserver_pb2

CALLS_PER_POD = 200
PODS = 512


class CallRecords:
    """The last calls for each of the last pods. Reading never waits, writing never grows beyond the bounds."""

    def __init__(self, *, calls_per_pod: int = CALLS_PER_POD, pods: int = PODS) -> None:
        self._calls_per_pod, self._pods = calls_per_pod, pods
        self._rings: OrderedDict[str, deque[apiserver_pb2.AuditRecord]] = OrderedDict()

    def add(self, record: apiserver_pb2.AuditRecord) -> None:
        """Keep a record under its ``uid``; the pod that was quiet the longest makes room."""
        ring = self._rings.get(record.uid)
        if ring is None:
            ring = self._rings[record.uid] = deque(maxlen=self._calls_per_pod)
            while len(self._rings) > self._pods:
                self._rings.popitem(last=False)
        self._rings.move_to_end(record.uid)
        ring.append(record)

    def of(self, uid: str) -> Iterator[apiserver_pb2.AuditRecord]:
        """Give one pod's records by their start, oldest first."""
        return iter(sorted(self._rings.get(uid, ()), key=lambda r: r.started_unix_nano))

    def statistics(self) -> dict[str, int]:
        return {"pods": len(self._rings), "calls": sum(map(len, self._rings.values()))}
