"""``kubelab compose``: make a cluster of docker compose known to kctl and kubelab on this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import click

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import Conflict, NotFound, Timeout, Unavailable
from kubelab.cli import output
from kubelab.client import kubeconfig
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster import composeproject
from kubelab.cluster.compose import ComposeCluster, inspect
from kubelab.cluster.composeproject import CLUSTER_NAME, Project
from kubelab.cluster.composerecord import ComposeRecord
from kubelab.cluster.containers import ComposeContainer, api_servers, https_servers
from kubelab.cluster.docker import DOCKER_HOST, Docker
from kubelab.cluster.driver import ProcessState
from kubelab.topology.record import read_body

name_option = click.option("-p", "--name", default=CLUSTER_NAME, show_default=True, help="the cluster's name here")


@click.group("compose", short_help="Use a cluster of docker compose")
def command() -> None:
    """Use a cluster of docker compose. It is started and stopped by docker compose itself."""


@command.command("kubeconfig")
@click.option(
    "--project-directory",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="the folder that docker compose was typed in  [default: this one]",
)
@click.option("--project", default="", help="the project's name, where the folder has several")
@name_option
@click.option("--timeout", default=120.0, show_default=True, help="seconds to wait at most for an api-server")
def write_kubeconfig(directory: Path, project: str, name: str, timeout: float) -> int:
    """Find the running project and put it into the kubeconfig, as the current context."""
    asyncio.run(_kubeconfig(directory.resolve(), project, name, timeout, SystemClock()))
    return 0


@command.command("forget")
@name_option
def forget(name: str) -> int:
    """Take a cluster out of the kubeconfig; its partitions are healed, else its containers are left alone."""
    record = ComposeRecord.load(kubeconfig.home().absolute(), name)
    if record is None:
        raise NotFound(f'no compose cluster "{name}" is known here')
    asyncio.run(_heal(ComposeCluster(record)))
    record.remove()
    LoadingRules.of().remove_cluster(name)
    output.step("🧹", f'Cluster "{name}" is forgotten')
    return 0


async def _heal(cluster: ComposeCluster) -> None:
    """Remove every partition, since the record of them is about to go. A project that does not run has none."""
    try:
        with contextlib.suppress(Unavailable):
            await cluster.heal()
    finally:
        await cluster.close()


async def _kubeconfig(directory: Path, project_name: str, name: str, seconds: float, clock: Clock) -> None:
    home = kubeconfig.home().absolute()
    recorded = read_body(home, name)
    if recorded is not None and ComposeRecord.load(home, name) is None:
        raise Conflict(f'"{name}" is a local cluster; choose another --name')
    docker = Docker()
    server = await docker.check()
    project = await composeproject.find_project(docker, directory, project_name)
    await composeproject.check_images(docker, project, server)
    await composeproject.check_started(docker, project)
    record = ComposeRecord(home, name, project.name, directory, project.files, docker.environment.get(DOCKER_HOST, ""))
    containers = await _serving(ComposeCluster(record, docker=docker, clock=clock), docker, project, seconds, clock)
    servers = api_servers(containers)
    admin = await composeproject.admin(docker, project.containers)
    record.save()
    rules = LoadingRules.of()
    before = rules.load_or_new().current_context
    rules.set_cluster(
        name,
        server=",".join(servers),
        https=next(iter(https_servers(containers)), ""),
        ca=admin.ca,
        certificate=admin.certificate,
        key=admin.key,
    )
    output.step("🏄", f'kctl is now configured to use the cluster "{name}" at {", ".join(servers)}')
    output.context_moved(before, name)


async def _serving(
    cluster: ComposeCluster, docker: Docker, project: Project, seconds: float, clock: Clock
) -> Sequence[ComposeContainer]:
    """Wait until an api-server is healthy; return all containers. Timeout names the unhealthy ones."""
    try:
        async with clock.timeout(seconds), aclosing(cluster.watch_status()) as answers:
            async for status in answers:
                if any(p.component == "api-server" and p.state is ProcessState.RUNNING for p in status.processes):
                    break
                if not any(p.component == "api-server" for p in status.processes):
                    raise NotFound(f"project {project.name} has no api-server: it is no cluster of kubelab")
    except TimeoutError as err:
        containers = await inspect(docker, project.name)
        unhealthy = [c.service for c in containers if c.state is not ProcessState.RUNNING]
        raise Timeout(
            f"no api-server is healthy after {seconds:g} s (unhealthy: {', '.join(sorted(unhealthy))}); "
            f"look at: {project.compose} logs api-server{composeproject.shared_network(containers)}"
        ) from err
    finally:
        await cluster.close()
    containers = await inspect(docker, project.name)
    if not api_servers(containers):
        raise Conflict("no api-server has a published port; in docker-compose.yml it needs: ports")
    return containers
