"""The HTTP front of two api-servers on one real etcd: fresh reads, watches that go on elsewhere, a lost etcd."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kubelab.apiserver.httpfront.server import serve_http
from kubelab.component.config import TLS
from tests.support.etcd import Etcd
from tests.support.https import HTTPClient, context_of
from tests.support.polling import until_answered

MAPS = "/api/v1/namespaces/default/configmaps"
SECONDS = 60


@pytest.fixture
async def clients(servers: Any) -> AsyncIterator[list[HTTPClient]]:
    """An administrator's client for each server."""
    serving = servers.authority.issue("kube-apiserver")
    admin = servers.authority.issue("kubernetes-admin", "system:masters")
    tls = TLS(ca=serving.ca, certificate=serving.certificate, key=serving.key)

    async def metrics() -> tuple[bytes, str]:
        return b"", "text/plain"

    async with contextlib.AsyncExitStack() as stack:
        made: list[HTTPClient] = []
        for api in servers.apis:
            port = await stack.enter_async_context(serve_http("127.0.0.1:0", api.http_front(metrics), tls=tls))
            made.append(HTTPClient(port, context_of(admin, admin.ca)))
            stack.push_async_callback(made[-1].close)
        yield made


async def create(client: HTTPClient, name: str) -> None:
    assert (await client.send("POST", MAPS, {"metadata": {"name": name}})).code == 201


async def names(response: aiohttp.ClientResponse, count: int = 0) -> list[str]:
    """Read the names of so many events, or of all until the watch ends."""
    found: list[str] = []
    async with asyncio.timeout(SECONDS):
        async for line in response.content:
            found.append(json.loads(line)["object"]["metadata"]["name"])
            if len(found) == count:
                break
    return found


async def test_what_one_server_has_written_the_other_one_reads(clients: list[HTTPClient]) -> None:
    a, b = clients
    for number in range(10):
        await create(a, f"m{number}")
        assert (await b.send("GET", f"{MAPS}/m{number}")).code == 200
        assert len((await b.send("GET", MAPS)).json["items"]) == number + 1


async def test_a_watch_goes_on_at_another_server(clients: list[HTTPClient], servers: Any) -> None:
    a, b = clients
    version = (await a.send("GET", MAPS)).json["metadata"]["resourceVersion"]
    async with a.open("GET", f"{MAPS}?watch=true&resourceVersion={version}") as response:
        await create(b, "before")
        seen = await names(response, 1)
        draining = asyncio.ensure_future(servers.apis[0].drain())
        rest = await names(response)  # it ends by itself
    async with asyncio.timeout(SECONDS):
        await draining
    refused = await a.send("GET", MAPS)
    assert (refused.code, refused.json["reason"], refused.headers["Retry-After"]) == (503, "ServiceUnavailable", "1")
    await create(b, "after")
    last = (await b.send("GET", f"{MAPS}/before")).json["metadata"]["resourceVersion"]
    async with b.open("GET", f"{MAPS}?watch=true&resourceVersion={last}") as response:
        seen += rest + await names(response, 1)
    assert seen == ["before", "after"]


async def test_an_etcd_that_is_lost_and_comes_back(clients: list[HTTPClient], etcd_server: Etcd) -> None:
    a, _ = clients
    await create(a, "before")
    version = (await a.send("GET", MAPS)).json["metadata"]["resourceVersion"]
    async with a.open("GET", f"{MAPS}?watch=true&resourceVersion={version}") as response:
        await asyncio.to_thread(etcd_server.kill)
        assert await names(response) == []  # it ends, so that its client asks another server
    unready = await a.send("GET", "/readyz")
    assert unready.code == 500
    assert "[-]etcd failed: reason withheld" in unready.text
    refused = await a.send("GET", f"{MAPS}?watch=true&resourceVersion={version}")
    assert (refused.code, refused.json["kind"]) == (503, "Status")
    await asyncio.to_thread(etcd_server.start)

    async def ready() -> bool:
        return (await a.send("GET", "/readyz")).code == 200

    await until_answered(ready, within=SECONDS)
    assert [item["metadata"]["name"] for item in (await a.send("GET", MAPS)).json["items"]] == ["before"]
    async with a.open("GET", f"{MAPS}?watch=true&resourceVersion={version}") as response:
        await create(a, "after")
        assert await names(response, 1) == ["after"]
