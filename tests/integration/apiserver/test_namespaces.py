"""Namespaces: those of the system, creation into one, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme


def namespace(name: str) -> core_pb2.Namespace:
    made = core_pb2.Namespace()
    made.metadata.name = name
    return made


def config_map(name: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap()
    made.metadata.name = name
    return made


async def test_the_system_s_namespaces_exist_and_stay(servers: Any) -> None:
    names = [n.metadata.name for n in (await servers.b.list(scheme.NAMESPACES)).items]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    for name in names:
        with pytest.raises(errors.Forbidden) as told:
            await servers.a.delete(scheme.NAMESPACES, name)
        assert told.value.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


async def test_a_namespace_goes_in_two_steps(servers: Any) -> None:
    await servers.a.create(namespace("team"))
    await servers.a.create(config_map("kept"), "team")
    going = await servers.b.delete(scheme.NAMESPACES, "team")
    assert going.status.phase == "Terminating"
    assert going.metadata.HasField("deletionTimestamp")
    with pytest.raises(errors.Forbidden) as told:
        await servers.a.create(config_map("late"), "team")
    assert told.value.message == (
        'configmaps "late" is forbidden: unable to create new content in namespace team because it is being terminated'
    )
    assert told.value.causes[0].reason == "NamespaceTerminating"
    with pytest.raises(errors.AlreadyExists, match=r'^object is being deleted: namespaces "team" already exists$'):
        await servers.b.create(namespace("team"))
    assert not going.metadata.HasField("deletionGracePeriodSeconds")
    assert await servers.a.delete(scheme.NAMESPACES, "team") == going  # it is on its way: kubectl goes on waiting
    await servers.a.delete(scheme.CONFIG_MAPS, "kept", "team")
    going.spec.ClearField("finalizers")
    await servers.b.finalize(going)
    with pytest.raises(errors.NotFound):
        await servers.a.get(scheme.NAMESPACES, "team")
    with pytest.raises(errors.NotFound, match=r'namespaces "team" not found'):
        await servers.b.create(config_map("late"), "team")


async def test_nothing_is_left_in_a_namespace_that_went_while_others_wrote_into_it(servers: Any) -> None:
    """Whatever was created, was created before the namespace began to go: the controller's list then sees it."""
    await servers.a.create(namespace("team"))
    stop = asyncio.Event()

    async def write(client: Any, name: str) -> int:
        done = 0
        while not stop.is_set():
            try:
                await client.create(config_map(f"{name}-{done}"), "team")
            except errors.Forbidden:
                return done
            done += 1
        return done

    writers = [asyncio.ensure_future(write(c, n)) for c, n in ((servers.a, "a"), (servers.b, "b"))]
    async with asyncio.timeout(30):
        written = 0
        while written < 20:
            written = len((await servers.a.list(scheme.CONFIG_MAPS, "team")).items)
        await servers.a.delete(scheme.NAMESPACES, "team")
        seen = len((await servers.a.list(scheme.CONFIG_MAPS, "team")).items)
        assert sum(await asyncio.gather(*writers)) == seen


async def test_a_namespace_that_was_just_made_elsewhere_is_known(servers: Any) -> None:
    for n in range(10):
        await servers.a.create(namespace(f"n{n}"))
        await servers.b.create(config_map("one"), f"n{n}")


async def test_an_object_of_another_namespace_than_the_request_is_refused(servers: Any) -> None:
    made = config_map("one")
    made.metadata.namespace = "kube-system"
    with pytest.raises(errors.BadRequest, match=r"does not match the namespace sent on the request"):
        await servers.a.create(made, "default")
