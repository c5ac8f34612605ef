"""The controller-manager: config → client → informers → controllers, which run while this process leads."""

from __future__ import annotations

import asyncio
import sys

from kubelab.client.client import Client
from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.component.leading import elector
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.controllers import Controllers
from kubelab.controllermanager.informers import SharedInformers


async def run(config: ControllerManagerConfig, env: Environment) -> None:
    """Serve health and metrics, and work until told to stop."""
    async with env.client() as client, env.serve():
        await work(config, env, client)


async def work(config: ControllerManagerConfig, env: Environment, client: Client) -> None:
    """Watch everything, lead if no other controller-manager does, and control until cancelled."""
    async with asyncio.TaskGroup() as group:
        informers = SharedInformers(client, clock=env.clock, log=env.log, registry=env.registry)
        election = elector(config.leader_election, "kube-controller-manager", env, client)
        writer = client.fenced(election.fence) if election else client
        controllers = Controllers(config, env, client, informers, writer=writer)
        group.create_task(informers.run(), name="informers")
        group.create_task(controllers.record_events(), name="events")
        if election:
            group.create_task(election.run(controllers.run), name="leader-election")
        else:
            group.create_task(controllers.run(), name="controllers")


COMPONENT = Component(name="controller-manager", config=ControllerManagerConfig, run=run)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
