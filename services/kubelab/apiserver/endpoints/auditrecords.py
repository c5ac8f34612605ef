"""The audit records of one object, with what its kubelet asked of the runtime for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver.audit.log import AuditLog
from kubelab.apiserver.endpoints.handler import RequestHandler
from kubelab.apiserver.kubelets import Kubelets
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.request import Request
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.kubelet.v1 import kubelet_pb2

log = structlog.get_logger()
KUBELET_SECONDS = 5.0


class AuditRecords:
    """The audit subresource, which every kind has."""

    def __init__(self, handler: RequestHandler, audit: AuditLog, reader: ObjectReader, kubelets: Kubelets) -> None:
        self._handler, self._audit, self._reader, self._kubelets = handler, audit, reader, kubelets

    async def find(self, request: Request, question: pb.AuditRecordsRequest) -> Sequence[pb.AuditRecord]:
        """The records about an object, oldest first."""
        async with self._handler.handling(request):
            records = _of_one_object(await self._audit.find(partial(_about, question), question.name), question.uid)
            if request.resource is scheme.PODS:
                records = sorted([*records, *await self._of_kubelet(records)], key=lambda r: r.started_unix_nano)
            return records

    async def _of_kubelet(self, records: Sequence[pb.AuditRecord]) -> list[pb.AuditRecord]:
        """The CRI calls for a pod. A kubelet that does not answer leaves a hole, and the log says so."""
        bound = next((r for r in records if r.subresource == "binding" and r.code == "OK"), None)
        uid = next((r.uid for r in reversed(records) if r.uid), "")
        if bound is None or not uid:
            return []
        try:
            node = core_pb2.Node.FromString((await self._reader.entry(scheme.NODES, "", bound.detail)).raw)
            question = kubelet_pb2.CallRecordsRequest(pod_uid=uid).SerializeToString()
            answers = self._kubelets.stream(node, "CallRecords", question, KUBELET_SECONDS)
            return [_of_node(pb.AuditRecord.FromString(answer), bound.detail) async for answer in answers]
        except errors.ApiError as err:
            log.warning("no records from the kubelet", node=bound.detail, reason=err.reason, message=err.message)
            return []


def _of_node(record: pb.AuditRecord, node: str) -> pb.AuditRecord:
    """Name the kubelet in its records by its certificate, not by what they say."""
    record.process = record.caller = f"kubelet@{node}"
    record.ClearField("user")
    return record


def _about(request: pb.AuditRecordsRequest, record: pb.AuditRecord) -> bool:
    return record.resource == request.resource and record.namespace == request.namespace and record.name == request.name


def _of_one_object(records: Sequence[pb.AuditRecord], uid: str) -> list[pb.AuditRecord]:
    """Those of one object among all that had its name: of the newest when no uid is given.

    Reads and failures have no uid; they belong to the object in whose time they fall.
    """
    uid = uid or next((r.uid for r in reversed(records) if r.uid and r.verb == "create"), "")
    if not uid:
        return list(records)
    own = [i for i, r in enumerate(records) if r.uid == uid]
    if not own:
        return []
    later = [i for i, r in enumerate(records) if i > own[-1] and r.uid and r.uid != uid]
    window = records[own[0] : later[0] if later else len(records)]
    return [r for r in window if r.uid in ("", uid)]
