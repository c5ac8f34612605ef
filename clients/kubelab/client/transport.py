"""The transport below the client: how a request reaches an api-server.

:class:`Connections` uses gRPC. ``tests.support`` has another transport that answers from memory.

Calls run side by side. A connection is chosen per call, the same one as long as it is ready. When it is lost, has not
answered for a second (:mod:`kubelab.rpc.endpointhealth`) or says that it is about to end, another server's takes over.
A request is sent only over a connection that is ready. So a client knows before it sends anything that no server is
there, and may repeat a write; it may also repeat what a server refuses because it ends, or has too many requests
(after the time that it says), and what gRPC could not send because the connection was lost in that moment. Otherwise
only reads are repeated: the outcome of a write is unknown then, and the error says so.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message

from kubelab.apimachinery import grpcstatus
from kubelab.apimachinery.backoff import ExponentialBackoff, jittered
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import ApiError, Timeout, TooManyRequests, Unavailable, not_executed, was_not_executed
from kubelab.rpc import fencing, tracing, warnings
from kubelab.rpc.channels import TLSIdentity, TLSIdentityFiles, open_channel
from kubelab.rpc.connecterrors import never_sent, unreachable
from kubelab.rpc.endpointhealth import EndpointHealth
from kubelab.rpc.fencing import Fence

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

ATTEMPTS = 4  # of one call, the first included
REFUSED_ATTEMPTS = 7  # of a call that servers refuse before they execute it: about three seconds, enough for a restart
MAX_RETRY_AFTER = 8  # seconds between two attempts, whatever a server says
RETRY_BACKOFF = ExponentialBackoff(0.07, 2.0)
CONNECT_SECONDS = 2.0  # of a call that has no deadline of its own, for its only server to accept or refuse
CONNECT_ERROR_SECONDS = 1.0  # for gRPC to give the reason of a failed connection
FIRST_SLICE = (
    0.3  # seconds before the next of several is tried; the first one goes on connecting, and has more next time
)


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, A]):
    """One rpc of the contract: ``/kubelab.rpc.apiserver.v1.Resources/Get``. ``idempotent`` calls may be repeated."""

    path: str
    request: type[Q]
    answer: type[A]
    idempotent: bool = False


class Transport(Protocol):
    """The calls that a :class:`~kubelab.client.client.Client` needs. They raise ``ApiError``, no errors of gRPC."""

    async def unary(self, method: Method[Q, A], request: Q, *, timeout: float) -> A: ...

    def stream(
        self, method: Method[Q, A], request: Q, *, timeout: float | None = None, silence: float | None = None
    ) -> AsyncGenerator[A]: ...

    async def duplex(self, method: Method[Q, A]) -> grpc.aio.StreamStreamCall[Q, A]: ...

    async def close(self) -> None: ...


def translate(rpc: grpc.aio.AioRpcError) -> ApiError:
    """Give the typed error. A call that the other side cancelled is one whose server went away."""
    if rpc.code() is grpc.StatusCode.CANCELLED:
        return Unavailable(rpc.details() or "the server ended the call")
    return grpcstatus.from_rpc(rpc)


class ServerConnection:
    """One server's channel. It is opened at the first use.

    ``credentials`` gives what a channel is opened with now: where that has changed, a channel that is not connected is
    opened anew.
    """

    def __init__(
        self,
        target: str,
        open_channel: Callable[[str], grpc.aio.Channel],
        clock: Clock,
        credentials: Callable[[], object] = lambda: None,
    ) -> None:
        self.target = target
        self.health = EndpointHealth(clock)
        self._open, self._credentials = open_channel, credentials
        self._opened_with: object = None
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    @property
    def channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._opened_with = self._credentials()
            self._channel = self._open(self.target)
        return self._channel

    def ready(self) -> bool:
        """Say whether a request can go out now; asks an idle channel to connect."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    def is_suspect(self) -> bool:
        """Say whether other servers should be tried first: this connection has not answered for a while."""
        if not self.health.silent:
            return False
        if self._channel is None or self._channel.get_state() is not grpc.ChannelConnectivity.READY:
            self.health.reset()
            return False
        return True

    async def connect(self, seconds: float) -> bool:
        """Wait until the channel is ready; False when the server refuses or does not answer in so many seconds."""
        if self._channel is not None and self._credentials() is not self._opened_with:
            self._channel = None  # closed with its last call; closing it here would cancel tasks that await one
            self._calls.clear()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    state = self.channel.get_state(try_to_connect=True)
                    if state is grpc.ChannelConnectivity.READY:
                        return True
                    if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                        return False
                    await self.channel.wait_for_state_change(state)
        except TimeoutError:
            return False

    async def connect_error(self) -> str:
        """Return gRPC's reason why connecting failed; empty while it still connects.

        gRPC gives the reason only to a call. The call fails before anything is sent, or reaches a server that is back
        and calls a method that does not exist.
        """
        if self.channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            return ""
        try:
            await self.channel.unary_unary("/")(b"", timeout=CONNECT_ERROR_SECONDS)
        except grpc.aio.AioRpcError as rpc:
            return (rpc.details() or "") if rpc.code() is grpc.StatusCode.UNAVAILABLE else ""
        return ""

    def unary(self, method: Method[Q, A]) -> grpc.aio.UnaryUnaryMultiCallable[Q, A]:
        call = self._calls.get(method.path)
        if call is None:
            call = self._calls[method.path] = self.channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.answer.FromString,
            )
        return call

    def stream(self, method: Method[Q, A]) -> grpc.aio.UnaryStreamMultiCallable[Q, A]:
        call = self._calls.get(method.path)
        if call is None:
            call = self._calls[method.path] = self.channel.unary_stream(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.answer.FromString,
            )
        return call

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
            self._calls.clear()


