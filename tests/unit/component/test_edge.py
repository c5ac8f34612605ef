"""The edge of a server: what a caller sends wrongly is the caller's mistake, what a method does wrongly is a bug."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import errors, grpcstatus
from kubelab.client import runtimeerrors
from kubelab.component.serving import Health, serve_grpc
from kubelab.rpc.statuserror import StatusError

REQUEST, ANSWER = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
BROKEN = b"\x0a\xff\xff"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream", "writing")


class Service:
    """One method of each kind. What it is sent decides what it does."""

    def add_to(self, server: Any) -> None:
        handlers = {
            "unary_unary": grpc.unary_unary_rpc_method_handler(self.one, REQUEST.FromString),
            "unary_stream": grpc.unary_stream_rpc_method_handler(self.many, REQUEST.FromString),
            "stream_unary": grpc.stream_unary_rpc_method_handler(self.of_many, REQUEST.FromString),
            "stream_stream": grpc.stream_stream_rpc_method_handler(self.many_of_many, REQUEST.FromString),
            "writing": grpc.unary_stream_rpc_method_handler(self.writing, REQUEST.FromString),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
        server.add_registered_method_handlers("test.Test", handlers)

    def __init__(self) -> None:
        self.waiting, self.over = asyncio.Event(), asyncio.Event()

    async def one(self, request: Any, context: Any) -> bytes:
        try:
            return act(request)
        except Waiting:
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await context.abort(grpc.StatusCode.NOT_FOUND, "as a server's own gate does")
                raise AssertionError("abort raises") from None
            finally:
                self.over.set()
            raise AssertionError("it was cancelled") from None

    async def many(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        yield act(request)

    async def of_many(self, requests: AsyncIterator[Any], context: Any) -> bytes:
        return b"".join([act(request) async for request in requests])

    async def many_of_many(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield act(request)

    async def writing(self, request: Any, context: Any) -> None:
        await context.write(act(request))


class Waiting(Exception):
    """A method is to wait until its caller has gone."""


def act(request: Any) -> bytes:
    match request.service:
        case "missing":
            raise errors.not_found("pods", "half a pair: \udc80")
        case "full":
            raise StatusError("half a pair: \udc80", grpc.StatusCode.RESOURCE_EXHAUSTED)
        case "gone":
            raise Waiting
        case "bug":
            raise ValueError("of no concern to the caller")
        case _:
            return b"done"


async def call(channel: grpc.aio.Channel, kind: str, raw: bytes, method: str = "") -> grpc.StatusCode:
    """Call a method with bytes; OK, or the status with which it ended."""
    shape = "unary_stream" if kind == "writing" else kind
    stub: Any = getattr(channel, shape)(f"/test.Test/{method or kind}")
    asked: Any = iter([raw]) if shape.startswith("stream") else raw
    try:
        called = stub(asked, timeout=10)
        if shape.endswith("stream"):
            _ = [answer async for answer in called]
        else:
            await called
    except grpc.aio.AioRpcError as err:
        told = grpcstatus.from_rpc(err)
        assert told.message
        return err.code()
    return grpc.StatusCode.OK


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def channel(tmp_path: Path, service: Service) -> AsyncIterator[grpc.aio.Channel]:
    address = f"unix:{tmp_path}/s"
    async with (
        serve_grpc(address, [service.add_to], tls=None, health=Health()),
        grpc.aio.insecure_channel(address) as opened,
    ):
        yield opened


@pytest.mark.parametrize("kind", KINDS)
async def test_what_cannot_be_decoded_is_the_caller_s_mistake(
    channel: grpc.aio.Channel, kind: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    before = runtimeerrors.counts()
    assert await call(channel, kind, BROKEN) is grpc.StatusCode.INVALID_ARGUMENT
    assert await call(channel, kind, REQUEST(service="web").SerializeToString()) is grpc.StatusCode.OK
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in "".join(capsys.readouterr())
    assert runtimeerrors.counts() == before


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_of_the_api_keeps_its_status(channel: grpc.aio.Channel, kind: str) -> None:
    assert await call(channel, kind, REQUEST(service="missing").SerializeToString()) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bare_status_is_answered_as_it_is(channel: grpc.aio.Channel, kind: str) -> None:
    before = runtimeerrors.counts()
    assert await call(channel, kind, REQUEST(service="full").SerializeToString()) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert runtimeerrors.counts() == before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bug_is_logged_counted_and_answered_internal(
    channel: grpc.aio.Channel, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runtimeerrors.set_strict(False)  # as in production
    before = runtimeerrors.counts().get("rpc", 0)
    assert await call(channel, kind, REQUEST(service="bug").SerializeToString()) is grpc.StatusCode.INTERNAL
    assert runtimeerrors.counts()["rpc"] == before + 1
    assert "ValueError" in "".join(capsys.readouterr())


async def test_an_error_that_its_caller_does_not_wait_for_any_more_is_no_bug(
    channel: grpc.aio.Channel, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    runtimeerrors.set_strict(False)
    before = runtimeerrors.counts()
    stub: Any = channel.unary_unary("/test.Test/unary_unary")
    called = stub(REQUEST(service="gone").SerializeToString())
    await service.waiting.wait()
    called.cancel()
    await service.over.wait()
    assert await call(channel, "unary_unary", REQUEST(service="web").SerializeToString()) is grpc.StatusCode.OK
    assert runtimeerrors.counts() == before
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("path", ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"])
async def test_health_answers_what_cannot_be_decoded(channel: grpc.aio.Channel, path: str) -> None:
    stub: Any = channel.unary_stream(f"/{path}")
    with pytest.raises(grpc.aio.AioRpcError) as told:
        _ = [answer async for answer in stub(BROKEN, timeout=10)]
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_reflection_answers_what_cannot_be_decoded(channel: grpc.aio.Channel) -> None:
    stub: Any = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    with pytest.raises(grpc.aio.AioRpcError) as told:
        _ = [answer async for answer in stub(iter([BROKEN]), timeout=10)]
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_who_still_sends_hears_the_answer_all_the_same(channel: grpc.aio.Channel, kind: str) -> None:
    """grpc.aio's client says ``Internal error from Core`` when a write of its meets a call that is over."""
    raw = [REQUEST(service="missing").SerializeToString(), *[b"x" * 50_000] * 40]
    for _ in range(20):
        stub: Any = getattr(channel, kind)(f"/test.Test/{kind}")
        called = stub(iter(raw), timeout=20)
        assert await called.code() is grpc.StatusCode.NOT_FOUND


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_can_be_told(text: str) -> None:
    error = errors.invalid("Pod", text, [errors.Cause(text, text)])
    code, message, _ = grpcstatus.to_rpc(error)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    message.encode()
