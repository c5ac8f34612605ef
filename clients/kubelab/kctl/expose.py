"""``kctl expose``: a service for the pods of an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import builder, overrides, recording, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, RECURSIVE, SAVE_CONFIG, FilenameOptions, ResourceOptions
from kubelab.kctl.commonflags import field_manager as field_manager_flag
from kubelab.kctl.create.generated import create_derived
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.recording import RECORD
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client
    from kubelab.kctl.exposing import ServiceFlags


@dataclass(frozen=True, slots=True)
class ExposeOptions(FilenameOptions):
    cluster_ip: str
    dry_run: str
    external_ip: str
    field_manager: str
    labels: str
    load_balancer_ip: str
    name: str
    output: str
    override_type: str
    overrides: str
    port: str
    protocol: str
    record: bool
    save_config: bool
    selector: str
    session_affinity: str
    target_port: str
    type: str


def _expose(session: Session, args: tuple[str, ...], options: ExposeOptions) -> int:
    from kubelab.kctl import exposing
    from kubelab.kctl.exposing import ServiceFlags

    recording.warn(session)
    printer = ResultPrinter.of(options.output, options.dry_run, typed=True)
    selection = builder.build(session, args, ResourceOptions(options.filename, options.recursive, ""))
    infos = [Info(i.resource, i.name or "", i.namespace or session.namespace) for i in selection.items]
    for info in infos:
        exposing.require_exposable(info.resource)
    names = ServiceFlags.__dataclass_fields__
    flags = ServiceFlags(**{name: getattr(options, name) for name in names})
    return visitor.run(
        session,
        lambda client: visitor.continue_on_error(
            infos, lambda info: _expose_one(client, session, info, options, flags, printer)
        ),
    )


async def _expose_one(
    client: Client, session: Session, info: Info, options: ExposeOptions, flags: ServiceFlags, printer: ResultPrinter
) -> None:
    from kubelab.kctl import exposing

    obj = await client.get(info.resource, info.name, info.namespace)
    try:
        made: Message = exposing.service(obj, flags)
    except exposing.NotExposable as err:
        raise Failed(
            f"error: couldn't retrieve selectors via --selector flag or introspection: {err}\n"
            "See 'kctl expose -h' for help and examples"
        ) from err
    except UsageProblem as err:
        raise Failed(err.lines()) from err
    if options.overrides:
        made = overrides.overridden(made, options.overrides, options.override_type)
    await create_derived(
        client,
        session,
        made,
        printer,
        "exposed",
        field_manager=options.field_manager,
        record=options.record,
        save_config=options.save_config,
    )


EXPOSE = Command(
    "expose",
    run=_expose,
    options=ExposeOptions,
    flags=(
        Flag(
            "--cluster-ip",
            help="ClusterIP to be assigned to the service. Leave empty to auto-allocate, or set to 'None' to create a "
            "headless service.",
        ),
        DRY_RUN,
        Flag(
            "--external-ip",
            help="Additional external IP address (not managed by Kubernetes) to accept for the service. If this IP is "
            "routed to a node, the service can be accessed by this IP in addition to its generated service IP.",
        ),
        field_manager_flag("expose"),
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help="Filename, directory, or URL to files identifying the resource to expose a service",
        ),
        Flag("--labels", "-l", help="Labels to apply to the service created by this call."),
        Flag(
            "--load-balancer-ip",
            help="IP to assign to the LoadBalancer. If empty, an ephemeral IP will be created and used "
            "(cloud-provider specific).",
        ),
        Flag("--name", help="The name for the newly created object."),
        OUTPUT,
        *overrides.FLAGS,
        Flag(
            "--port",
            help="The port that the service should serve on. Copied from the resource being exposed, if unspecified",
        ),
        Flag("--protocol", help="The network protocol for the service to be created. Default is 'TCP'."),
        RECORD,
        RECURSIVE,
        SAVE_CONFIG,
        Flag(
            "--selector",
            help="A label selector to use for this service. Only equality-based selector requirements are supported. "
            "If empty (the default) infer the selector from the replication controller or replica set.)",
        ),
        Flag(
            "--session-affinity",
            help="If non-empty, set the session affinity for the service to this; legal values: 'None', 'ClientIP'",
        ),
        Flag(
            "--target-port",
            help="Name or number for the port on the container that the service should direct traffic to. Optional.",
        ),
        Flag(
            "--type",
            help="Type for this service: ClusterIP, NodePort, LoadBalancer, or ExternalName. Default is 'ClusterIP'.",
        ),
    ),
    about="""\
Expose a resource as a new Kubernetes service.

 Looks up a deployment, service, replica set, replication controller or pod by name and uses the selector for that \
resource as the selector for a new service on the specified port. A deployment or replica set will be exposed as a \
service only if its selector is convertible to a selector that service supports, i.e. when the selector contains only \
the matchLabels component. Note that if no port is specified via --port and the exposed resource has multiple ports, \
all will be re-used by the new service. Also if no labels are specified, the new service will re-use the labels from \
the resource it exposes.

 Possible resources include (case insensitive):

 pod (po), service (svc), replicationcontroller (rc), deployment (deploy), replicaset (rs)""",
    examples="""\
# Create a service for a replicated web server, which serves on port 80 and connects to the containers on port 8000
kctl expose rc web --port=80 --target-port=8000

# Create a service for a replication controller identified by type and name specified in "web.yml"
kctl expose -f web.yml --port=80 --target-port=8000

# Create a service for a pod valid-pod, which serves on port 444 with the name "frontend"
kctl expose pod valid-pod --port=444 --name=frontend

# Create a second service based on the above service, exposing the container port 8443 as port 443
kctl expose service web --port=443 --target-port=8443 --name=web-https

# Create a service for a replicated streaming application on port 4100 balancing UDP traffic
kctl expose rc streamer --port=4100 --protocol=UDP --name=video-stream

# Create a service for a deployment that can be reached at every node
kctl expose deployment web --type=NodePort --port=80 --target-port=8000
""",
    usage="kctl expose (-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] "
    "[--target-port=number-or-name] [--name=name] [--external-ip=external-ip-of-service] [--type=type]",
)
