"""What no program should send, and clients that are slow, or vanish: each gets its error, and the server goes on."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from kubelab.apiserver.httpfront import front, watches
from kubelab.apiserver.httpfront.front import HTTPFront
from tests.integration.httpfront.test_verbs import MAPS, config_map
from tests.support.apiserver import ApiServerInMemory
from tests.support.https import HTTPClient, context_of
from tests.support.pki import TestAuthority
from tests.support.polling import until_true

SECONDS = 60
UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; "
UNHANDLED = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '


@pytest.fixture
def context(http_authority: TestAuthority) -> ssl.SSLContext:
    files = http_authority.issue("kubernetes-admin", "system:masters")
    return context_of(files, files.ca)


@asynccontextmanager
async def connected(
    port: int, context: ssl.SSLContext
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # else the kernel takes many megabytes unread
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="localhost")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


GROWING = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
BROKEN: list[tuple[str, str | bytes, str, int, str]] = [
    ("nothing", "", "", 400, f"{UNRECOGNIZED}json parse error: unexpected end of JSON input (<empty>)"),
    ("cut off", '{"a', "", 400, f'{UNRECOGNIZED}json parse error: unexpected end of JSON input ({{"a)'),
    (
        "two values",
        "{}{}",
        "",
        400,
        f"{UNRECOGNIZED}json parse error: invalid character '{{' after top-level value ({{}}{{}})",
    ),
    (
        "text",
        "hello",
        "",
        400,
        f"{UNRECOGNIZED}json parse error: invalid character 'h' looking for beginning of value (68656c6c6f)",
    ),
    ("not utf-8", b'{"data":{"a":"\xff"}}', "", 400, UNRECOGNIZED),
    ("deeply nested", '{"data":' + "[" * 100_000 + "]" * 100_000 + "}", "", 400, UNRECOGNIZED),
    ("nested objects", '{"a":' * 100_000 + "1" + "}" * 100_000, "", 400, UNRECOGNIZED),
    ("a number of many digits", '{"data":{"a":' + "9" * 10_000 + "}}", "", 400, f"{UNHANDLED}json: cannot unmarshal"),
    ("half a surrogate pair", r'{"metadata":{"name":"a"},"data":{"a":"\ud800"}}', "", 201, ""),
    ("a zero", r'{"metadata":{"name":"a\u0000b"}}', "", 422, 'ConfigMap "a\x00b" is invalid: metadata.name: '),
    ("no kind", '{"kind":5}', "", 400, UNRECOGNIZED),
    ("list for object", '{"metadata":[]}', "", 400, f"{UNHANDLED}json: cannot unmarshal array into Go struct field"),
    ("too long", '{"data":{"a":"' + "x" * 3 * 2**20 + '"}}', "", 413, "Request entity too large: limit is 3145728"),
    ("too much data", '{"metadata":{"name":"a"},"data":{"a":"' + "x" * 2**21 + '"}}', "", 422, "ConfigMap"),
    ("html", "<html>", "text/html", 415, "the body of the request was in an unknown format - accepted media types"),
    ("yaml that is none", "a: b: c\n", "application/yaml", 400, "the object provided is unrecognized"),
    ("yaml that grows", GROWING, "application/yaml", 400, "the object provided is unrecognized"),
    ("no envelope", b"hello", "application/vnd.kubernetes.protobuf", 400, "the object provided is unrecognized"),
    ("half an envelope", b"k8s\0\x0a\x7f", "application/vnd.kubernetes.protobuf", 400, "the object provided is"),
    (
        "no message",
        b"k8s\0\x12\x02\x0a\x7f",
        "application/vnd.kubernetes.protobuf",
        400,
        "the object provided is unrecognized",
    ),
]


@pytest.mark.parametrize(("body", "content", "code", "message"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
async def test_bodies(http: HTTPClient, body: str | bytes, content: str, code: int, message: str) -> None:
    answer = await http.send("POST", MAPS, body, content=content)
    assert answer.code == code, answer.text[:500]
    if code >= 400:
        assert answer.json["message"].startswith(message)
        assert len(answer.body) < 100_000
    assert (await http.send("GET", MAPS)).code == 200


@pytest.mark.parametrize(
    "content", ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"]
)
@pytest.mark.parametrize(
    "body",
    ["", "{", "[", "null", "5", '"x"', "[5]", b"\xff\xfe", "[" * 50_000, '{"a":' * 50_000, '{"metadata":5}', "- a: b"],
)
async def test_patches(http: HTTPClient, content: str, body: str | bytes) -> None:
    await http.send("POST", MAPS, config_map("a", x="1"))
    answer = await http.send("PATCH", f"{MAPS}/a?fieldManager=x", body, content=f"application/{content}")
    assert answer.code in (200, 400, 413, 422), answer.text
    assert answer.json["kind"] in ("Status", "ConfigMap")
    assert (await http.send("GET", f"{MAPS}/a")).json["data"] == {"x": "1"}


async def test_a_body_of_another_length_than_it_says(port: int, context: ssl.SSLContext, http: HTTPClient) -> None:
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    async with asyncio.timeout(SECONDS), connected(port, context) as (_, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
        assert b" 400 " in await reader.readline()
    assert (await http.send("GET", MAPS)).json["items"] == []


async def test_a_chunked_body_without_an_end(port: int, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"
        for _ in range(13):  # a little more than 3 MiB
            writer.write(chunk)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "text",
    ["hello\r\n\r\n", "FROB / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n", "\r\n" * 50],
)
async def test_what_is_no_http(port: int, context: ssl.SSLContext, http: HTTPClient, text: str) -> None:
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.write(text.encode())
        if text.strip():
            head = await reader.readline()
            assert b" 400 " in head
    assert (await http.send("GET", "/version")).code == 200


async def test_a_body_that_does_not_come_in_time(
    port: int, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "BODY_SECONDS", 0.2)
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 504 ")


async def test_a_stranger_is_refused_before_its_body_is_read(
    port: int, http_authority: TestAuthority, server: ApiServerInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(server.api.audit, "add", kept.append)
    async with asyncio.timeout(SECONDS), connected(port, context_of(None, http_authority.ca)) as (reader, writer):
        writer.write(f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    assert [record["code"] for record in kept] == ["UNAUTHENTICATED"]


async def test_a_client_of_a_watch_that_takes_nothing_is_cut_off(
    port: int, context: ssl.SSLContext, http: HTTPClient, server: ApiServerInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "SEND_SECONDS", 0.5)
    cache = next(c for r, c in server.api.caches.items() if r.plural == "configmaps")
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue]
        writer.write(f"GET {MAPS}?watch=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await until_true(lambda: cache.watchers, within=SECONDS)
        number = 0
        while cache.watchers:
            await http.send("POST", MAPS, config_map(f"m{number}", x="y" * 500_000))
            number += 1
        del reader
    assert (await http.send("GET", f"{MAPS}?limit=1")).code == 200


async def test_a_client_that_does_not_take_its_answer_is_cut_off(
    port: int, context: ssl.SSLContext, http: HTTPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await http.send("POST", MAPS, config_map(f"m{number}", x="y" * 1_000_000))
    answer, ended = HTTPFront.__call__, list[BaseException]()

    async def watched(self: HTTPFront, raw: web.BaseRequest) -> web.StreamResponse:
        try:
            return await answer(self, raw)
        except ConnectionResetError as err:
            ended.append(err)
            raise

    monkeypatch.setattr(HTTPFront, "__call__", watched)
    monkeypatch.setattr(front, "SEND_SECONDS", 0.5)
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue]
        writer.write(f"GET {MAPS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await until_true(lambda: ended, within=SECONDS)
        del reader
    assert str(ended[0]) == "the client does not take its answer"
    monkeypatch.setattr(front, "SEND_SECONDS", 60.0)
    assert len((await http.send("GET", MAPS)).json["items"]) == 12


async def test_a_client_that_vanishes_in_an_answer(port: int, context: ssl.SSLContext, http: HTTPClient) -> None:
    for number in range(8):
        await http.send("POST", MAPS, config_map(f"m{number}", x="y" * 500_000))
    for _ in range(3):
        async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
            writer.write(f"GET {MAPS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readexactly(1000)
    assert len(json.loads((await http.send("GET", MAPS)).body)["items"]) == 8


async def test_several_requests_at_once_are_answered_in_order(port: int, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(SECONDS), connected(port, context) as (reader, writer):
        writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        first = await reader.readuntil(b"\r\n\r\n")
        length = int(first.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert b"gitVersion" in await reader.readexactly(length)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_long_urls(http: HTTPClient) -> None:
    values = ",".join("v" * 60 for _ in range(400))
    assert (await http.send("GET", f"{MAPS}?labelSelector=a%20in%20({values})")).code == 200
    assert (await http.send("GET", f"{MAPS}?labelSelector=" + "x" * 70_000)).code == 400
    assert (await http.send("GET", f"{MAPS}?labelSelector=" + "x" * 200_000)).code in (400, 414)
    for path in (f"{MAPS}/%2e%2e", f"{MAPS}/a%2Fb", "//api//v1//pods", f"{MAPS}/%ff"):
        assert (await http.send("GET", path)).code in (400, 404), path
