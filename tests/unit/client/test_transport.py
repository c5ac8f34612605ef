"""The client over real gRPC with TLS: errors, fail-over, what is repeated and what never is."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.scheme import PODS
from kubelab.client.client import Client, Event, EventType
from kubelab.client.kubeconfig import Access
from kubelab.client.transport import ATTEMPTS, Connections
from kubelab.rpc import tracing
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.apiserver.v1.apiserver_pb2_grpc import ResourcesServicer, add_ResourcesServicer_to_server
from kubelab.rpc.channels import SERVER_OPTIONS, TLSIdentity, server_credentials
from kubelab.rpc.connecterrors import unreachable, why_unreachable
from tests.support.answering import answering
from tests.support.clock import FakeClock
from tests.support.pki import TestAuthority

WEB = core_pb2.Pod(metadata=meta_pb2.ObjectMeta(name="web", namespace="default", resourceVersion="5"))


class Servicer(ResourcesServicer):
    """Answers with one pod, or fails as told; remembers the calls."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.seen: list[tuple[str, tracing.Incoming]] = []
        self.fail: Callable[[], errors.ApiError | None] = lambda: None
        self.stuck = self.stuck_after = False

    @contextlib.asynccontextmanager
    async def _answering(self, verb: str, context: Any) -> AsyncGenerator[None]:
        self.seen.append((verb, tracing.incoming(context.invocation_metadata())))
        self.asked.set()
        async with answering(context):
            if (error := self.fail()) is not None:
                raise error
            yield

    async def Get(self, request: pb.GetRequest, context: Any) -> pb.ObjectResponse:
        async with self._answering("get", context):
            return pb.ObjectResponse(object=scheme.pack(WEB))
        raise AssertionError

    async def Create(self, request: pb.CreateRequest, context: Any) -> pb.ObjectResponse:
        async with self._answering("create", context):
            return pb.ObjectResponse(object=request.object)
        raise AssertionError

    async def Watch(self, request: pb.WatchRequest, context: Any) -> AsyncIterator[pb.WatchEvent]:
        async with self._answering("watch", context):
            if self.stuck:
                await asyncio.Event().wait()
            yield pb.WatchEvent(type=pb.WatchEvent.ADDED, object=scheme.pack(WEB), resource_version="5")
            yield pb.WatchEvent(type=pb.WatchEvent.BOOKMARK, resource_version="9")
            if self.stuck_after:
                await asyncio.Event().wait()
            raise errors.Expired("too old resource version: 5 (8)")

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListResponse:
        raise NotImplementedError

    Update = Patch = Delete = DeleteCollection = List  # pyright: ignore[reportAssignmentType]


class Server:
    def __init__(self, authority: TestAuthority) -> None:
        files = authority.issue("kube-apiserver")
        self._identity = TLSIdentity.from_files(files.ca, files.certificate, files.key)
        self.servicer = Servicer()
        self.port = 0
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        add_ResourcesServicer_to_server(self.servicer, self._server)
        self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", server_credentials(self._identity))
        await self._server.start()

    async def stop(self) -> None:
        assert self._server is not None
        await self._server.stop(0)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def server(authority: TestAuthority) -> AsyncIterator[Server]:
    server = Server(authority)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def other(authority: TestAuthority) -> AsyncIterator[Server]:
    server = Server(authority)
    await server.start()
    yield server
    await server.stop()


def connect(authority: TestAuthority, *servers: Server, clock: FakeClock | None = None) -> Client:
    files = authority.issue("kubernetes-admin", "system:masters")
    access = Access(
        servers=tuple(server.target for server in servers),
        ca=files.ca.read_bytes(),
        certificate=files.certificate.read_bytes(),
        key=files.key.read_bytes(),
    )
    return Client.from_kubeconfig(access, caller="kctl", clock=clock or FakeClock(auto=True))


async def lost(client: Client, server: Server) -> None:
    """The client's channel has noticed: until then a write may be on its way, and nobody knows what becomes of it."""
    channel = next(one for one in cast(Any, client)._transport._servers if one.target == server.target).channel
    async with asyncio.timeout(20):
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)


async def test_a_call_carries_trace_caller_and_cause(authority: TestAuthority, server: Server) -> None:
    async with connect(authority, server) as client:
        with tracing.root() as here, tracing.cause("4"):
            pod = await client.get(PODS, "web", "default")
    assert pod == WEB
    ((verb, told),) = server.servicer.seen
    assert (verb, told.caller, told.cause) == ("get", "kctl", "4")
    assert told.span is not None
    assert told.span.trace_id == here.trace_id


@pytest.mark.parametrize("error", [errors.not_found("pods", "web"), errors.conflict("pods", "web", "modified")])
async def test_errors_come_back_as_they_were_raised(
    authority: TestAuthority, server: Server, error: errors.ApiError
) -> None:
    server.servicer.fail = lambda: error
    async with connect(authority, server) as client:
        with pytest.raises(type(error)) as caught:
            await client.get(PODS, "web", "default")
    assert (caught.value.message, caught.value.name) == (error.message, "web")


