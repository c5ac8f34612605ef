"""Exec and Attach of the CRI: a URL for one connection, for the streams of a command or a container's own."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import grpc

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import exitstatus
from kubelab.apimachinery.clock import Clock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.errors import CRIError
from kubelab.runtime.launcher.client import Launcher
from kubelab.runtime.pods.containers import Containers
from kubelab.runtime.streaming import attachment, execution
from kubelab.runtime.streaming.server import StreamingServer
from kubelab.spdy.connection import Connection, Stream
from kubelab.spdy.remotecommand import PROTOCOL, Wanted, accepted
from kubelab.streams.concurrency import until_first

Run = Callable[[Mapping[str, Stream]], Awaitable[meta_pb2.Status]]
"""Serves streams, by name, and gives what the error stream is told at last."""


class RemoteCommands:
    """See the module."""

    def __init__(self, containers: Containers, launcher: Launcher, server: StreamingServer, clock: Clock) -> None:
        self._containers, self._launcher, self._server, self._clock = containers, launcher, server, clock

    def exec(self, request: cri.ExecRequest) -> str:
        """Give the URL. CRIError INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION for a container that does not run."""
        wanted = _wanted(request)
        if not request.cmd:
            raise CRIError("cmd: expected a command", grpc.StatusCode.INVALID_ARGUMENT)
        name = self._containers.running(request.container_id).id

        async def run(streams: Mapping[str, Stream]) -> meta_pb2.Status:
            try:
                described = self._containers.exec_request(self._containers.running(name), request.cmd)
            except CRIError as err:
                return exitstatus.failed(f"error executing command in container: {err}")
            return await execution.run(self._launcher, described, streams)

        return self._server.offer("exec", (PROTOCOL,), partial(self._serve, wanted, run))

    def attach(self, request: cri.AttachRequest) -> str:
        """Give the URL, as for exec."""
        wanted = _wanted(request)
        container = self._containers.running(request.container_id)

        async def run(streams: Mapping[str, Stream]) -> meta_pb2.Status:
            try:
                await attachment.run(container.folder, container.config, streams)
            except ConnectionError as err:
                return exitstatus.failed(f"error attaching to container: {err}")
            return exitstatus.exited(0)

        return self._server.offer("attach", (PROTOCOL,), partial(self._serve, wanted, run))

    async def _serve(self, wanted: Wanted, run: Run, connection: Connection) -> None:
        streams = await accepted(connection, wanted, self._clock)
        await until_first(_answer(run, streams), _gone(connection))


async def _answer(run: Run, streams: Mapping[str, Stream]) -> None:
    status = await run(streams)
    with contextlib.suppress(ConnectionError):  # the client has gone
        for name in ("stdout", "stderr"):
            if stream := streams.get(name):
                await stream.write_eof()
        await streams["error"].write(exitstatus.to_json(status))
        await streams["error"].write_eof()


async def _gone(connection: Connection) -> None:
    """Wait until the client has gone; it opens no more streams."""
    while (stream := await connection.accept()) is not None:
        await stream.reset()


def _wanted(request: cri.ExecRequest | cri.AttachRequest) -> Wanted:
    """CRIError INVALID_ARGUMENT, in containerd's words."""
    if not (request.stdin or request.stdout or request.stderr):
        raise CRIError("one of `stdin`, `stdout`, or `stderr` must be set", grpc.StatusCode.INVALID_ARGUMENT)
    if request.tty and request.stderr:
        raise CRIError("`tty` and `stderr` cannot both be true", grpc.StatusCode.INVALID_ARGUMENT)
    return Wanted(request.stdin, request.stdout, request.stderr, request.tty)
