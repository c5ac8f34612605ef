"""``kctl proxy`` before an api-server: what passes, what is filtered, and what it serves itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from kubelab.client.kubeconfig import Access
from kubelab.kctl.httpproxy import Filter, HTTPProxy, Upstream, serving, without_port
from kubelab.kctl.proxy import HOSTS, REJECTED_METHODS, REJECTED_PATHS, _patterns  # pyright: ignore[reportPrivateUsage]
from tests.support.apiserver import ApiServerInMemory
from tests.support.pki import TestAuthority

SECONDS = 30.0
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def server(server_with_kubelet: ApiServerInMemory) -> ApiServerInMemory:
    return server_with_kubelet


def usual() -> Filter:
    return Filter(
        accept_hosts=_patterns("accept-hosts", HOSTS),
        accept_paths=_patterns("accept-paths", "^.*"),
        reject_paths=_patterns("reject-paths", REJECTED_PATHS),
        reject_methods=_patterns("reject-methods", REJECTED_METHODS),
    )


@pytest.fixture
async def base(port: int, http_authority: TestAuthority, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a proxy with the API below /k8s/ and files below /static/."""
    files = http_authority.issue("kubernetes-admin", "system:masters")
    access = Access(
        (f"127.0.0.1:{port}",), files.ca.read_bytes(), files.certificate.read_bytes(), files.key.read_bytes()
    )
    (tmp_path / "www").mkdir()
    (tmp_path / "www/page.txt").write_text("a page")
    (tmp_path / "secret").write_text("not for the world")
    upstream = Upstream.of(f"https://127.0.0.1:{port}", access)
    proxy = HTTPProxy(upstream, usual(), prefix="/k8s/", static=("/static/", tmp_path / "www"))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    async with serving(listener, proxy):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        yield session


async def test_requests_pass_with_the_credentials_of_the_kubeconfig(base: str, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{base}/k8s{PODS}?limit=1&fieldSelector=metadata.name%3Dweb") as answer:
        assert answer.status == 200
        assert [item["metadata"]["name"] for item in (await answer.json())["items"]] == ["web"]
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, "data": {"a": "x" * 200_000}}
    async with client.post(f"{base}/k8s/api/v1/namespaces/default/configmaps", json=made) as answer:
        assert answer.status == 201
    async with client.get(f"{base}/k8s{PODS}/nope") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (404, "NotFound")


async def test_a_watch_comes_as_it_happens(base: str, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{base}/k8s{PODS}?watch=true") as answer:
        events = [await answer.content.readline() for _ in range(2)]
        assert all(event.startswith(b'{"type":"ADDED"') for event in events)


async def test_a_websocket_passes(base: str, client: aiohttp.ClientSession) -> None:
    path = f"{base}/k8s{PODS}/web/portforward?ports=80"
    async with asyncio.timeout(SECONDS), client.ws_connect(path, protocols=("v4.channel.k8s.io",)) as ws:
        assert ws.protocol == "v4.channel.k8s.io"
        assert [await ws.receive_bytes() for _ in range(2)] == [b"\x00P\x00", b"\x01P\x00"]
        await ws.send_bytes(b"\x00hello")
        assert await ws.receive_bytes() == b"\x00hello"


@pytest.mark.parametrize(
    ("path", "host", "code", "text"),
    [
        ("/static/page.txt", "", 200, "a page"),
        ("/static/../secret", "", 404, "404 page not found\n"),
        ("/static/%2e%2e/secret", "", 404, "404 page not found\n"),
        ("/static/none", "", 404, "404 page not found\n"),
        (f"/other{PODS}", "", 404, "404 page not found\n"),
        (f"/k8s{PODS}", "evil.test:8001", 403, "Forbidden\n"),
    ],
)
async def test_what_does_not_reach_the_server(
    base: str, client: aiohttp.ClientSession, path: str, host: str, code: int, text: str
) -> None:
    import yarl

    headers = {"Host": host} if host else {}
    async with client.get(yarl.URL(base + path, encoded=True), headers=headers) as answer:
        assert (answer.status, await answer.text()) == (code, text)


def test_the_filter() -> None:
    usually = usual()
    assert usually.accepts("GET", PODS, "localhost")
    assert usually.accepts("GET", PODS, "[::1]")
    assert not usually.accepts("GET", PODS, "example.com")
    assert not usually.accepts("GET", f"{PODS}/web/exec", "localhost")
    assert not usually.accepts("POST", f"{PODS}/web/attach", "localhost")
    assert [without_port(host) for host in ("localhost:8001", "[::1]:8001", "127.0.0.1")] == [
        "localhost",
        "[::1]",
        "127.0.0.1",
    ]