async def test_a_read_is_repeated_a_few_times_and_a_write_never(authority: TestAuthority, server: Server) -> None:
    server.servicer.fail = lambda: errors.Unavailable("etcd is away")
    async with connect(authority, server) as client:
        with pytest.raises(errors.Unavailable):
            await client.get(PODS, "web", "default")
        assert [verb for verb, _ in server.servicer.seen] == ["get"] * ATTEMPTS
        server.servicer.seen.clear()
        with pytest.raises(errors.Unavailable):
            await client.create(WEB)
        assert [verb for verb, _ in server.servicer.seen] == ["create"]


async def test_a_read_that_failed_once_succeeds(authority: TestAuthority, server: Server) -> None:
    failures = [errors.Unavailable("etcd is away")]
    server.servicer.fail = lambda: failures.pop() if failures else None
    async with connect(authority, server) as client:
        assert await client.get(PODS, "web", "default") == WEB


async def test_what_a_server_has_too_many_requests_for_is_sent_again_when_it_says(
    authority: TestAuthority, server: Server
) -> None:
    """Writes too, for nothing came of it; a budget's refusal, which says no such thing, is the caller's business."""
    clock = FakeClock(auto=True)
    failures: list[errors.ApiError] = [errors.too_many_requests("Too many requests, please try again later.", 3)]
    server.servicer.fail = lambda: failures.pop() if failures else None
    async with connect(authority, server, clock=clock) as client:
        assert await client.create(WEB) == WEB
        assert len(server.servicer.seen) == 2
        assert 3.0 <= clock.monotonic() <= 4.5
        failures += [errors.too_many_requests("Too many requests, please try again later.", 30)] * (ATTEMPTS + 1)
        server.servicer.seen.clear()
        with pytest.raises(errors.TooManyRequests, match="try again later"):
            await client.get(PODS, "web", "default")
        assert len(server.servicer.seen) == ATTEMPTS
        assert clock.monotonic() <= 4.5 + 12 * ATTEMPTS
        failures.clear()
        failures.append(errors.TooManyRequests("Cannot evict pod", retry_after_seconds=10))
        with pytest.raises(errors.TooManyRequests, match="Cannot evict"):
            await client.create(WEB)


async def test_nobody_there_is_unavailable(authority: TestAuthority, server: Server) -> None:
    async with connect(authority, server) as client:
        await server.stop()
        with pytest.raises(errors.Unavailable, match="refused"):
            await client.create(WEB)
    await server.start()


async def refusal(authority: TestAuthority, target: str, **changed: Any) -> errors.Unavailable:
    """Fail to write something to a server, with an access of which something was changed."""
    files = authority.issue("kubernetes-admin", "system:masters")
    pem = files.ca.read_bytes(), files.certificate.read_bytes(), files.key.read_bytes()
    access = dataclasses.replace(Access((target,), *pem), **changed)
    async with Client.from_kubeconfig(access, caller="kctl", clock=FakeClock(auto=True)) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.create(WEB)
    return caught.value


UNTRUSTED = "tls: failed to verify certificate: x509: "


async def test_why_a_server_cannot_be_reached(authority: TestAuthority, server: Server, tmp_path: Path) -> None:
    stranger = TestAuthority(tmp_path).issue("kubernetes-admin")
    theirs = {"certificate": stranger.certificate.read_bytes(), "key": stranger.key.read_bytes()}
    rejected = "EOF: the server ended the connection; it may not accept the client's certificate"
    for changed, why in (
        ({"ca": stranger.ca.read_bytes()}, f"{UNTRUSTED}certificate signed by unknown authority"),
        ({"server_name": "example.com"}, f"{UNTRUSTED}certificate is not valid for the server's name"),
        (theirs, rejected),
        ({"certificate": b"", "key": b""}, rejected),
        ({"ca": b"no PEM"}, "tls: failed to find any PEM data in certificate or key input"),
        ({"servers": ("nobody.invalid:6443",)}, "dial tcp: lookup nobody.invalid: no such host"),
    ):
        err = await refusal(authority, server.target, **changed)
        assert (err.message, why_unreachable(err)) == (f"unable to connect to the server: {why}", why)
    assert server.servicer.seen == []


async def test_servers_that_speak_no_tls_or_nothing(authority: TestAuthority) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    http = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with http:
        err = await refusal(authority, f"127.0.0.1:{http.sockets[0].getsockname()[1]}")
    assert why_unreachable(err) == "tls: first record does not look like a TLS handshake"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        err = await refusal(authority, f"127.0.0.1:{silent.getsockname()[1]}")
    assert why_unreachable(err) == "net/http: TLS handshake timeout"


def test_why_each_of_several_servers_cannot_be_reached() -> None:
    refused = "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: Connection refused"
    err = unreachable([("a:1", refused), ("b:2", refused)])
    assert (err.message, why_unreachable(err)) == ("the connection to the server a:1, b:2 was refused", "")
    err = unreachable([("a:1", refused), ("b:2", ""), ("c:3", "last error: something new")])
    assert why_unreachable(err) == "a:1: connection refused; b:2: dial tcp b:2: i/o timeout; c:3: something new"


