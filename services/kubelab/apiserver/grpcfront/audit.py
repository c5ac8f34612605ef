"""The audit trail as a gRPC method."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kubelab.apimachinery import scheme
from kubelab.apiserver.endpoints.auditrecords import AuditRecords
from kubelab.apiserver.grpcfront.requests import Context, request_of
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.apiserver.v1 import apiserver_pb2_grpc


class AuditServicer(apiserver_pb2_grpc.AuditServicer):
    def __init__(self, records: AuditRecords) -> None:
        self._records = records

    async def Records(self, request: pb.AuditRecordsRequest, context: Context) -> AsyncGenerator[pb.AuditRecord]:
        resource = scheme.find(request.resource)
        path = pb.ResourcePath(
            group=resource.group if resource else "",
            resource=request.resource,
            namespace=request.namespace,
            name=request.name,
            subresource="audit",
        )
        for record in await self._records.find(request_of(context, "get", path), request):
            yield record
