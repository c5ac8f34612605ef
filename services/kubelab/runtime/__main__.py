"""The embedded container runtime: launcher → store → engine → CRI on a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncGenerator
from functools import partial
from typing import cast

from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.cri.runtime.v1 import api_pb2_grpc
from kubelab.runtime import hostbase, launcher
from kubelab.runtime.build import Builder
from kubelab.runtime.config import RuntimeConfig
from kubelab.runtime.engine import Engine
from kubelab.runtime.images import Images, ImageStoreServicer
from kubelab.runtime.processes import Launcher, Watch
from kubelab.runtime.service import ImageServicer, RuntimeServicer
from kubelab.runtime.store import Store
from kubelab.runtime.v1 import images_pb2_grpc


async def run(config: RuntimeConfig, env: Environment) -> None:
    """Serve the CRI until told to stop; containers go on."""
    config.state_dir.mkdir(parents=True, exist_ok=True)
    store = Store(config.store_dir)
    skeleton = hostbase.make_skeleton(config.state_dir / "host")
    link, launcher_pid = cast(tuple[socket.socket, int], env.prepared)
    ask = Launcher(link, env.clock)
    engine = Engine(config, store, skeleton, ask, env.clock, env.log)
    await engine.start()
    builder = Builder(config, store, skeleton, ask, env.clock)
    try:
        async with serving(config, env, engine, store, builder):
            await until_told(env, launcher_pid)
    finally:
        await engine.close()
        link.close()


async def until_told(env: Environment, launcher_pid: int) -> None:
    """Wait for SIGTERM. RuntimeError when the launcher ends: only a runtime that is started again has a new one, for
    this process has threads by now and must not fork. Containers do not notice."""
    launcher_ended = asyncio.get_running_loop().create_future()
    watch = Watch(launcher_pid, partial(launcher_ended.set_result, None))
    told = asyncio.ensure_future(env.stop.wait())
    try:
        await asyncio.wait((told, launcher_ended), return_when=asyncio.FIRST_COMPLETED)
        if not env.stop.is_set():
            raise RuntimeError(f"the launcher, process {launcher_pid}, has ended")
    finally:
        watch.close()
        told.cancel()


@contextlib.asynccontextmanager
async def serving(
    config: RuntimeConfig, env: Environment, engine: Engine, store: Store, builder: Builder
) -> AsyncGenerator[None]:
    """Serve the CRI, image loading and health on the socket that only root may open."""
    config.socket.parent.mkdir(parents=True, exist_ok=True)
    config.socket.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        async with env.serve(
            partial(api_pb2_grpc.add_RuntimeServiceServicer_to_server, RuntimeServicer(engine)),
            partial(api_pb2_grpc.add_ImageServiceServicer_to_server, ImageServicer(Images(store), env.clock)),
            partial(images_pb2_grpc.add_ImageStoreServicer_to_server, ImageStoreServicer(store, builder)),
            address=f"unix:{config.socket}",
            options=(("grpc.max_receive_message_length", 16 << 20),),
        ):
            os.umask(before)
            yield
    finally:
        os.umask(before)


COMPONENT = Component("runtime", RuntimeConfig, run, prepare=launcher.start)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