async def test_when_one_server_goes_the_other_takes_over_writes_too(
    authority: TestAuthority, server: Server, other: Server
) -> None:
    async with connect(authority, server, other) as client:
        await client.get(PODS, "web", "default")
        first, second = (server, other) if server.servicer.seen else (other, server)
        await first.stop()
        await lost(client, first)
        for _ in range(3):
            assert await client.create(WEB) == WEB
        assert [verb for verb, _ in second.servicer.seen] == ["create"] * 3
        await first.start()


async def test_a_write_that_waited_for_a_connection_in_vain_is_made_elsewhere(
    authority: TestAuthority, server: Server, other: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel was ready when it was chosen, and was lost before the request was sent."""
    async with connect(authority, server, other) as client:
        await server.stop()
        order = iter([0, 1])

        async def connected(self: Any, timeout: float) -> Any:
            return self._use(self._servers[next(order)])

        monkeypatch.setattr(Connections, "_ready_server", connected)
        assert await client.create(WEB) == WEB
        assert [verb for verb, _ in other.servicer.seen] == ["create"]
        await server.start()


async def test_words_that_a_server_hands_on_say_nothing_of_the_connection_to_it(
    authority: TestAuthority, server: Server
) -> None:
    server.servicer.fail = lambda: errors.Unavailable("failed to connect to all addresses; last error: of etcd")
    async with connect(authority, server) as client:
        with pytest.raises(errors.Unavailable):
            await client.create(WEB)
        assert [verb for verb, _ in server.servicer.seen] == ["create"]


async def test_a_server_that_comes_back_is_found_again(authority: TestAuthority, server: Server) -> None:
    async with connect(authority, server) as client:
        await client.get(PODS, "web", "default")
        await server.stop()
        with pytest.raises(errors.Unavailable):
            await client.get(PODS, "web", "default")
        await server.start()
        while True:  # the channel tries again within two seconds
            with contextlib.suppress(errors.Unavailable):
                assert await client.get(PODS, "web", "default") == WEB
                break


async def test_a_watch_yields_events_and_ends_with_the_servers_error(authority: TestAuthority, server: Server) -> None:
    async with connect(authority, server, clock=FakeClock()) as client:
        seen: list[tuple[EventType, str, str]] = []

        async def follow() -> None:
            async for event in client.watch(PODS, resource_version="3"):
                name = event.object.metadata.name if event.object else ""
                seen.append((event.type, name, event.resource_version))

        with pytest.raises(errors.Expired):
            await follow()
    assert seen == [(EventType.ADDED, "web", "5"), (EventType.BOOKMARK, "", "9")]


async def test_a_watch_of_a_server_that_is_stuck_is_taken_to_another(
    authority: TestAuthority, server: Server, other: Server
) -> None:
    """A server whose event loop is stuck still answers keepalive pings: nothing else would tell."""
    clock = FakeClock()
    server.servicer.stuck = other.servicer.stuck = True
    async with connect(authority, server, other, clock=clock) as client, asyncio.TaskGroup() as group:
        events = client.watch(PODS, resource_version="3")
        first = group.create_task(anext(events))
        asked = [group.create_task(s.servicer.asked.wait()) for s in (server, other)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        stuck, well = (server, other) if server.servicer.seen else (other, server)
        well.servicer.stuck = False
        await clock.advance(149)
        assert not well.servicer.seen
        await clock.advance(2)
        assert (await first).resource_version == "5"
        assert [len(s.servicer.seen) for s in (stuck, well)] == [1, 1]
        await events.aclose()


async def test_a_watch_that_falls_silent_later_is_lost(authority: TestAuthority, server: Server) -> None:
    clock = FakeClock()
    server.servicer.stuck_after = True
    async with connect(authority, server, clock=clock) as client, asyncio.TaskGroup() as group:
        events = client.watch(PODS, resource_version="3")
        assert [(await anext(events)).resource_version for _ in range(2)] == ["5", "9"]
        third = group.create_task(_error_of(events))
        await clock.settle()
        await clock.advance(151)
        assert isinstance(await third, errors.Unavailable)


async def _error_of(events: AsyncGenerator[Event[core_pb2.Pod]]) -> BaseException | None:
    (result,) = await asyncio.gather(anext(events), return_exceptions=True)
    return result if isinstance(result, BaseException) else None


async def test_a_caller_without_a_certificate_is_not_served(authority: TestAuthority, server: Server) -> None:
    files = authority.issue("nobody")
    access = Access(servers=(server.target,), ca=files.ca.read_bytes(), certificate=b"", key=b"")
    async with Client.from_kubeconfig(access, caller="kctl", clock=FakeClock(auto=True)) as client:
        with pytest.raises(errors.Unavailable):
            await client.get(PODS, "web", "default")
    assert server.servicer.seen == []
