"""What resourceVersion and resourceVersionMatch mean for get, list and watch, row by row of the documentation
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.apiserver.watchcache import reflector
from kubelab.client.client import Client, EventType
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.apiserver import ApiServerInMemory

PATH = pb.ResourcePath(version="v1", resource="configmaps", namespace="default")


@pytest.fixture
async def server() -> ApiServerInMemory:
    return ApiServerInMemory()


@pytest.fixture
async def client(server: ApiServerInMemory) -> AsyncGenerator[Client]:
    async with server.client() as client:
        yield client


async def create(client: Client, *names: str) -> list[str]:
    """Create config maps; gives their revisions."""
    revisions: list[str] = []
    for name in names:
        config = core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(name=name))
        revisions.append((await client.create(config, "default")).metadata.resourceVersion)
    return revisions


@pytest.mark.parametrize(
    ("limit", "version", "match", "expected"),
    [
        (0, "", "", ["a", "b", "c"]),  # most recent
        (0, "0", "", ["a", "b", "c"]),  # any
        (0, "first", "", ["a", "b", "c"]),  # not older than
        (0, "first", "NotOlderThan", ["a", "b", "c"]),
        (0, "0", "NotOlderThan", ["a", "b", "c"]),  # any
        (0, "first", "Exact", ["a"]),
        (2, "", "", ["a", "b"]),
        (2, "0", "", ["a", "b"]),
        (2, "first", "", ["a"]),  # with a limit, exact
        (2, "first", "NotOlderThan", ["a", "b"]),
        (2, "first", "Exact", ["a"]),
    ],
)
async def test_a_list(client: Client, limit: int, version: str, match: str, expected: list[str]) -> None:
    first, *_, last = await create(client, "a", "b", "c")
    listed = await client.list(
        CONFIG_MAPS,
        "default",
        limit=limit,
        resource_version=first if version == "first" else version,
        resource_version_match=match,
    )
    assert [one.metadata.name for one in listed.items] == expected
    assert listed.resource_version == (first if expected == ["a"] else last)
    assert bool(listed.continue_) is (expected == ["a", "b"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": "Exact"}, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ({"version": "0", "match": "Exact"}, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
        (
            {"version": "1", "match": "Newer"},
            'Unsupported value: "Newer": supported values: "Exact", "NotOlderThan", ""',
        ),
        ({"version": "1", "match": "Exact", "token": "x"}, "resourceVersionMatch is forbidden for continue"),
        ({"initial": True}, "sendInitialEvents is forbidden for list"),
    ],
)
async def test_options_of_a_list_that_do_not_go_together(
    server: ApiServerInMemory, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.Invalid, match=r'^ListOptions\.meta\.k8s\.io "" is invalid: ') as caught:
        await server.handle("/List", pb.ListRequest(path=PATH, options=list_options(**options)), "test")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": True}, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        ({"initial": False, "match": "Exact"}, 'Unsupported value: "Exact": supported values: "NotOlderThan"'),
        (
            {"match": "NotOlderThan", "version": "1"},
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
    ],
)
async def test_options_of_a_watch_that_do_not_go_together(
    server: ApiServerInMemory, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await anext(server.watch(pb.WatchRequest(path=PATH, options=list_options(**options)), "test"))
    assert message in caught.value.message


def list_options(
    *, version: str = "", match: str = "", token: str = "", initial: bool | None = None
) -> meta_pb2.ListOptions:
    options = meta_pb2.ListOptions(resourceVersion=version, resourceVersionMatch=match, sendInitialEvents=initial)
    setattr(options, "continue", token)
    return options


async def test_a_revision_of_the_future_is_too_large(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "CATCH_UP", 0.01)
    (version,) = await create(client, "a")
    with pytest.raises(errors.Timeout) as caught:
        await client.list(CONFIG_MAPS, "default", resource_version="99999")
    assert caught.value.message == f"Timeout: Too large resource version: 99999, current: {version}"
    assert [cause.reason for cause in caught.value.causes] == ["ResourceVersionTooLarge"]
    assert caught.value.retry_after_seconds == 1


# --- what is forgotten


async def test_a_list_of_a_forgotten_revision_is_expired(server: ApiServerInMemory, client: Client) -> None:
    first, second = await create(client, "a", "b")
    await create(client, "c")
    await server._store.compact(int(second))
    with pytest.raises(errors.Expired) as caught:
        await client.list(CONFIG_MAPS, "default", resource_version=first, resource_version_match="Exact")
    assert caught.value.message == "The resourceVersion for the provided list is too old."


async def test_an_expired_token_comes_with_one_that_goes_on_inconsistently(
    server: ApiServerInMemory, client: Client
) -> None:
    await create(client, "a", "b", "d")
    page = await client.list(CONFIG_MAPS, "default", limit=2)
    *_, last = await create(client, "aa", "c")
    await server._store.compact(int(last))
    with pytest.raises(errors.Expired) as caught:
        await client.list(CONFIG_MAPS, "default", limit=2, continue_=page.continue_)
    assert "or use the continue token in this response" in caught.value.message
    rest = await client.list(CONFIG_MAPS, "default", limit=5, continue_=caught.value.continue_)
    assert [one.metadata.name for one in rest.items] == ["c", "d"]
    assert errors.ApiError.from_status(caught.value.to_status()).continue_ == caught.value.continue_


# --- watches


async def test_initial_events_end_with_a_bookmark_that_says_so(server: ApiServerInMemory, client: Client) -> None:
    *_, last = await create(client, "a", "b")
    events = client.watch(CONFIG_MAPS, "default", resource_version="", send_initial_events=True)
    seen = [await anext(events) for _ in range(3)]
    assert [(e.type, e.object.metadata.name if e.object else "") for e in seen] == [
        (EventType.ADDED, "a"),
        (EventType.ADDED, "b"),
        (EventType.BOOKMARK, ""),
    ]
    assert [e.initial_events_end for e in seen] == [False, False, True]
    assert seen[2].resource_version == last
    following = asyncio.ensure_future(anext(events))
    await create(client, "c")
    assert (await following).object.metadata.name == "c"  # type: ignore[union-attr]
    server.bookmark()
    assert (await anext(events)).initial_events_end is False
    await events.aclose()


async def test_a_watch_without_initial_events_begins_now(client: Client) -> None:
    await create(client, "a")
    events = client.watch(CONFIG_MAPS, "default", resource_version="", send_initial_events=False)
    following = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await create(client, "b")
    event = await following
    assert event.object is not None
    assert event.object.metadata.name == "b"
    await events.aclose()


async def test_a_watch_from_before_what_is_remembered_is_expired(server: ApiServerInMemory, client: Client) -> None:
    first, second = await create(client, "a", "b")
    server.compact()
    with pytest.raises(errors.Expired) as caught:
        await anext(client.watch(CONFIG_MAPS, "default", resource_version=first))
    assert caught.value.message == f"too old resource version: {first} ({second})"
