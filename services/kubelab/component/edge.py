"""The outermost layer of every gRPC server: it authorises callers and turns exceptions into statuses, for all services.

- Where the server has an authoriser, a caller who may not is answered UNAUTHENTICATED or PERMISSION_DENIED.
- A request that is no message of its method's type is answered INVALID_ARGUMENT (reason BadRequest), without a
  traceback. gRPC itself answers UNKNOWN and logs one. protobuf bounds the depth of what it decodes (100 messages), the
  server's options bound the length.
- An :class:`~kubelab.apimachinery.errors.ApiError` or a :class:`~kubelab.rpc.statuserror.StatusError` that a method
  raises is answered with its status.
- Any other exception is a bug: it is logged with its traceback, counted (``kubelab_bugs_total``) and answered INTERNAL.

Methods are wrapped when they are added, so that a request costs one call more and no interceptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError

from kubelab.apimachinery import errors, grpcstatus
from kubelab.apimachinery.clock import SystemClock
from kubelab.client import runtimeerrors
from kubelab.rpc.statuserror import StatusError

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]
DRAIN_SECONDS = 30.0  # for what a client still sends to a method that has failed,
PAUSE_SECONDS = 0.5  # as long as it sends something
_PASS = (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError)


class _Unreadable:
    """Stands for a request that could not be decoded, until the method's wrapper answers it."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message


Check = Callable[[str, Context], None]
"""Called with a method and a call's context before the method runs; raises for a forbidden caller."""


class Edge:
    """Stands in for the server while services are added. ``names`` are the services, for reflection; ``check`` is made
    before each call."""

    def __init__(self, server: grpc.aio.Server, check: Check | None = None) -> None:
        self._server: Any = server
        self._check = check
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._server.add_generic_rpc_handlers(tuple(_Guarded(handler, self._check) for handler in handlers))

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Note the service. grpc.aio finds methods by the generic handlers alone."""
        del handlers
        self.names.append(service)


class _Guarded(grpc.GenericRpcHandler):
    """The methods of one service, each wrapped at its first call."""

    def __init__(self, inner: Any, check: Check | None) -> None:
        self._inner, self._check = inner, check
        self._guarded_methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        guarded = self._guarded_methods.get(handler_call_details.method)
        if guarded is None:
            handler: Any = self._inner.service(handler_call_details)
            if handler is None:
                return None
            guarded = self._guarded_methods[handler_call_details.method] = guard(
                handler, handler_call_details.method, self._check
            )
        return guarded


def guard(handler: Any, method: str, check: Check | None = None) -> grpc.RpcMethodHandler[Any, Any]:
    """Wrap a method's deserializer and behaviour."""
    read, write = _deserializer(handler.request_deserializer), handler.response_serializer
    if handler.request_streaming and handler.response_streaming:
        behaviour = _stream(_checked(handler.stream_stream), method, check)
        return grpc.stream_stream_rpc_method_handler(behaviour, read, write)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(_unary(_checked(handler.stream_unary), method, check), read, write)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream, method, check), read, write)
    return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary, method, check), read, write)


def _deserializer(decode: Any) -> Callable[[bytes], Any]:
    owner = getattr(decode, "__self__", None)  # of MESSAGE.FromString
    name = owner.DESCRIPTOR.full_name if owner is not None and hasattr(owner, "DESCRIPTOR") else "the method's type"
    message = f"the request is no message of {name}: it cannot be decoded as protobuf"

    def read(raw: bytes) -> Any:
        try:
            return decode(raw)
        except (DecodeError, RecursionError, ValueError):
            return _Unreadable(message)

    return read


def _unary(behaviour: Any, method: str, check: Check | None) -> Any:
    async def answer(request: Any, context: Context) -> Any:
        try:
            if check is not None:
                check(method, context)
            if type(request) is _Unreadable:
                raise errors.BadRequest(request.message)
            return await behaviour(request, context)
        except _PASS:
            raise
        except Exception as err:  # noqa: BLE001 — recorded in _answer
            await _answer(err, context, method)

    return answer


def _stream(behaviour: Any, method: str, check: Check | None) -> Any:
    """A method that yields its answers, or writes them itself."""
    if not inspect.isasyncgenfunction(behaviour):
        return _unary(behaviour, method, check)

    async def answers(request: Any, context: Context) -> AsyncGenerator[Any]:
        try:
            if check is not None:
                check(method, context)
            if type(request) is _Unreadable:
                raise errors.BadRequest(request.message)
        except errors.ApiError as err:
            await _answer(err, context, method)
        inner: AsyncGenerator[Any] = behaviour(request, context)
        try:
            async for answer in inner:
                yield answer
        except _PASS:
            raise
        except Exception as err:  # noqa: BLE001 — recorded in _answer
            await _answer(err, context, method)
        finally:
            await inner.aclose()

    return answers


def _checked(behaviour: Any) -> Any:
    """Let a method with a stream of requests see BadRequest in the place of one that cannot be decoded.

    What a client still sends when the method fails is read and dropped, for a while: a grpc.aio client whose write
    meets a call that is over tells its user ``Internal error from Core`` instead of the server's answer.
    """

    async def read(requests: AsyncIterator[Any]) -> AsyncGenerator[Any]:
        async for request in requests:
            if type(request) is _Unreadable:
                raise errors.BadRequest(request.message)
            yield request

    if inspect.isasyncgenfunction(behaviour):

        async def stream(requests: AsyncIterator[Any], context: Context) -> AsyncGenerator[Any]:
            answers: AsyncGenerator[Any] = behaviour(read(requests), _Draining(context, requests))
            try:
                async for answer in answers:
                    yield answer
            except Exception:
                await _drain(requests)
                raise
            finally:
                await answers.aclose()

        return stream

    async def unary(requests: AsyncIterator[Any], context: Context) -> Any:
        try:
            return await behaviour(read(requests), _Draining(context, requests))
        except Exception:
            await _drain(requests)
            raise

    return unary


class _Draining:
    """The context of a call with a stream of requests: it hears the client out before it ends the call."""

    def __init__(self, context: Context, requests: AsyncIterator[Any]) -> None:
        self._context, self._requests = context, requests

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(self, *arguments: Any) -> NoReturn:
        await _drain(self._requests)
        await self._context.abort(*arguments)


async def _drain(requests: AsyncIterator[Any]) -> None:
    """Read what is still coming, until it pauses, ends, or takes too long."""
    clock = SystemClock()
    with contextlib.suppress(TimeoutError, StopAsyncIteration):
        async with clock.timeout(DRAIN_SECONDS):
            while True:
                async with clock.timeout(PAUSE_SECONDS):
                    await anext(requests)


async def _answer(err: Exception, context: Context, method: str) -> None:
    """End a call with the status of what a method raised."""
    if isinstance(err, grpc.aio.InternalError) and context.done():
        raise err  # the method ended after its caller was gone: gRPC has no call to answer, and drops this
    if isinstance(err, NotImplementedError) and context.code() is grpc.StatusCode.UNIMPLEMENTED:
        # What protoc generates does this for a method that a servicer leaves out, such as Health/List.
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")
    if isinstance(err, StatusError):
        await context.abort(err.code, errors.encodable(err.message))
    if not isinstance(err, errors.ApiError):
        runtimeerrors.handle_error(log, "rpc", method)
        err = errors.InternalError(f"Internal error occurred: {type(err).__name__}")
    await context.abort(*grpcstatus.to_rpc(err))