class Connections:
    """Channels to one or several equivalent api-servers."""

    def __init__(
        self,
        targets: Sequence[str],
        open_channel: Callable[[str], grpc.aio.Channel],
        *,
        caller: str,
        clock: Clock | None = None,
        credentials: Callable[[], object] = lambda: None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        if not targets:
            raise ValueError("no server to connect to")
        self._clock = clock or SystemClock()
        self._servers = [ServerConnection(target, open_channel, self._clock, credentials) for target in targets]
        self._current = random.randrange(len(self._servers))  # spreads the callers over the servers
        self._caller, self._headers = caller, headers

    @classmethod
    def secure(
        cls,
        targets: Sequence[str],
        identity: TLSIdentity | TLSIdentityFiles,
        *,
        caller: str,
        clock: Clock | None = None,
        server_name: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Connections:
        """Connect with mutual TLS to every ``host:port``; with the certificate that the files hold at that moment.
        ``headers`` go along with every call."""

        def current() -> TLSIdentity:
            return identity.current() if isinstance(identity, TLSIdentityFiles) else identity

        return cls(
            targets,
            lambda target: open_channel(target, current(), server_name=server_name),
            caller=caller,
            clock=clock,
            credentials=current,
            headers=headers,
        )

    async def unary(self, method: Method[Q, A], request: Q, *, timeout: float) -> A:
        """Call and wait for the answer. ``timeout`` is in seconds and counts for each attempt."""
        attempt = 1
        while True:
            server = await self._ready_server(timeout)
            try:
                with server.health.calling():
                    call = server.unary(method)(request, timeout=timeout, metadata=self._metadata())
                    answer = await call
                if warnings.has_listener():
                    warnings.deliver_from(cast(Any, await call.trailing_metadata()))
                return answer
            except grpc.aio.AioRpcError as rpc:
                err = self._classify(server, rpc)
                if not self._may_retry(method, err, attempt):
                    raise err from rpc
            await self._back_off(attempt, err)
            attempt += 1

    async def stream(
        self, method: Method[Q, A], request: Q, *, timeout: float | None = None, silence: float | None = None
    ) -> AsyncGenerator[A]:
        """Call and yield the answers. The call ends with the generator: close it, or cancel the task.

        What ends before its first answer is repeated like any other call. After ``silence`` seconds without an answer
        the connection counts as lost: a server that is stuck still answers its keepalive pings.
        """
        attempt, begun = 1, False
        while True:
            server = await self._ready_server(CONNECT_SECONDS)
            call = server.stream(method)(request, timeout=timeout, metadata=self._metadata())
            try:
                while True:
                    async with self._clock.timeout(silence):
                        answer = await call.read()
                    if answer is grpc.aio.EOF:
                        return
                    begun = True
                    server.health.responded()
                    yield cast(A, answer)
            except (grpc.aio.AioRpcError, TimeoutError) as failure:
                err = self._classify(server, failure)
                if begun or not self._may_retry(method, err, attempt):
                    raise err from failure
            finally:
                call.cancel()
            await self._back_off(attempt, err)
            attempt += 1

    async def duplex(self, method: Method[Q, A]) -> grpc.aio.StreamStreamCall[Q, A]:
        """Begin a call with messages both ways. The caller owns it, and what it raises is gRPC's; Unavailable where no
        server takes it."""
        server = await self._ready_server(CONNECT_SECONDS)
        begin = server.channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        return begin(metadata=self._metadata())

    async def close(self) -> None:
        """Close every channel; calls that are under way end with Unavailable."""
        for server in self._servers:
            await server.close()

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (*tracing.outgoing(self._caller), *fencing.outgoing(), *self._headers)

    async def _ready_server(self, timeout: float) -> ServerConnection:
        """Find a server that is ready, or raise Unavailable: nothing was sent then."""
        attempt = 1
        while True:
            n = len(self._servers)
            order = [self._servers[(self._current + i) % n] for i in range(n)]
            slice_ = timeout if n == 1 else min(timeout, FIRST_SLICE * 2 ** (attempt - 1))
            for doubtful in (False, True):
                servers = [server for server in order if server.is_suspect() is doubtful]
                for server in servers:
                    if server.ready():
                        return self._use(server)
                for server in servers:
                    if await server.connect(slice_):
                        return self._use(server)
            if attempt == ATTEMPTS:
                raise unreachable([(server.target, await server.connect_error()) for server in self._servers])
            await self._clock.sleep(RETRY_BACKOFF.delay(attempt))
            attempt += 1

    def _use(self, server: ServerConnection) -> ServerConnection:
        self._current = self._servers.index(server)
        return server

    def _classify(self, server: ServerConnection, failure: grpc.aio.AioRpcError | TimeoutError) -> ApiError:
        """Give the error, and prefer another server after one that gave no answer or that is about to end."""
        if isinstance(failure, TimeoutError):
            err: ApiError = Unavailable(f"the server {server.target} has stopped answering")
        elif never_sent(failure):  # its connection was lost after it was chosen
            err = not_executed(failure.details() or "")
        else:
            err = translate(failure)
        if isinstance(err, Unavailable):
            server.health.suspect()  # a call notices a lost connection before its channel does
        if not isinstance(err, (Unavailable, Timeout)):
            server.health.responded()
        elif self._servers[self._current] is server:
            self._current = (self._current + 1) % len(self._servers)
        return err

    def _may_retry(self, method: Method[Any, Any], err: ApiError, attempt: int) -> bool:
        """Say whether a call that failed is made again: it only reads, or surely nothing was done."""
        if was_not_executed(err):
            return attempt < (ATTEMPTS if isinstance(err, TooManyRequests) else REFUSED_ATTEMPTS)
        if attempt >= ATTEMPTS:
            return False
        if isinstance(err, Timeout):  # one that the server tells: it is behind, and another one perhaps is not
            return method.idempotent and err.retry_after_seconds > 0 and attempt < len(self._servers)
        return method.idempotent and isinstance(err, Unavailable)

    async def _back_off(self, attempt: int, err: ApiError) -> None:
        """Wait before a repetition, unless there is a server that was not asked yet; after TooManyRequests at least as
        long as the server says, within bounds."""
        if isinstance(err, TooManyRequests):
            await self._clock.sleep(jittered(min(err.retry_after_seconds, MAX_RETRY_AFTER)))
        elif attempt >= len(self._servers):
            await self._clock.sleep(RETRY_BACKOFF.delay(attempt))


class FencedTransport:
    """A transport whose writes carry a fence. ``fence`` gives it, or raises when the time of leading is over."""

    def __init__(self, transport: Transport, fence: Callable[[], Fence]) -> None:
        self._transport, self._fence = transport, fence

    async def unary(self, method: Method[Q, A], request: Q, *, timeout: float) -> A:
        if method.idempotent:  # it reads
            return await self._transport.unary(method, request, timeout=timeout)
        with fencing.sending(self._fence()):
            return await self._transport.unary(method, request, timeout=timeout)

    def stream(
        self, method: Method[Q, A], request: Q, *, timeout: float | None = None, silence: float | None = None
    ) -> AsyncGenerator[A]:
        return self._transport.stream(method, request, timeout=timeout, silence=silence)

    async def duplex(self, method: Method[Q, A]) -> grpc.aio.StreamStreamCall[Q, A]:
        return await self._transport.duplex(method)

    async def close(self) -> None:
        """Nothing: the connections are the unfenced client's."""
