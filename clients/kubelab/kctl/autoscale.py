"""``kctl autoscale``: a HorizontalPodAutoscaler (autoscaling/v1, as kubectl 1.32 sends it) for what has a size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import builder, recording, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, RECURSIVE, SAVE_CONFIG, FilenameOptions, ResourceOptions
from kubelab.kctl.commonflags import field_manager as field_manager_flag
from kubelab.kctl.create.generated import create_derived
from kubelab.kctl.flags import Flag
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.recording import RECORD
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.autoscaling.v1 import autoscaling_pb2
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class AutoscaleOptions(FilenameOptions):
    cpu_percent: int
    dry_run: str
    field_manager: str
    max: int
    min: int
    name: str
    output: str
    record: bool
    save_config: bool


def _autoscale(session: Session, args: tuple[str, ...], options: AutoscaleOptions) -> int:
    recording.warn(session)
    printer = ResultPrinter.of(options.output, options.dry_run, typed=True)
    if options.max < 1:
        raise Failed(f"error: --max=MAXPODS is required and must be at least 1, max: {options.max}")
    if options.max < options.min:
        raise Failed(
            f"error: --max=MAXPODS must be larger or equal to --min=MINPODS, max: {options.max}, min: {options.min}"
        )
    selection = builder.build(session, args, ResourceOptions(options.filename, options.recursive, ""))
    infos = [Info(i.resource, i.name or "", i.namespace or session.namespace) for i in selection.items]
    return visitor.run(
        session,
        lambda client: visitor.continue_on_error(
            infos, lambda info: _autoscale_one(client, session, info, options, printer)
        ),
    )


async def _autoscale_one(
    client: Client, session: Session, info: Info, options: AutoscaleOptions, printer: ResultPrinter
) -> None:
    resource = info.resource
    if "scale" not in resource.subresources:
        raise Failed(
            f"error: cannot autoscale a {resource.kind}: could not find scale subresource for "
            f"{resource.group}/{resource.version}, Resource={resource.plural} in discovery information"
        )
    await client.get(resource, info.name, info.namespace)
    await create_derived(
        client,
        session,
        autoscaler(info, options),
        printer,
        "created" if printer.dry else "autoscaled",
        field_manager=options.field_manager,
        record=options.record,
        save_config=options.save_config,
    )


def autoscaler(info: Info, options: AutoscaleOptions) -> autoscaling_pb2.HorizontalPodAutoscaler:
    """Make the autoscaler of an object. A bound or a target that is negative is left to the server."""
    from kubelab.api.autoscaling.v1 import autoscaling_pb2

    made = autoscaling_pb2.HorizontalPodAutoscaler()
    made.metadata.name = options.name or info.name
    target = made.spec.scaleTargetRef
    target.kind, target.name, target.apiVersion = info.resource.kind, info.name, info.resource.api_version
    made.spec.maxReplicas = options.max
    if options.min > 0:
        made.spec.minReplicas = options.min
    if options.cpu_percent >= 0:
        made.spec.targetCPUUtilizationPercentage = options.cpu_percent
    return made


AUTOSCALE = Command(
    "autoscale",
    run=_autoscale,
    options=AutoscaleOptions,
    flags=(
        Flag(
            "--cpu-percent",
            kind="int",
            default=-1,
            help="The target average CPU utilization (represented as a percent of requested CPU) over all the pods. If "
            "it's not specified or negative, a default autoscaling policy will be used.",
        ),
        DRY_RUN,
        field_manager_flag("autoscale"),
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help="Filename, directory, or URL to files identifying the resource to autoscale.",
        ),
        Flag(
            "--max",
            kind="int",
            default=-1,
            required=True,
            help="The upper limit for the number of pods that can be set by the autoscaler. Required.",
        ),
        Flag(
            "--min",
            kind="int",
            default=-1,
            help="The lower limit for the number of pods that can be set by the autoscaler. If it's not specified or "
            "negative, the server will apply a default value.",
        ),
        Flag(
            "--name",
            help="The name for the newly created object. If not specified, the name of the input resource will be "
            "used.",
        ),
        OUTPUT,
        RECORD,
        RECURSIVE,
        SAVE_CONFIG,
    ),
    about="""\
Creates an autoscaler that automatically chooses and sets the number of pods that run in a Kubernetes cluster.

 Looks up a deployment, replica set, stateful set, or replication controller by name and creates an autoscaler that \
uses the given resource as a reference. An autoscaler can automatically increase or decrease number of pods deployed \
within the system as needed.""",
    examples="""\
# Auto scale a deployment "foo", with the number of pods between 2 and 10, no target CPU utilization specified so a \
default autoscaling policy will be used
kctl autoscale deployment foo --min=2 --max=10

# Auto scale a replication controller "foo", with the number of pods between 1 and 5, target CPU utilization at 80%
kctl autoscale rc foo --max=5 --cpu-percent=80""",
    usage="kctl autoscale (-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu-percent=CPU]",
)
