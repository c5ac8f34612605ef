"""A controller-manager over an api-server in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from kubelab.component.environment import Environment
from kubelab.component.leading import LeaderElectionConfig
from kubelab.controllermanager import __main__ as component
from kubelab.controllermanager.config import ControllerManagerConfig
from tests.support import tasks
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock

Run = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def running() -> Run:
    @contextlib.asynccontextmanager
    async def run(
        server: ApiServerInMemory,
        *controllers: str,
        clock: FakeClock | None = None,
        elect: bool = False,
        root_ca_file: Path | None = None,
    ) -> AsyncGenerator[None]:
        config = ControllerManagerConfig(
            name="controller-manager@test",
            controllers=list(controllers) or ["*"],
            leader_election=LeaderElectionConfig(leader_elect=elect),
            root_ca_file=root_ca_file,
        )
        env = Environment(config, "controller-manager", clock=clock, make_client=server.client)
        async with env.client() as client, tasks.running(component.work(config, env, client)):
            yield

    return run
