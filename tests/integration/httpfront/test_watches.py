"""Watches over HTTPS, in every form, from their first event to their end."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.storage.v1 import storage_pb2
from tests.integration.httpfront.test_forms import KUBECTL, PARTIAL, PROTOBUF
from tests.integration.httpfront.test_verbs import MAPS, config_map
from tests.support.apiserver import ApiServerInMemory
from tests.support.https import HTTPClient
from tests.support.polling import until_true

SECONDS = 60


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    async for line in response.content:
        yield json.loads(line)


async def read(response: aiohttp.ClientResponse, count: int) -> list[Any]:
    """Read some events."""
    found: list[Any] = []
    async with asyncio.timeout(SECONDS):
        async for event in events(response):
            found.append(event)
            if len(found) == count:
                return found
    return found


async def test_what_happens_is_told_as_it_happens(http: HTTPClient) -> None:
    await http.send("POST", MAPS, config_map("a", x="1"))
    version = (await http.send("GET", MAPS)).json["metadata"]["resourceVersion"]
    async with http.open("GET", f"{MAPS}?watch=true&resourceVersion={version}") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
        assert response.headers["Transfer-Encoding"] == "chunked"
        await http.send("POST", MAPS, config_map("b"))
        await http.send("PATCH", f"{MAPS}/a", '{"data":{"x":"2"}}', content="application/merge-patch+json")
        await http.send("DELETE", f"{MAPS}/a")
        found = await read(response, 3)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in found] == [
        ("ADDED", "b"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
    ]
    assert list(found[0]["object"])[:2] == ["kind", "apiVersion"]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in found]
    assert versions == sorted(set(versions))


async def test_two_see_one_change_as_two_events(http: HTTPClient) -> None:
    await http.send("POST", MAPS, {"metadata": {"name": "a", "labels": {"l": "x"}}})
    version = (await http.send("GET", MAPS)).json["metadata"]["resourceVersion"]
    patch = '{"metadata":{"labels":{"l":"y"}}}'
    async with (
        http.open("GET", f"{MAPS}?watch=1&resourceVersion={version}") as everything,
        http.open("GET", f"{MAPS}?watch=1&resourceVersion={version}&labelSelector=l%3Dx") as chosen,
    ):
        await http.send("PATCH", f"{MAPS}/a", patch, content="application/merge-patch+json")
        (modified,), (deleted,) = await read(everything, 1), await read(chosen, 1)
    assert (modified["type"], modified["object"]["metadata"]["labels"]) == ("MODIFIED", {"l": "y"})
    assert (deleted["type"], deleted["object"]["metadata"]["labels"]) == ("DELETED", {"l": "x"})
    listed = (await http.send("GET", MAPS)).json["items"]
    assert [item["metadata"]["labels"] for item in listed] == [{"l": "y"}]


async def test_a_watch_without_a_version_begins_with_what_is_there(http: HTTPClient) -> None:
    await http.send("POST", MAPS, config_map("a"))
    for parameters in ("", "&resourceVersion=0"):
        async with http.open("GET", f"{MAPS}?watch=true{parameters}") as response:
            (event,) = await read(response, 1)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")


async def test_initial_events_end_with_a_bookmark_that_says_so(http: HTTPClient) -> None:
    await http.send("POST", MAPS, config_map("a"))
    asked = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with http.open("GET", f"{MAPS}?watch=true&{asked}") as response:
        added, bookmark = await read(response, 2)
    assert added["type"] == "ADDED"
    assert (bookmark["type"], bookmark["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
    metadata = bookmark["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert metadata["resourceVersion"] == added["object"]["metadata"]["resourceVersion"]


async def test_a_watch_ends_when_its_time_is_up(http: HTTPClient) -> None:
    async with asyncio.timeout(SECONDS):
        async with http.open("GET", f"{MAPS}?watch=true&timeoutSeconds=1") as response:
            assert await response.read() == b""


@pytest.mark.parametrize("path", ["/api/v1/watch/namespaces/default/configmaps/a", f"{MAPS}?watch=true"])
async def test_one_object_is_watched_by_its_path_or_its_name(http: HTTPClient, path: str) -> None:
    for name in ("b", "a"):
        await http.send("POST", MAPS, config_map(name))
    if "?" in path:
        path += "&fieldSelector=metadata.name%3Da"
    async with http.open("GET", path) as response:
        (event,) = await read(response, 1)
    assert event["object"]["metadata"]["name"] == "a"


async def test_only_the_first_table_has_columns(http: HTTPClient) -> None:
    for name in ("a", "b"):
        await http.send("POST", MAPS, config_map(name, x="1"))
    async with http.open("GET", f"{MAPS}?watch=true", accept=KUBECTL) as response:
        first, second = await read(response, 2)
    assert [(e["type"], e["object"]["kind"]) for e in (first, second)] == [("ADDED", "Table")] * 2
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][:2] == ["b", "1"]


async def test_metadata_alone(http: HTTPClient) -> None:
    await http.send("POST", MAPS, config_map("a", x="1"))
    async with http.open("GET", f"{MAPS}?watch=true", accept=PARTIAL) as response:
        (event,) = await read(response, 1)
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert "data" not in event["object"]


async def test_frames_of_protobuf(http: HTTPClient) -> None:
    await http.send("POST", MAPS, config_map("a", x="1"))
    async with asyncio.timeout(SECONDS):
        async with http.open("GET", f"{MAPS}?watch=true", accept=PROTOBUF) as response:
            assert response.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
            (size,) = struct.unpack(">I", await response.content.readexactly(4))
            frame = await response.content.readexactly(size)
    assert frame.startswith(b"\x0a\x05ADDED\x12")
    packed = storage_pb2.Unknown.FromString(frame[frame.index(b"k8s\0") + 4 :])
    assert packed.typeMeta.kind == "ConfigMap"
    assert core_pb2.ConfigMap.FromString(packed.raw).data["x"] == "1"


async def test_a_version_of_too_long_ago_is_told_as_an_event(http: HTTPClient, server: ApiServerInMemory) -> None:
    await http.send("POST", MAPS, config_map("a"))
    await http.send("POST", MAPS, config_map("b"))
    server._reflector.forget_history()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    async with http.open("GET", f"{MAPS}?watch=true&resourceVersion=1") as response:
        assert response.status == 200
        (event,) = await read(response, 1)
        assert await response.content.read() == b""
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


async def test_what_may_not_be_watched_is_refused_at_once(http: HTTPClient, jane: HTTPClient) -> None:
    forbidden = await jane.send("GET", f"{MAPS}?watch=true")
    assert (forbidden.code, forbidden.json["reason"]) == (403, "Forbidden")
    wrong = await http.send("GET", f"{MAPS}?watch=true&labelSelector=%3D")
    assert (wrong.code, wrong.json["reason"]) == (400, "BadRequest")
    html = await http.send("GET", f"{MAPS}?watch=true", accept="text/html")
    assert html.code == 406


async def test_a_client_that_vanishes_leaves_no_watch(http: HTTPClient, server: ApiServerInMemory) -> None:
    cache = next(c for r, c in server.api.caches.items() if r.plural == "configmaps")
    async with http.open("GET", f"{MAPS}?watch=true"):
        await until_true(lambda: len(cache.watchers) == 1, within=SECONDS)
    await until_true(lambda: not cache.watchers, within=SECONDS)
