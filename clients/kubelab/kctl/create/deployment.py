"""``kctl create deployment``: a Deployment of one or more images."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.apps.v1 import apps_pb2

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of the suffix that makes a name unique, as the api-server generates names
_NO_PORT = -1


@dataclass(frozen=True, slots=True)
class DeploymentOptions(GenerateOptions):
    image: tuple[str, ...]
    port: int
    replicas: int


def _create_deployment(session: Session, args: tuple[str, ...], options: DeploymentOptions) -> int:
    from kubelab.kctl.create.generated import create_one
    from kubelab.kctl.create.job import name_and_command

    name, command = name_and_command(session, args)
    for flag, number in (("--port", options.port), ("-r, --replicas", options.replicas)):
        if not -(2**31) <= number < 2**31:
            why = f'strconv.ParseInt: parsing "{number}": value out of range'
            message = f'invalid argument "{number}" for "{flag}" flag: {why}'
            raise UsageProblem(message, session.command_path, hint="flag")
    if command and len(options.image) > 1:
        raise Failed("error: cannot specify multiple --image options and command")
    return create_one(
        session,
        generate(name, options.image, command=command, port=options.port, replicas=options.replicas),
        options,
        failing=lambda message: f"error: failed to create deployment: {message}",
    )


def generate(
    name: str, images: Sequence[str], *, command: Sequence[str] = (), port: int = _NO_PORT, replicas: int = 1
) -> apps_pb2.Deployment:
    """Make a Deployment whose pods carry ``app=NAME`` and have a container for each image, named after it."""
    from kubelab.api.apps.v1 import apps_pb2

    obj = apps_pb2.Deployment()
    obj.metadata.name = name
    spec = obj.spec
    for labels in (obj.metadata.labels, spec.selector.matchLabels, spec.template.metadata.labels):
        labels["app"] = name
    spec.replicas = replicas
    for image in images:
        spec.template.spec.containers.add(name=_container_name(image), image=image, command=command)
    if port >= 0 and spec.template.spec.containers:
        spec.template.spec.containers[0].ports.add(containerPort=port)
    return obj


def _container_name(image: str) -> str:
    """``nginx`` of ``docker.io/library/nginx:1.27``; ``a-b-x7k2p`` of ``a.b``: a random suffix keeps names apart."""
    name = image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if "_" not in name and "." not in name:
        return name
    suffix = "".join(secrets.choice(_LETTERS) for _ in range(5))
    return f"{name.replace('_', '-').replace('.', '-')}-{suffix}"


DEPLOYMENT = Command(
    "deployment",
    run=_create_deployment,
    options=DeploymentOptions,
    flags=(
        *GENERATE_FLAGS,
        Flag(
            "--image",
            kind="csv",
            required=True,
            help="Image names to run. A deployment can have multiple images set for multi-container pod.",
        ),
        Flag("--port", kind="int", default=_NO_PORT, help="The containerPort that this deployment exposes."),
        Flag("--replicas", "-r", kind="int", default=1, help="Number of replicas to create. Default is 1."),
    ),
    about="Create a deployment with the specified name.",
    examples="""\
# Create a deployment named my-dep that runs the busybox image
kctl create deployment my-dep --image=busybox

# Create a deployment with a command
kctl create deployment my-dep --image=busybox -- date

# Create a deployment named my-dep that runs the nginx image with 3 replicas
kctl create deployment my-dep --image=nginx --replicas=3

# Create a deployment named my-dep that runs the busybox image and expose port 5701
kctl create deployment my-dep --image=busybox --port=5701

# Create a deployment named my-dep that runs multiple containers
kctl create deployment my-dep --image=busybox:latest --image=ubuntu:latest --image=nginx
""",
    usage="kctl create deployment NAME --image=image -- [COMMAND] [args...]",
)
