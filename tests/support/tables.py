"""The api-server in memory, with tables that are plain to predict.

The cells are the name, the age as ``1s``, and for every other column the column's name in small letters with the
object's name. What the real cells are is the server's printers' business, tested there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.grpcfront.resources import ResourcesServicer
from kubelab.apiserver.registry.tables import Tables
from tests.support.apiserver import ApiServerInMemory


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


class ApiServerWithPlainTables(ApiServerInMemory):
    """See the module."""

    def __init__(self, *, clock: Clock | None = None, config: ApiServerConfig | None = None) -> None:
        super().__init__(clock=clock, config=config)
        storages = self.api.resources.storages.items()
        plain = {resource: dataclasses.replace(storage, row=_plain_row(resource)) for resource, storage in storages}
        self.front = ResourcesServicer(self.api.endpoints, Tables(plain, self.clock, self.api.resources.rows))


def _plain_row(resource: Resource[Message]) -> Callable[[Any, float], list[str]]:
    return lambda obj, now: [_cell(column.name, meta_of(obj).name) for column in resource.columns]


def _cell(column: str, name: str) -> str:
    if column == "Name":
        return name
    return "1s" if column == "Age" else f"{column.lower()}-{name}"
