"""What the options of a delete request do to an object, and which of them do not go together."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.apiserver import ApiServerInMemory

PATH = pb.ResourcePath(version="v1", resource="configmaps", namespace="default", name="web")


@pytest.fixture
async def server() -> ApiServerInMemory:
    server = ApiServerInMemory()
    async with server.client() as client:
        await client.create(core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(name="web")), "default")
    return server


async def delete(server: ApiServerInMemory, **options: Any) -> None:
    request = pb.DeleteRequest(path=PATH, options=meta_pb2.DeleteOptions(**options))
    await server.handle("/Delete", request, "test")


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({}, None),
        ({"propagationPolicy": "Background"}, None),
        ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        ({"propagationPolicy": "Orphan"}, ["orphan"]),
        ({"orphanDependents": True}, ["orphan"]),
        ({"orphanDependents": False}, None),
        ({"gracePeriodSeconds": -5}, None),
    ],
)
async def test_policies(server: ApiServerInMemory, options: dict[str, Any], finalizers: list[str] | None) -> None:
    """None: the object is gone at once."""
    await delete(server, **options)
    left = server.get(CONFIG_MAPS, "default/web")
    assert (list(left.metadata.finalizers) if left is not None else None) == finalizers
    assert left is None or left.metadata.HasField("deletionTimestamp")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"propagationPolicy": "Sideways"},
            errors.Invalid,
            'propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan"',
        ),
        (
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            errors.Invalid,
            "orphanDependents and deletionPropagation cannot be both set",
        ),
        ({"dryRun": ["Some"]}, errors.Invalid, 'dryRun: Unsupported value: []string{"Some"}: supported values: "All"'),
        (
            {"preconditions": meta_pb2.Preconditions(uid="x")},
            errors.Conflict,
            "Precondition failed: UID in precondition: x, UID in object meta: ",
        ),
        (
            {"preconditions": meta_pb2.Preconditions(resourceVersion="1")},
            errors.Conflict,
            "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: ",
        ),
    ],
)
async def test_what_is_refused(server: ApiServerInMemory, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        await delete(server, **options)
    assert message in caught.value.message
    left = server.get(CONFIG_MAPS, "default/web")
    assert left is not None
    assert not left.metadata.HasField("deletionTimestamp")
