"""Watch the health of a process by the gRPC health service's Watch, which answers at every change.

The channel lives as long as the process. Its keepalive notices a process that hangs (stopped by SIGSTOP, say).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubelab.apimachinery.clock import Clock
from kubelab.rpc.channels import (
    ETCD_KEEPALIVE,
    OWN_SUBCHANNELS,
    TLSIdentity,
    TLSIdentityFiles,
    open_channel,
    reconnect,
)

RETRY_SECONDS = 1.0
# A new process begins with a new back-off.
_OPTIONS = (*ETCD_KEEPALIVE, *reconnect(20, 500, 250), *OWN_SUBCHANNELS)


@dataclass(frozen=True, slots=True)
class HealthTarget:
    """The address at which a process answers. ``unix:`` addresses go without certificates. ``name`` is the one that the
    server's certificate must have, where that is not its address."""

    address: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    name: str = ""

    def files(self) -> TLSIdentityFiles | None:
        """The files of this target's identity; None where none is needed."""
        if self.ca is None or self.certificate is None or self.key is None:
            return None
        return TLSIdentityFiles(self.ca, self.certificate, self.key)

    def channel(self, identity: TLSIdentity | None = None) -> grpc.aio.Channel:
        """Open a channel, with the identity in the files by default. OSError when a file cannot be read."""
        files = self.files()
        shown = (identity or files.current()) if files else None
        return open_channel(self.address, shown, server_name=self.name, options=_OPTIONS)


async def watch(target: HealthTarget, clock: Clock, notify: Callable[[bool], Awaitable[None]]) -> None:
    """Call ``notify`` at each change of a process's health, until cancelled. OSError for an unreadable certificate."""
    files = target.files()
    identity = files.current() if files else None
    channel = target.channel(identity)
    try:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            if files is not None and files.current() is not identity:  # renewed since
                await channel.close()
                identity = files.current()
                channel = target.channel(identity)
                stub = health_pb2_grpc.HealthStub(channel)
            try:
                async for answer in stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
                    await notify(answer.status == health_pb2.HealthCheckResponse.SERVING)
                code = grpc.StatusCode.UNAVAILABLE
            except grpc.aio.AioRpcError as err:
                code = err.code()
            await notify(False)
            if code is not grpc.StatusCode.UNAVAILABLE:
                await clock.sleep(RETRY_SECONDS)  # it answers, but not this: do not ask at full speed
    finally:
        await channel.close()
