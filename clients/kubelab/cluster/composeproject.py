"""Find a running docker compose project, and get from it what a kubeconfig needs.

The project is read off its containers' labels, so it does not matter which compose has started it.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.apimachinery.errors import Conflict, InternalError, NotFound, Unavailable
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster import hostroutes
from kubelab.cluster.containers import (
    COMPOSE_VERSION,
    DIRECTORY,
    FILES,
    ONE_OFF,
    PKI,
    PROJECT,
    ComposeContainer,
    api_servers,
    https_servers,
    read,
)
from kubelab.cluster.docker import Docker, version_of

OLDEST_COMPOSE = (1, 29)
AUTHORITY = "/pki/authority"
LOG_LINES = 5
CLUSTER_NAME = "compose"  # the default name


@dataclass(frozen=True, slots=True)
class Project:
    """A project of docker compose: where it was started, from which files."""

    name: str
    directory: Path
    files: tuple[Path, ...]
    containers: tuple[ComposeContainer, ...]

    def __post_init__(self) -> None:
        version = next(iter(c.labels.get(COMPOSE_VERSION, "") for c in self.containers), "")
        if version and version_of(version) < OLDEST_COMPOSE:
            oldest = ".".join(map(str, OLDEST_COMPOSE))
            raise Unavailable(
                f"docker-compose {version} is too old: kubelab needs docker compose 2, or docker-compose {oldest}; "
                "see https://docs.docker.com/compose/install/"
            )

    @property
    def compose(self) -> str:
        """The first words of this project's docker compose commands."""
        return f"docker compose --project-directory {self.directory}"


@dataclass(frozen=True, slots=True)
class Admin:
    """PEM: the authority to trust, and the certificate and key of the cluster's administrator."""

    ca: bytes
    certificate: bytes
    key: bytes


async def find_project(docker: Docker, directory: Path, name: str = "") -> Project:
    """Find the one project that was started in a folder. Unavailable when none is there, Conflict when several are."""
    labels = [
        f"label={DIRECTORY}={directory}",
        f"label={ONE_OFF}=False",
        *([f"label={PROJECT}={name}"] if name else []),
    ]
    filters = [word for label in labels for word in ("--filter", label)]
    ids = (await docker.call("ps", "--all", "--quiet", "--no-trunc", *filters)).decode().split()
    projects: dict[str, list[ComposeContainer]] = {}
    for container in [read(body) for body in await docker.inspect(ids)] if ids else []:
        projects.setdefault(container.labels[PROJECT], []).append(container)
    running = {name: its for name, its in projects.items() if any(c.runs or c.service == PKI for c in its)}
    if not running:
        raise Unavailable(
            f"no docker compose project of {directory} is running; start it with: "
            f"docker compose --project-directory {directory} up -d\n"
            "(another folder is named with --project-directory)"
        )
    if len(running) > 1:
        raise Conflict(f"{directory} has several projects, name one with --project: {', '.join(sorted(running))}")
    ((project, containers),) = running.items()
    files = containers[0].labels.get(FILES, "docker-compose.yml").split(",")
    return Project(project, directory, tuple(directory / file for file in files), tuple(containers))


async def check_images(docker: Docker, project: Project, server: Mapping[str, Any]) -> None:
    """Raise Unavailable for an image that this machine's processor cannot run."""
    architecture = str(server.get("Arch") or "")
    ids = sorted({container.image for container in project.containers})
    for image in await docker.inspect(ids, "image"):
        built = str(image.get("Architecture") or "")
        if architecture and built and built != architecture:
            name = next(iter(image.get("RepoTags") or []), str(image["Id"]))
            raise Unavailable(
                f"image {name} is for {built}, and this Docker runs on {architecture}; build the images here: "
                f"{project.compose} build"
            )


async def check_started(docker: Docker, project: Project) -> None:
    """Raise Unavailable for what keeps the cluster from starting: no certificates, a port that is taken."""
    pki = next((c for c in project.containers if c.service == PKI), None)
    if pki is not None and pki.status == "exited" and pki.exit_code:
        logs = await docker.run("logs", "--tail", str(LOG_LINES), pki.id)
        words = (logs.stdout + logs.stderr).decode(errors="replace").strip()
        raise Unavailable(f"the certificates could not be made:\n{words}")
    failed = next((c for c in project.containers if c.status == "created" and c.error), None)
    if failed is not None:
        raise Unavailable(
            f"{failed.service} could not be started: {failed.error}\n"
            "If a port is taken, choose another: KUBELAB_API_PORT=7443 KUBELAB_HTTPS_PORT=7444 "
            + f"{project.compose} up -d"
        )


def shared_network(
    containers: Sequence[ComposeContainer], links_to: Callable[[str], Sequence[str]] = hostroutes.links_to
) -> str:
    """Return a hint for errors when two networks of this machine have the cluster's addresses, else "".

    Docker looks only at networks of its own before it takes addresses: a bridge that a daemon has left behind, say, is
    there unseen, and takes the packets between the containers.
    """
    address = next((c.address for c in containers if c.address), "")
    links = links_to(address) if address else ()
    if len(links) < 2:
        return ""
    return (
        f"\nSeveral interfaces of this machine lead to {address}: {', '.join(links)}. Delete the one that is not "
        "this cluster's (ip link delete NAME), or begin anew on other addresses: "
        "docker compose down --volumes; KUBELAB_NETWORK=192.168.77 docker compose up -d"
    )


async def admin(docker: Docker, containers: Sequence[ComposeContainer]) -> Admin:
    """Fetch the administrator's certificate from where ``pki`` has put it."""
    ca, certificate, key = await asyncio.gather(
        *(_file(docker, containers, name) for name in ("ca.crt", "admin.crt", "admin.key"))
    )
    return Admin(ca, certificate, key)


async def check_kubeconfig(
    docker: Docker, containers: Sequence[ComposeContainer], rules: LoadingRules, name: str
) -> None:
    """Raise Conflict when a kubeconfig's context leads to ports or to an authority that are not this cluster's.

    Where only some of several api-servers have moved (docker gives a container that is started again another port), the
    context follows them.
    """
    access = rules.load().access(name)
    urls, https = api_servers(containers), https_servers(containers)
    published = {url.removeprefix("https://") for url in urls}
    why = ""
    if published and not published & set(access.servers):
        why = f"it names {', '.join(access.servers)}, and the api-servers are at {', '.join(sorted(published))}"
    elif any(c.service == PKI for c in containers) and await _file(docker, containers, "ca.crt") != access.ca:
        why = "the cluster has other certificates now"
    if why:
        raise Conflict(
            f'the kubeconfig\'s context "{name}" is out of date: {why}; type: kubelab compose kubeconfig'
            + (f" --name {name}" if name != CLUSTER_NAME else "")
        )
    if published - set(access.servers) or (https and rules.load().server(name) not in https):
        rules.set_cluster(
            name,
            server=",".join(urls),
            https=next(iter(https), ""),
            ca=access.ca,
            certificate=access.certificate,
            key=access.key,
            namespace=access.namespace,
            make_current=False,
        )


async def _file(docker: Docker, containers: Sequence[ComposeContainer], name: str) -> bytes:
    pki = next((c for c in containers if c.service == PKI), None)
    if pki is None:
        raise NotFound(
            f'service "{PKI}" has no container, which has the certificates; type: docker compose up -d {PKI}'
        )
    packed = await docker.call("cp", f"{pki.id}:{AUTHORITY}/{name}", "-")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile(name)
        if member is None:
            raise InternalError(f"{AUTHORITY}/{name} is not a file")
        return member.read()
