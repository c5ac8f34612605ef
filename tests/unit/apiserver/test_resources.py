"""A kind is one object: a server is given one more while it runs, and serves it like its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import EVENTS, NAME, SERVICES, Column, Resource, pack
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.resources.storage import ResourceStorage
from kubelab.apiserver.resources.table import Resources, builtin
from kubelab.apiserver.server import ApiServer
from kubelab.apiserver.storage.store import Put
from kubelab.apiserver.strategies.base import Strategy
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.inprocess import call
from tests.support.memorystore import MemoryStore

CLOCK = SystemClock()


def fixture(plural: str, message: type[Message] = core_pb2.ConfigMap) -> ResourceStorage:
    """A kind of a group of its own: all that has to be written for it."""
    resource = Resource(
        plural=plural,
        singular=plural.removesuffix("s"),
        kind="Fixture",
        message=message,
        columns=(NAME, Column("Colour")),
        group="example.com",
    )
    return ResourceStorage(resource, Strategy(resource), lambda obj, _: [meta_of(obj).name, "blue"])


WIDGETS = fixture("widgets")


def named(message: type[Message], name: str) -> Message:
    obj = message()
    meta_of(obj).name = name
    return obj


@contextlib.asynccontextmanager
async def serving(tmp_path: Path, store: MemoryStore) -> AsyncGenerator[ApiServer]:
    config = ApiServerConfig(audit_log=tmp_path / "audit.log")
    api = ApiServer(config, store, process="api-server@cp-1", clock=CLOCK, metrics=CollectorRegistry())
    async with api.running():
        yield api
    for cache in api.caches.values():
        cache.check_invariants()


async def listed(api: ApiServer, kind: ResourceStorage, table: meta_pb2.TableOptions | None = None) -> pb.ListResponse:
    """List a kind through the gRPC front."""
    request = pb.ListRequest(path=path_of(kind), table=table)
    return pb.ListResponse.FromString(await api.resources_front.list(request, call()))


def path_of(kind: ResourceStorage, name: str = "") -> pb.ResourcePath:
    return pb.ResourcePath(group=kind.resource.group, resource=kind.resource.plural, namespace="default", name=name)


def packed(message: Message, name: str) -> Any:
    meta_of(message).name = name
    return pack(message)


async def test_a_kind_is_added_while_the_server_runs(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryStore(CLOCK)) as api:
        await api.serve_kind(WIDGETS)
        resource = WIDGETS.resource
        assert resource in api.resources.served
        front = api.resources_front
        watch = front.watch(pb.WatchRequest(path=path_of(WIDGETS)), call())
        create = pb.CreateRequest(path=path_of(WIDGETS), object=packed(core_pb2.ConfigMap(), "one"))
        created = pb.ObjectResponse.FromString(await front.create(create, call())).object
        event = pb.WatchEvent.FromString(await anext(watch))
        assert event.object == created
        changed = packed(core_pb2.ConfigMap(data={"size": "big"}), "one")
        await front.update(pb.UpdateRequest(path=path_of(WIDGETS, "one"), object=changed), call())
        objects = (await listed(api, WIDGETS)).items
        assert [core_pb2.ConfigMap.FromString(o.value).data["size"] for o in objects] == ["big"]
        table = (await listed(api, WIDGETS, meta_pb2.TableOptions())).table
        assert [c.name for c in table.columnDefinitions] == ["Name", "Colour"]
        assert [list(row.cells) for row in table.rows] == [["one", "blue"]]
        await front.delete(pb.DeleteRequest(path=path_of(WIDGETS, "one")), call())
        assert not (await listed(api, WIDGETS)).items
        await watch.aclose()


async def test_a_kind_that_is_added_has_what_was_stored_before(tmp_path: Path) -> None:
    store = MemoryStore(CLOCK)
    async with serving(tmp_path / "a", store) as first:
        await first.serve_kind(WIDGETS)
        await first.writer.create(WIDGETS.resource, "default", named(core_pb2.ConfigMap, "old"))
        async with serving(tmp_path / "b", store) as second:
            await second.serve_kind(WIDGETS)
            await first.writer.create(WIDGETS.resource, "default", named(core_pb2.ConfigMap, "new"))
            objects = (await listed(second, WIDGETS)).items
            assert [core_pb2.ConfigMap.FromString(o.value).metadata.name for o in objects] == ["new", "old"]


async def test_no_kind_is_served_twice(tmp_path: Path) -> None:
    async with serving(tmp_path, MemoryStore(CLOCK)) as api:
        await api.serve_kind(WIDGETS)
        with pytest.raises(ValueError, match=r"widgets\.example\.com is served already"):
            await api.serve_kind(WIDGETS)


class _Leases(MemoryStore):
    """Remembers which keys were written with a lease."""

    def __init__(self) -> None:
        super().__init__(CLOCK)
        self.leased: set[str] = set()

    async def transact(self, conditions, operations):  # type: ignore[no-untyped-def]
        self.leased |= {o.key for o in operations if isinstance(o, Put) and o.lease}
        return await super().transact(conditions, operations)


async def test_kinds_of_one_plural_share_nothing(tmp_path: Path) -> None:
    store = _Leases()
    events, services = fixture("events", core_pb2.Event), fixture("services", core_pb2.Service)
    namespaces = fixture("namespaces", core_pb2.Namespace)
    async with serving(tmp_path, store) as api:
        for kind in (events, services, namespaces):
            await api.serve_kind(kind)
        await api.writer.create(events.resource, "default", named(core_pb2.Event, "mine"))
        assert not any("mine" in key for key in store.leased)
        service = named(core_pb2.Service, "mine")
        made = await api.writer.create(services.resource, "default", service)
        assert isinstance(made.obj, core_pb2.Service)
        assert not made.obj.spec.clusterIP  # neither allocated nor defaulted
        assert not made.obj.spec.type
        assert [list(r.cells) for r in (await listed(api, services, meta_pb2.TableOptions())).table.rows] == [
            ["mine", "blue"]
        ]
        for own in (EVENTS, SERVICES):
            with pytest.raises(errors.NotFound):
                await api.reader.entry(own, "default", "mine")
        held = core_pb2.Namespace(spec=core_pb2.NamespaceSpec(finalizers=["kubernetes"]))
        held.metadata.name = "kube-system"
        await api.writer.create(namespaces.resource, "default", held)
        await api.writer.delete(namespaces.resource, "default", "kube-system", meta_pb2.DeleteOptions())
        with pytest.raises(errors.NotFound):  # neither protected nor waiting for a namespace's finalizers
            await api.reader.entry(namespaces.resource, "default", "kube-system")


def test_every_builtin_kind_has_a_place_of_its_own() -> None:
    resources = Resources(builtin())
    prefixes = [storage.prefix for storage in builtin() if storage.envelope is None]
    assert len(set(prefixes)) == len(prefixes)
    assert {storage.resource for storage in builtin()} == set(resources.storages)
