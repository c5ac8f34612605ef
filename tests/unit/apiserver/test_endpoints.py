"""The endpoints of a whole api-server on a store in memory, through the gRPC front and without a network."""

from __future__ import annotations

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
from kubelab.apimachinery.scheme import ALL, pack
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.server import ApiServer
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support import objects as make
from tests.support.inprocess import call
from tests.support.memorystore import MemoryStore


@pytest.fixture
async def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def api(tmp_path: Path, registry: CollectorRegistry) -> AsyncGenerator[ApiServer]:
    config, clock = ApiServerConfig(audit_log=tmp_path / "audit.log"), SystemClock()
    server = ApiServer(config, MemoryStore(clock), process="api-server@cp-1", clock=clock, metrics=registry)
    async with server.running():
        yield server


def path(resource: str, name: str = "", subresource: str = "") -> pb.ResourcePath:
    return pb.ResourcePath(resource=resource, namespace="default", name=name, subresource=subresource)


async def create(api: ApiServer, obj: Message, where: pb.ResourcePath) -> None:
    await api.resources_front.create(pb.CreateRequest(path=where, object=pack(obj)), call())


@pytest.mark.parametrize("subresource", ["log", "binding", "audit"])
async def test_what_is_no_part_of_an_object_is_not_got_with_it(api: ApiServer, subresource: str) -> None:
    await create(api, make.pod("web"), path("pods"))
    with pytest.raises(errors.MethodNotAllowed, match="does not allow this method"):
        await api.resources_front.get(pb.GetRequest(path=path("pods", "web", subresource)), call())


async def test_a_binding_is_created_on_its_own_too(api: ApiServer) -> None:
    """``POST /api/v1/namespaces/default/bindings``: the pod's name stands in the object."""
    await create(api, make.pod("web"), path("pods"))
    binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name="node-1"))
    binding.metadata.name = "web"
    await create(api, binding, path("bindings"))
    got = pb.ObjectResponse.FromString(await api.resources_front.get(pb.GetRequest(path=path("pods", "web")), call()))
    assert core_pb2.Pod.FromString(got.object.value).spec.nodeName == "node-1"
    with pytest.raises(errors.MethodNotAllowed):
        await api.resources_front.list(pb.ListRequest(path=path("bindings")), call())


async def test_a_resource_that_is_not_served_is_counted_without_its_name(
    api: ApiServer, registry: CollectorRegistry
) -> None:
    """Else a client could make the server keep a counter for each word that it thinks of."""
    with pytest.raises(errors.NotFound, match="the server could not find the requested resource"):
        await api.resources_front.get(pb.GetRequest(path=path("gizmos", "one")), call())
    labels = {"verb": "get", "resource": "", "subresource": "", "code": "NOT_FOUND"}
    assert registry.get_sample_value("apiserver_request_total", labels) == 1


async def test_without_a_certificate_nobody_is_let_in(api: ApiServer) -> None:
    with pytest.raises(errors.Unauthorized):
        await api.resources_front.get(pb.GetRequest(path=path("pods", "web")), call(pem=b""))


async def test_the_scheme_and_the_kinds_have_the_same_subresources(api: ApiServer) -> None:
    """Clients know them from the scheme, the server from each kind's package."""
    for resource in ALL:
        storage = api.resources.storages.get(resource)
        if storage is not None:
            objects = {name for name, one in storage.subresources.items() if not one.streamed}
            assert objects == set(resource.subresources), resource


async def test_fields_that_the_server_does_not_know_are_told_as_field_validation_asks(api: ApiServer) -> None:
    """A client of a later version can send them, by number."""
    pod = make.pod("web")
    value = pod.SerializeToString() + bytes((0x12, 3, 0xC8, 0x3E, 1))  # spec { 1001: 1 }
    wrapped = pack(pod)
    wrapped.value = value

    async def send(validation: str) -> list[tuple[str, str | bytes]]:
        options = meta_pb2.CreateOptions(fieldValidation=validation, dryRun=["All"])
        context: Any = call()
        request = pb.CreateRequest(path=path("pods"), object=wrapped, options=options)
        await api.resources_front.create(request, context)
        return [text for _, text in context.trailing]

    with pytest.raises(errors.BadRequest) as caught:
        await send("Strict")
    assert caught.value.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.1001"'
    )
    assert await send("Warn") == [b'unknown field "spec.1001"']
    assert await send("Ignore") == []
