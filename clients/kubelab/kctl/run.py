"""``kctl run``: one pod of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import generators, overrides
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, SAVE_CONFIG, CreateOptions, field_manager
from kubelab.kctl.create.generated import create_derived, show_derived
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class RunOptions(CreateOptions):
    annotations: tuple[str, ...]
    command: bool
    env: tuple[str, ...]
    expose: bool
    field_manager: str
    image: str
    image_pull_policy: str
    labels: str
    override_type: str
    overrides: str
    port: str
    privileged: bool
    restart: str
    save_config: bool


def _run(session: Session, args: tuple[str, ...], options: RunOptions) -> int:
    if not args:
        raise UsageProblem("NAME is required for run", session.command_path, hint="arguments")
    if not options.image:
        raise UsageProblem("--image is required")
    if options.expose and not options.port:
        raise UsageProblem("--port must be set when exposing a service", session.command_path, hint="arguments")
    printer = ResultPrinter.of(options.output, options.dry_run, typed=True)
    pod: Message = generators.pod(
        args[0],
        image=options.image,
        restart=options.restart,
        port=options.port,
        labels=options.labels,
        annotations=options.annotations,
        env=options.env,
        arguments=args[1:],
        as_command=options.command,
        image_pull_policy=options.image_pull_policy,
        privileged=options.privileged,
    )
    if options.overrides:
        pod = overrides.overridden(pod, options.overrides, options.override_type)
    made: list[Message] = [generators.service_of_pod(args[0], options.port, options.labels)] if options.expose else []
    made.append(pod)
    if printer.dry:
        for obj in made:
            show_derived(session, obj, printer)
        return 0

    async def create_all(client: Client) -> int:
        for obj in made:
            await create_derived(
                client,
                session,
                obj,
                printer,
                "created",
                field_manager=options.field_manager,
                save_config=options.save_config,
            )
        return 0

    return session.run(create_all)


RUN = Command(
    "run",
    run=_run,
    options=RunOptions,
    flags=(
        Flag("--annotations", kind="list", help="Annotations to apply to the pod."),
        Flag(
            "--command",
            kind="bool",
            help="If true and extra arguments are present, use them as the 'command' field in the container, rather "
            "than the 'args' field which is the default.",
        ),
        DRY_RUN,
        Flag("--env", kind="list", help="Environment variables to set in the container."),
        Flag(
            "--expose",
            kind="bool",
            help="If true, create a ClusterIP service associated with the pod.  Requires `--port`.",
        ),
        field_manager("run"),
        Flag("--image", required=True, help="The image for the container to run."),
        Flag(
            "--image-pull-policy",
            help="The image pull policy for the container.  If left empty, this value will not be specified by the "
            "client and defaulted by the server.",
        ),
        Flag(
            "--labels",
            "-l",
            help="Comma separated labels to apply to the pod. Will override previous values.",
        ),
        OUTPUT,
        *overrides.FLAGS,
        Flag("--port", help="The port that this container exposes."),
        Flag("--privileged", kind="bool", help="If true, run the container in privileged mode."),
        Flag(
            "--restart",
            default="Always",
            help="The restart policy for this Pod.  Legal values [Always, OnFailure, Never].",
        ),
        SAVE_CONFIG,
    ),
    about="Create and run a particular image in a pod.",
    examples="""\
# Start a pod
kctl run web --image=kubelab/hello:v-1.0.0

# Start a pod and let the container expose port 8080, with a label
kctl run web --image=kubelab/hello:v-1.0.0 --port=8080 --labels="app=web"

# Print the API object without creating it
kctl run web --image=kubelab/hello:v-1.0.0 --dry-run=client -o yaml

# Start a pod and overload its spec with a partial set of values parsed from JSON
kctl run web --image=kubelab/hello:v-1.0.0 --overrides='{ "apiVersion": "v1", "spec": { ... } }'

# Start a pod with the default command, but other arguments
kctl run web --image=kubelab/hello:v-1.0.0 -- <arg1> <arg2> ... <argN>

# Start a pod with another command
kctl run once --image=kubelab/hello:v-1.0.0 --restart=Never --command -- /bin/sh -c 'echo hello'
""",
    usage='kctl run NAME --image=image [--env="key=value"] [--port=port] [--dry-run=server|client] '
    "[--overrides=inline-json] [--command] -- [COMMAND] [args...]",
)
