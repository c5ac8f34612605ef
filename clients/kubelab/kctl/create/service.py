"""``kctl create service``: a command for each type of service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kubelab.kctl import generators
from kubelab.kctl.command import Command, CommandEntry, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.generated import create_one
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2

SERVICE = Command(
    "service",
    children=(
        CommandEntry("clusterip", "Create a ClusterIP service", "create.service:CLUSTER_IP"),
        CommandEntry("externalname", "Create an ExternalName service", "create.service:EXTERNAL_NAME"),
        CommandEntry("loadbalancer", "Create a LoadBalancer service", "create.service:LOAD_BALANCER"),
        CommandEntry("nodeport", "Create a NodePort service", "create.service:NODE_PORT"),
    ),
    about="Create a service using a specified subcommand.",
    usage="kctl create service [flags]",
)

TCP = Flag("--tcp", kind="csv", help="Port pairs can be specified as '<port>:<targetPort>'.")


@dataclass(frozen=True, slots=True)
class ServiceOptions(GenerateOptions):
    tcp: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterIPOptions(ServiceOptions):
    clusterip: str


@dataclass(frozen=True, slots=True)
class NodePortOptions(ServiceOptions):
    node_port: int


@dataclass(frozen=True, slots=True)
class ExternalNameOptions(ServiceOptions):
    external_name: str


Options = TypeVar("Options", bound=ServiceOptions)


def _service(
    kind: str, options: type[Options], generate: Callable[[str, Options], core_pb2.Service], *flags: Flag, more: str
) -> Command:
    name = kind.lower()
    article = "an" if kind[0] in "AEIOU" else "a"

    def create(session: Session, args: tuple[str, ...], options: Options) -> int:
        return create_one(
            session,
            generate(only_name(session, args), options),
            options,
            failing=lambda message: f"error: failed to create {kind} service: {message}",
        )

    return Command(
        name,
        run=create,
        options=options,
        flags=(TCP, *flags, *GENERATE_FLAGS),
        about=f"Create {article} {kind} service with the specified name.",
        examples=f"# Create a new {kind} service named my-service\nkctl create service {name} my-service {more}",
        usage=f"kctl create service {name} NAME [--tcp=<port>:<targetPort>] [--dry-run=client|none]",
    )


CLUSTER_IP = _service(
    "ClusterIP",
    ClusterIPOptions,
    lambda name, options: generators.service(name, "ClusterIP", tcp=options.tcp, cluster_ip=options.clusterip),
    Flag("--clusterip", help="Assign your own ClusterIP or set to 'None' for a 'headless' service (no loadbalancing)."),
    more="--tcp=5678:8080",
)
NODE_PORT = _service(
    "NodePort",
    NodePortOptions,
    lambda name, options: generators.service(name, "NodePort", tcp=options.tcp, node_port=options.node_port),
    Flag("--node-port", kind="int", default=0, help="Port used to expose the service on each node in a cluster."),
    more="--tcp=5678:8080",
)
LOAD_BALANCER = _service(
    "LoadBalancer",
    ServiceOptions,
    lambda name, options: generators.service(name, "LoadBalancer", tcp=options.tcp),
    more="--tcp=5678:8080",
)
EXTERNAL_NAME = _service(
    "ExternalName",
    ExternalNameOptions,
    lambda name, options: generators.service(
        name, "ExternalName", tcp=options.tcp, external_name=options.external_name
    ),
    Flag("--external-name", required=True, help="External name of service"),
    more="--external-name=example.com",
)
