"""The api-server in memory, answering with tables too.

The cells are plain to predict: the name, the age as ``1s``, and for every other column the column's name in small
letters with the object's name. What the real cells are is the server's printers' business, tested there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.apiserver import FakeApiServer


def table_of(resource: Resource[Message], *objects: Message) -> meta_pb2.Table:
    """Give objects as the table that this server answers with."""
    table = meta_pb2.Table()
    for column in resource.columns:
        table.columnDefinitions.add(name=column.name, priority=column.priority)
    for obj in objects:
        row = table.rows.add()
        row.cells.extend(_cell(column.name, meta_of(obj).name) for column in resource.columns)
        row.object.Pack(meta_pb2.PartialObjectMetadata(metadata=meta_of(obj)))
    return table


class FakeTableServer(FakeApiServer):
    """See the module."""

    async def _get(self, request: pb.GetRequest) -> pb.ObjectResponse:
        answer = await super()._get(request)
        if request.HasField("table"):
            resource = _resource(request.path)
            table = table_of(resource, resource.message.FromString(answer.object.value))
            answer.object.Pack(table)
        return answer

    async def _list(self, request: pb.ListRequest) -> pb.ListResponse:
        answer = await super()._list(request)
        if request.HasField("table"):
            resource = _resource(request.path)
            objects = [resource.message.FromString(item.value) for item in answer.items]
            answer.table.CopyFrom(table_of(resource, *objects))
            answer.table.metadata.CopyFrom(answer.metadata)
            answer.ClearField("items")
        return answer

    async def watch(self, request: pb.WatchRequest, caller: str) -> AsyncGenerator[pb.WatchEvent]:
        """Answer one watch, with tables of one row if so asked."""
        events = super().watch(request, caller)
        try:
            async for event in events:
                if request.HasField("table") and event.type != pb.WatchEvent.BOOKMARK:
                    resource = _resource(request.path)
                    tabled = pb.WatchEvent()
                    tabled.CopyFrom(event)  # the event itself belongs to every watcher
                    tabled.object.Pack(table_of(resource, resource.message.FromString(event.object.value)))
                    event = tabled
                yield event
        finally:
            await events.aclose()


def _cell(column: str, name: str) -> str:
    if column == "Name":
        return name
    return "1s" if column == "Age" else f"{column.lower()}-{name}"


def _resource(path: pb.ResourcePath) -> Resource[Message]:
    found = scheme.by_plural(path.group, path.resource)
    assert found is not None, path
    return found
