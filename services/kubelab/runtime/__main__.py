"""The embedded container runtime: launcher → store → engine → CRI on a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import cast

from structlog.typing import FilteringBoundLogger

from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc
from kubelab.rpc.runtime.v1 import images_pb2_grpc
from kubelab.runtime.build.builder import Builder
from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.cgroups.pods import place
from kubelab.runtime.config import RuntimeConfig
from kubelab.runtime.host.base import Host
from kubelab.runtime.host.capabilities import Bounds
from kubelab.runtime.images.service import Images, ImageStoreServicer
from kubelab.runtime.images.store import Store
from kubelab.runtime.launcher import server as launcher
from kubelab.runtime.launcher.client import Launcher, Watch, reach
from kubelab.runtime.network.portguard import PortGuard
from kubelab.runtime.oci.limits import Limits
from kubelab.runtime.pods import state
from kubelab.runtime.pods.engine import Engine
from kubelab.runtime.service import ImageServicer, RuntimeServicer
from kubelab.runtime.streaming.portforward import PortForwards
from kubelab.runtime.streaming.remotecommands import RemoteCommands
from kubelab.runtime.streaming.server import StreamingServer


async def run(config: RuntimeConfig, env: Environment) -> None:
    """Serve the CRI until told to stop; containers go on."""
    config.socket.parent.mkdir(parents=True, exist_ok=True)
    for folder in (config.state_dir, config.store_dir):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # a set-user-id program of an image is not for the machine's users to run
    store = Store(config.store_dir)
    await asyncio.to_thread(store.recover)
    if config.launcher_socket:
        ask = await reach(config.launcher_socket, env.clock)
    else:
        ask = Launcher(*cast(launcher.Forked, env.prepared), env.clock)
    try:
        host = await machine(config, ask, env.log)
        engine = Engine(config, store, host, ask, env.clock, env.log)
        await engine.start()
        limits = Limits(
            bytes=config.max_image_bytes,
            entries=config.max_image_files,
            depth=config.max_image_depth,
            ratio=config.max_layer_growth,
        )
        images = Images(store, env.clock, limits)
        builder = Builder(config, store, host, ask, env.clock, partial(images.pull, auth=cri.AuthConfig()))
        try:
            guard = PortGuard(engine.containers.on_nodes_network, engine.containers.end_for, env.clock, env.log)
            streaming = StreamingServer(
                config.socket.absolute().with_name(f"{config.socket.stem}-streaming.sock"), env.clock, env.log
            )
            commands = RemoteCommands(engine.containers, ask, streaming, env.clock)
            servicer = RuntimeServicer(engine, commands, PortForwards(engine.inventory, streaming, env.clock))
            async with (
                streaming.running(),
                serving(config, env, servicer, images, ImageStoreServicer(store, builder, limits)),
                asyncio.TaskGroup() as group,
            ):
                guarding = group.create_task(guard.run(), name="port guard")
                await until_told(env, ask.pid)
                guarding.cancel()
        finally:
            await engine.close()
    finally:
        ask.close()


async def machine(config: RuntimeConfig, ask: Launcher, log: FilteringBoundLogger) -> Host:
    """Learn what pods read through of the machine that they run on, and which control groups it offers: the launcher
    sees that, and we perhaps do not. Groups of pods that are on disk are kept, all others there taken away."""
    private = [str(config.state_dir), str(config.store_dir)]
    recorded = state.read_groups(config.state_dir)
    name = config.cgroup or f"kubelab/{hashlib.sha256(str(config.state_dir).encode()).hexdigest()[:16]}"
    request = {
        "do": "host",
        "dir": str(config.state_dir / "host"),
        "private": private,
        "crun": config.crun,
        "cgroup": name,
        "cgroups": recorded,
        "keep": [place(sandbox.config) for sandbox in state.load(config.state_dir)[0].values()],
    }
    facts = await ask.ask(request)
    state.write_json(config.state_dir / state.CGROUPS, {**facts["cgroups"], "name": name})
    offer = Offer.from_json(facts["cgroups"])
    for controller, why in offer.missing.items():
        log.warning("limits are not enforced", controller=controller, why=why)
    if not facts["guarded"]:
        log.warning("files of the host that others may not read are masked one by one, as found now: see log above")
    if facts["userns"]:
        log.info("pods cannot have users of their own (hostUsers: false)", why=facts["userns"])
    bounds = Bounds(tuple(facts["capabilities"]), facts["oom_score_adj"])
    return Host(
        skeleton=Path(facts["skeleton"]),
        folders=tuple(facts["folders"]),
        hidden=tuple(facts["hidden"]),
        guarded=facts["guarded"],
        crun=facts["crun"],
        bounds=bounds,
        cgroups=offer,
        no_userns=facts["userns"],
    )


async def until_told(env: Environment, launcher_pid: int) -> None:
    """Wait for SIGTERM. RuntimeError when the launcher ends: only a runtime that is started again has a new one, for
    this process has threads by now and must not fork. Containers do not notice."""
    launcher_ended = asyncio.get_running_loop().create_future()
    watch = Watch(launcher_pid, partial(launcher_ended.set_result, None))
    stopped = asyncio.ensure_future(env.stop.wait())
    try:
        await asyncio.wait((stopped, launcher_ended), return_when=asyncio.FIRST_COMPLETED)
        if not env.stop.is_set():
            raise RuntimeError(f"the launcher, process {launcher_pid}, has ended")
    finally:
        watch.close()
        stopped.cancel()


@contextlib.asynccontextmanager
async def serving(
    config: RuntimeConfig, env: Environment, servicer: RuntimeServicer, images: Images, image_store: ImageStoreServicer
) -> AsyncGenerator[None]:
    """Serve the CRI, image loading and health on the socket that only root may open."""
    config.socket.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        async with env.serve(
            partial(api_pb2_grpc.add_RuntimeServiceServicer_to_server, servicer),
            partial(api_pb2_grpc.add_ImageServiceServicer_to_server, ImageServicer(images, env.clock)),
            partial(images_pb2_grpc.add_ImageStoreServicer_to_server, image_store),
            address=f"unix:{config.socket}",
            options=(("grpc.max_receive_message_length", 16 << 20),),
        ):
            os.umask(before)
            yield
    finally:
        os.umask(before)


def prepare(config: RuntimeConfig) -> launcher.Forked | None:
    """Fork the launcher, where there is none that listens."""
    return None if config.launcher_socket else launcher.start()


COMPONENT = Component("runtime", RuntimeConfig, run, prepare=prepare)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
