"""``kctl set resources``: requests and limits of containers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import SELECTOR
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.podspecs import containers_of, pod_spec_of
from kubelab.kctl.session import Session
from kubelab.kctl.set import updating
from kubelab.kctl.set.flags import CONTAINERS, flags_of
from kubelab.kctl.set.updating import SetOptions, Update

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2

_HELP = (
    "The resource requirement requests for this container.  For example, 'cpu=100m,memory=256Mi'.  Note that server "
    "side components may assign requests depending on the server configuration, such as limit ranges."
)


@dataclass(frozen=True, slots=True)
class ResourcesOptions(SetOptions):
    containers: str
    limits: str
    requests: str
    selector: str


def _resources(session: Session, args: tuple[str, ...], options: ResourcesOptions) -> int:
    updating.require_files(args, options)
    if options.all and options.selector:
        raise UsageProblem(updating.ALL_AND_SELECTOR)
    if not options.limits and not options.requests:
        raise UsageProblem("you must specify an update to requests or limits (in the form of --requests/--limits)")
    limits, requests = parse(options.limits), parse(options.requests)

    def change(obj: Message) -> Sequence[str]:
        containers = containers_of(pod_spec_of(obj), options.containers)
        for container in containers:
            _set(container, limits, requests)
        return () if containers else (f"unable to find container named {options.containers}",)

    update = Update("resource requirements updated", "failed to patch resources update to pod template ", change)
    return updating.run(session, args, options, update, selector=options.selector)


def _set(container: core_pb2.Container, limits: dict[str, str], requests: dict[str, str]) -> None:
    for name, quantity in limits.items():
        container.resources.limits[name].string = quantity
    for name, quantity in requests.items():
        container.resources.requests[name].string = quantity


def parse(text: str) -> dict[str, str]:
    """Read ``cpu=100m,memory=256Mi``, the quantities in their canonical form. Raises UsageProblem."""
    from kubelab.apimachinery import quantity

    amounts: dict[str, str] = {}
    for statement in text.split(",") if text else ():
        if statement.count("=") != 1:
            raise UsageProblem(f"Invalid argument syntax {statement}, expected <resource>=<value>")
        name, _, value = statement.partition("=")
        try:
            amounts[name] = quantity.canonical(value)
        except quantity.QuantityError as err:
            raise UsageProblem(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            ) from err
    return amounts


RESOURCES = Command(
    "resources",
    run=_resources,
    options=ResourcesOptions,
    flags=(
        *flags_of("resources"),
        CONTAINERS,
        Flag("--limits", help=_HELP),
        Flag("--requests", help=_HELP),
        SELECTOR,
    ),
    about="""\
Specify compute resource requirements (CPU, memory) for any resource that defines a pod template.  If a pod is \
successfully scheduled, it is guaranteed the amount of resource requested, but may burst up to its specified limits.

 For each compute resource, if a limit is specified and a request is omitted, the request will default to the limit.

 Possible resources include (case insensitive): Use "kctl api-resources" for a complete list of supported \
resources..""",
    examples="""\
# Set a deployment's node container cpu limits to "200m" and memory to "512Mi"
kctl set resources deployment web -c=node --limits=cpu=200m,memory=512Mi

# Set the resource request and limits for all containers in web
kctl set resources deployment web --limits=cpu=200m,memory=512Mi --requests=cpu=100m,memory=256Mi

# Remove the resource requests for resources on containers in web
kctl set resources deployment web --limits=cpu=0,memory=0 --requests=cpu=0,memory=0

# Print the result (in yaml format) of updating container limits from a local, without hitting the server
kctl set resources -f path/to/file.yaml --limits=cpu=200m,memory=512Mi --local -o yaml
""",
    usage="kctl set resources (-f FILENAME | TYPE NAME)  ([--limits=LIMITS & --requests=REQUESTS]",
)
