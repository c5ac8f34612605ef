"""Tables for people, made by the server: columns by the scheme, rows by each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import TYPE_URL_PREFIX, Resource
from kubelab.apimachinery.wireformat import delimited
from kubelab.apiserver.printers import cells
from kubelab.apiserver.resources.storage import ResourceStorage, Row
from kubelab.client import runtimeerrors

log = structlog.get_logger()

_INCLUDED = ("", "None", "Metadata", "Object")
FAILED = "<error>"  # a cell that could not be made
_TABLE_URL = (TYPE_URL_PREFIX + meta_pb2.Table.DESCRIPTOR.full_name).encode()


class Tables:
    """Makes tables, each with the columns and the printer of its kind."""

    def __init__(
        self,
        storages: Mapping[Resource[Message], ResourceStorage],
        clock: Clock,
        rows: Mapping[Resource[Message], Row] | None = None,
    ) -> None:
        """``rows`` print the resources that are not stored."""
        self._storages, self._clock, self._rows = storages, clock, rows or {}

    def make(
        self, resource: Resource[Message], values: Sequence[bytes], options: meta_pb2.TableOptions, version: str
    ) -> meta_pb2.Table:
        """A table of encoded objects, one row each. BadRequest for options that mean nothing."""
        if options.includeObject not in _INCLUDED:
            raise errors.BadRequest(f'unrecognized includeObject value: "{options.includeObject}"')
        table = meta_pb2.Table(metadata=meta_pb2.ListMeta(resourceVersion=version))
        for column in resource.columns:
            table.columnDefinitions.add(
                name=column.name,
                type=column.type,
                format="name" if column.name == "Name" else "",
                description=column.description,
                priority=column.priority,
            )
        now = self._clock.time()
        for value in values:
            obj = resource.message.FromString(value)
            row = table.rows.add(cells=self.cells_of(resource, obj, now))
            if options.includeObject == "Object":
                row.object.CopyFrom(scheme.pack(obj))
            elif options.includeObject in ("", "Metadata"):
                row.object.CopyFrom(scheme.pack(meta_pb2.PartialObjectMetadata(metadata=meta_of(obj))))
        return table

    def of_scale(self, scale: autoscaling_pb2.Scale, options: meta_pb2.TableOptions) -> meta_pb2.Table:
        """Make the table of a scale subresource, which is the same for every kind."""
        metadata = scale.metadata
        table = meta_pb2.Table(metadata=meta_pb2.ListMeta(resourceVersion=metadata.resourceVersion))
        for name in ("Name", "Desired", "Available", "Age"):
            table.columnDefinitions.add(name=name, type="string", format="name" if name == "Name" else "")
        since = cells.age(metadata.creationTimestamp, self._clock.time())
        row = table.rows.add(cells=[metadata.name, str(scale.spec.replicas), str(scale.status.replicas), since])
        if options.includeObject in ("", "Metadata"):
            row.object.CopyFrom(scheme.pack(meta_pb2.PartialObjectMetadata(metadata=metadata)))
        elif options.includeObject == "Object":
            row.object.CopyFrom(scheme.pack(scale))
        return table

    def cells_of(self, resource: Resource[Message], obj: Message, now: float) -> list[str]:
        """Give one object's cells. A printer that fails on one object does not keep the others from being shown."""
        try:
            row = self._rows.get(resource) or self._storages[resource].row
            return row(obj, now)
        except Exception:  # noqa: BLE001 — a bug, which is logged and counted
            m = meta_of(obj)
            runtimeerrors.handle_error(log, "printing a row", f"{resource.qualified} {m.namespace}/{m.name}")
            return [m.name if column.name == "Name" else FAILED for column in resource.columns]

    @staticmethod
    def pack(table: meta_pb2.Table) -> bytes:
        """Encode an ``Any`` with the table."""
        return delimited(1, _TABLE_URL) + delimited(2, table.SerializeToString())
