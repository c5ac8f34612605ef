"""``…/pods/NAME/exec`` and ``attach`` over HTTP: channels of a WebSocket, as kubectl and the Python clients ask since
1.31, or streams of SPDY, as kubectl asked before
(https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, exitstatus
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.endpoints.podcommands import PodCommands
from kubelab.apiserver.httpfront import queryparams
from kubelab.apiserver.httpfront.routes import Call
from kubelab.apiserver.httpfront.streams import channels, spdyupgrade
from kubelab.apiserver.httpfront.streams.channels import BASE64, CHANNEL, CLOSE, V4, V4_BASE64, V5, Channels
from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput, CommandOutput, TerminalSize
from kubelab.rpc.remotecommand import RemoteCommand
from kubelab.spdy import remotecommand
from kubelab.spdy.connection import Connection, Stream
from kubelab.spdy.errors import ProtocolError, StreamReset
from kubelab.streams.concurrency import until_first
from kubelab.streams.takeover import TakenOver

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
PROTOCOLS = (V5, V4, V4_BASE64, CHANNEL, BASE64)
_WITH_STATUS = frozenset({V5, V4, V4_BASE64})
_HIGHEST = 65535

Options = core_pb2.PodExecOptions | core_pb2.PodAttachOptions


class CommandStreams:
    """Answers for the exec and attach subresources."""

    def __init__(self, commands: PodCommands, clock: Clock) -> None:
        self._commands, self._clock = commands, clock

    async def exec(self, call: Call) -> web.StreamResponse:
        options = queryparams.read(call.raw.query, core_pb2.PodExecOptions)
        check_upgrade(call.raw)
        async with self._commands.exec(call.request, options) as command:
            return await self._serve(call.raw, options, command)

    async def attach(self, call: Call) -> web.StreamResponse:
        options = queryparams.read(call.raw.query, core_pb2.PodAttachOptions)
        check_upgrade(call.raw)
        async with self._commands.attach(call.request, options) as command:
            return await self._serve(call.raw, options, command)

    async def _serve(self, raw: web.BaseRequest, options: Options, command: RemoteCommand) -> web.StreamResponse:
        """Carry a command that has begun, up to its status or until the client has gone."""
        if channels.is_websocket(raw):
            ws = await channels.accept(raw, PROTOCOLS)
            with contextlib.suppress(ConnectionError):
                await _ChannelCommand(Channels(ws), options, command).run()
            await ws.close()
            return ws
        wanted = remotecommand.Wanted(options.stdin, options.stdout, options.stderr, options.tty)

        async def serve(connection: Connection) -> None:
            streams = await remotecommand.accepted(connection, wanted, self._clock)
            await _SpdyCommand(streams, command).run()

        await spdyupgrade.serve(raw, (remotecommand.PROTOCOL,), serve)
        return TakenOver()


def check_upgrade(raw: web.BaseRequest) -> None:
    """Refuse a request that can be answered in no form, before a command is run for it. BadRequest, Forbidden."""
    if channels.is_websocket(raw):
        offered = channels.offered(raw)
        if offered and not any(protocol in PROTOCOLS for protocol in offered):
            raise errors.BadRequest(f"unable to negotiate protocol: client supports {offered}, server {PROTOCOLS}")
    else:
        spdyupgrade.check(raw, (remotecommand.PROTOCOL,))


class _ChannelCommand:
    """One command in channels."""

    def __init__(self, sockets: Channels, options: Options, command: RemoteCommand) -> None:
        self._sockets, self._options, self._command = sockets, options, command

    async def run(self) -> None:
        first = STDOUT if self._options.stdout else STDERR if self._options.stderr else ERROR
        await self._sockets.send(first, b"")  # the client learns that the command has begun
        await until_first(self._inputs(), self._outputs())

    async def _inputs(self) -> None:
        while (message := await self._sockets.receive()) is not None:
            channel, data = message
            if channel == STDIN and data and self._options.stdin:
                await self._command.send(CommandInput(stdin=data))
            elif channel == RESIZE and (size := read_size(data)) is not None:
                await self._command.send(CommandInput(size=size))
            elif channel == CLOSE and data[:1] == bytes((STDIN,)) and self._sockets.protocol == V5:
                await self._command.send(CommandInput(stdin_end=True))

    async def _outputs(self) -> None:
        try:
            while (output := await self._command.receive()) is not None:
                if output.stdout:
                    await self._sockets.send(STDOUT, output.stdout)
                if output.stderr:
                    await self._sockets.send(STDERR, output.stderr)
                if output.HasField("status"):
                    await self._status(output)
        except ConnectionError as err:
            await self._status(CommandOutput(status=exitstatus.failed(str(err))))

    async def _status(self, output: CommandOutput) -> None:
        status = output.status
        if self._sockets.protocol in _WITH_STATUS:
            await self._sockets.send(ERROR, exitstatus.to_json(status))
        elif status.status != "Success":  # the oldest protocols have a text, and nothing for success
            await self._sockets.send(ERROR, status.message.encode())


class _SpdyCommand:
    """One command in streams of SPDY, which its client has opened."""

    def __init__(self, streams: Mapping[str, Stream], command: RemoteCommand) -> None:
        self._streams, self._command = streams, command

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            inputs = [group.create_task(self._stdin()), group.create_task(self._sizes())]
            try:
                await self._outputs()
            except StreamReset:
                pass  # the client has gone
            finally:
                for task in inputs:
                    task.cancel()

    async def _stdin(self) -> None:
        if (stream := self._streams.get("stdin")) is None:
            return
        with contextlib.suppress(StreamReset):
            while data := await stream.read():
                await self._command.send(CommandInput(stdin=data))
            await self._command.send(CommandInput(stdin_end=True))

    async def _sizes(self) -> None:
        if (stream := self._streams.get("resize")) is None:
            return
        sizes = remotecommand.Sizes(stream)
        with contextlib.suppress(StreamReset, ProtocolError):
            while (size := await sizes.next()) is not None:
                await self._command.send(CommandInput(size=TerminalSize(width=size[0], height=size[1])))

    async def _outputs(self) -> None:
        try:
            while (output := await self._command.receive()) is not None:
                for name, data in (("stdout", output.stdout), ("stderr", output.stderr)):
                    if data and (stream := self._streams.get(name)) is not None:
                        await stream.write(data)
                if output.HasField("status"):
                    await self._streams["error"].write(exitstatus.to_json(output.status))
        except StreamReset:
            raise
        except ConnectionError as err:
            await self._streams["error"].write(exitstatus.to_json(exitstatus.failed(str(err))))
        for name in ("stdout", "stderr", "error"):
            if (stream := self._streams.get(name)) is not None:
                await stream.write_eof()


def read_size(data: bytes) -> TerminalSize | None:
    """Read ``{"Width":80,"Height":24}``; None for what is no size, which is ignored as upstream ignores it."""
    try:
        document: Any = json.loads(data)
        width, height = int(document["Width"]), int(document["Height"])
    except (ValueError, KeyError, TypeError):
        return None
    if not (0 <= width <= _HIGHEST and 0 <= height <= _HIGHEST):
        return None
    return TerminalSize(width=width, height=height)
