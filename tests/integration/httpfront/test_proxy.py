"""The proxy subresources: requests of HTTP to what listens in a pod, and what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import NODES
from kubelab.apiserver.endpoints.proxying import split
from tests.support.apiserver import ApiServerInMemory
from tests.support.https import HTTPClient
from tests.support.kubelets import NODE, EchoingKubelet

SECONDS = 30.0
POD = "/api/v1/namespaces/default/pods/web:8080/proxy"
SERVICE = "/api/v1/namespaces/default/services/web:http/proxy"


async def answer(request: web.Request) -> web.StreamResponse:
    """The server in the pod: it tells what it was asked."""
    if request.path == "/socket":
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data.upper())
        return ws
    if request.path == "/away":
        return web.Response(status=302, headers={"Location": request.query["to"]})
    if request.path == "/teapot":
        return web.Response(status=418, reason="I am a teapot", headers={"X-Pot": "yes", "Connection": "close, X-Hop"})
    body = await request.read()
    told = {
        "method": request.method,
        "path": request.raw_path,
        "headers": dict(request.headers),
        "body": len(body),
    }
    return web.json_response(told)


@pytest.fixture
async def server(server_with_kubelet: ApiServerInMemory, kubelet: EchoingKubelet) -> AsyncIterator[ApiServerInMemory]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kubelet.servers[8080] = runner.addresses[0][1]
    service = core_pb2.Service()
    service.metadata.name, service.metadata.namespace = "web", "default"
    service.spec.ports.add(name="http", port=80)
    service.spec.ports.add(name="none", port=82)
    endpoints = core_pb2.Endpoints()
    endpoints.metadata.name, endpoints.metadata.namespace = "web", "default"
    subset = endpoints.subsets.add()
    subset.ports.add(name="http", port=8080)
    address = subset.addresses.add(ip="10.244.0.7", nodeName=NODE)
    address.targetRef.kind, address.targetRef.name, address.targetRef.namespace = "Pod", "web", "default"
    server_with_kubelet.add(service, endpoints)
    yield server_with_kubelet
    await runner.cleanup()


@pytest.mark.parametrize("path", [POD, POD.replace(":8080", ""), SERVICE, SERVICE.replace(":http", ":80")])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_goes_through_with_its_path_and_its_body(http: HTTPClient, path: str, method: str) -> None:
    body = None if method in ("GET", "OPTIONS") else b"x" * 300_000
    answered = await http.send(method, f"{path}/a%20b/c?d=e&d=f", body, content="text/plain" if body else "")
    told = json.loads(answered.body)
    assert (answered.code, told["method"], told["path"]) == (200, method, "/a%20b/c?d=e&d=f")
    assert told["body"] == len(body or b"")


async def test_the_pod_learns_who_asked_and_nothing_of_the_callers_credentials(http: HTTPClient) -> None:
    sent = {"Authorization": "Basic c2VjcmV0", "X-Own": "kept", "Connection": "X-Hop"}
    answered = await http.send("GET", f"{POD}/x", None, **sent, **{"X-Hop": "dropped", "X-Forwarded-For": "192.0.2.1"})
    headers: dict[str, Any] = json.loads(answered.body)["headers"]
    assert not {"Authorization", "X-Hop"} & set(headers)
    assert headers["X-Own"] == "kept"
    assert headers["Host"] == "10.244.0.7:8080"
    assert headers["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
    assert headers["X-Forwarded-Uri"] == f"{POD}/x"


async def test_an_answer_comes_back_as_it_is(http: HTTPClient) -> None:
    answered = await http.send("GET", f"{POD}/teapot")
    assert (answered.code, answered.headers["X-Pot"]) == (418, "yes")


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/login", f"{POD}/login"),
        ("/login?a=b%23c", f"{POD}/login?a=b#c"),
        ("http://10.244.0.7:8080/login", f"{POD}/login"),
        ("http://elsewhere.test/login", "http://elsewhere.test/login"),
        ("login", "login"),
    ],
)
async def test_a_redirect_within_the_pod_leads_through_the_proxy(http: HTTPClient, to: str, location: str) -> None:
    async with http.open("GET", f"{POD}/away?to={to}") as answered:
        assert (answered.status, answered.headers["Location"]) == (302, location)


async def test_a_path_that_ends_at_the_proxy_is_sent_on_to_the_root(http: HTTPClient) -> None:
    async with http.open("GET", f"{POD}?a=b") as answered:
        assert (answered.status, answered.headers["Location"]) == (301, f"{POD}/?a=b")
    assert json.loads((await http.send("GET", f"{POD}/")).body)["path"] == "/"
    assert json.loads((await http.send("POST", POD, b"a", content="text/plain")).body)["path"] == "/"


async def test_a_websocket_goes_through(http: HTTPClient) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(f"{POD}/socket") as ws:
        for word in ("one", "two"):
            await ws.send_str(word)
            assert (await ws.receive_str()) == word.upper()
        await ws.close()


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (POD.replace("8080", "81"), 503, "error trying to reach service: connection refused"),
        (POD.replace("web", "none"), 404, 'pods "none" not found'),
        (POD.replace("web:8080", "waiting"), 400, "pod waiting does not have a host assigned"),
        (POD.replace("web", "ftp:web"), 400, 'invalid pod request "ftp:web:8080"'),
        (POD.replace("8080", "x"), 400, 'invalid pod request "web:x"'),
        (SERVICE.replace("http", "none"), 503, 'no endpoints available for service "web:none"'),
        (SERVICE.replace("http", "83"), 503, 'no service port "83" found for service "web"'),
        (SERVICE.replace("web", "none"), 404, 'services "none" not found'),
    ],
)
async def test_what_cannot_be_reached_is_a_status(http: HTTPClient, path: str, code: int, words: str) -> None:
    answered = await http.send("GET", f"{path}/")
    assert (answered.code, answered.json["kind"]) == (code, "Status")
    assert answered.json["message"].startswith(words)


async def test_who_may_not_is_refused(jane: HTTPClient, http: HTTPClient) -> None:
    for method, verb in (("GET", "get"), ("POST", "create"), ("DELETE", "delete")):
        answered = await jane.send(method, f"{POD}/")
        assert answered.code == 403
        assert f'cannot {verb} resource "pods/proxy"' in answered.json["message"]
    assert (await http.send("TRACE", f"{POD}/")).code == 405
    assert (await http.send("GET", POD.replace("/proxy", "%2Fproxy/x"))).code == 404


def test_names_of_targets() -> None:
    assert split("pods", "web") == ("http", "web", "")
    assert split("pods", "web:80") == ("http", "web", "80")
    assert split("services", "https:web:") == ("https", "web", "")
    for text in ("", ":80", "a:b:c:d", "ftp:web:80"):
        with pytest.raises(errors.BadRequest, match=f'invalid service request "{text}"'):
            split("services", text)


# --- nodes

KUBELET = f"/api/v1/nodes/{NODE}/proxy"


@pytest.mark.parametrize("path", ["/healthz", "/", "/a/b%20c"])
async def test_the_paths_of_a_kubelet(http: HTTPClient, path: str) -> None:
    answered = await http.send("GET", f"{KUBELET}{path}")
    assert (answered.code, answered.headers["Content-Type"]) == (200, "text/x-path")
    assert answered.body.decode() == path.replace("%20", " ")
    assert (await http.send("GET", KUBELET)).body == b"/"


async def test_a_kubelets_port_may_be_named_and_no_other_is_reached(
    http: HTTPClient, server: ApiServerInMemory
) -> None:
    node = server.get(NODES, NODE)
    assert node is not None
    port = node.status.daemonEndpoints.kubeletEndpoint.Port
    for name in (f"{NODE}:{port}", f"https:{NODE}:{port}"):
        assert (await http.send("GET", f"/api/v1/nodes/{name}/proxy/pods")).body == b"/pods"
    refused = await http.send("GET", f"/api/v1/nodes/{NODE}:22/proxy/")
    assert (refused.code, refused.json["reason"]) == (400, "BadRequest")
    assert f"only the port of its kubelet ({port})" in refused.json["message"]


async def test_what_is_wrong_with_a_request_to_a_kubelet(http: HTTPClient, jane: HTTPClient) -> None:
    assert (await http.send("GET", "/api/v1/nodes/none/proxy/healthz")).json["message"] == 'nodes "none" not found'
    assert (await http.send("POST", f"{KUBELET}/run", b"x", content="text/plain")).code == 405
    refused = await jane.send("GET", f"{KUBELET}/healthz")
    assert refused.code == 403
    assert 'cannot get resource "nodes/proxy" in API group ""' in refused.json["message"]
