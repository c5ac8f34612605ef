"""A collection is deleted piece by piece, and a failure on the way says how far it came."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.client import client as module
from tests.support.apiserver import ApiServerInMemory

COUNT = 23


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ApiServerInMemory:
    monkeypatch.setattr(module, "PIECE", 10)
    made = ApiServerInMemory()
    for number in range(COUNT):
        obj = core_pb2.ConfigMap()
        obj.metadata.name, obj.metadata.namespace = f"n-{number:02}", "default"
        made.add(obj)
    return made


async def test_all_of_it_in_pieces(server: ApiServerInMemory) -> None:
    gone = await server.client().delete_collection(CONFIG_MAPS, "default")
    assert [obj.metadata.name for obj in gone.items] == [f"n-{number:02}" for number in range(COUNT)]
    assert not server.objects(CONFIG_MAPS)
    assert len(server.calls_of("deletecollection")) == 3


async def test_a_failure_says_how_far_it_came(server: ApiServerInMemory) -> None:
    client = server.client()
    failure = errors.Unavailable("etcdserver: no leader")

    async def delete() -> None:
        await client.delete_collection(CONFIG_MAPS, "default")

    server.fail(failure, verb="deletecollection")
    with pytest.raises(errors.Unavailable, match=r"^etcdserver: no leader$"):  # nothing was deleted before it
        await delete()
    held = asyncio.ensure_future(delete())
    while not server.calls_of("deletecollection")[1:]:  # noqa: ASYNC110 — the next turn of the loop is enough
        await asyncio.sleep(0)
    server.fail(failure, verb="deletecollection", times=10)
    with pytest.raises(errors.Unavailable, match=r"^10 of 23 configmaps were deleted, then: etcdserver: no leader$"):
        await held
    assert len(server.objects(CONFIG_MAPS)) == COUNT - 10


async def test_the_time_for_all_pieces_is_over(server: ApiServerInMemory) -> None:
    with pytest.raises(errors.Timeout, match=r"^not done within 0 s$"):
        await server.client().delete_collection(CONFIG_MAPS, "default", seconds=0)
