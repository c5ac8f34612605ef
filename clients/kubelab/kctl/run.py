"""``kctl run``: one pod of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import generators, overrides
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import (
    CASCADE,
    DELETE_TIMEOUT,
    DELETE_WAIT,
    DRY_RUN,
    FORCE,
    GRACE_PERIOD,
    OUTPUT,
    SAVE_CONFIG,
    CreateOptions,
    field_manager,
)
from kubelab.kctl.create.generated import create_derived, show_derived
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.remotecommand.runattached import Attachment
from kubelab.kctl.remotecommand.target import POD_RUNNING_TIMEOUT
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class RunOptions(CreateOptions):
    annotations: tuple[str, ...]
    attach: bool
    cascade: str
    command: bool
    env: tuple[str, ...]
    expose: bool
    field_manager: str
    force: bool
    grace_period: int
    image: str
    image_pull_policy: str
    labels: str
    leave_stdin_open: bool
    override_type: str
    overrides: str
    pod_running_timeout: float
    port: str
    privileged: bool
    quiet: bool
    restart: str
    rm: bool
    save_config: bool
    stdin: bool
    timeout: float
    tty: bool
    wait: bool


def _run(session: Session, args: tuple[str, ...], options: RunOptions) -> int:
    if not args:
        raise UsageProblem("NAME is required for run", session.command_path, hint="arguments")
    if not options.image:
        raise UsageProblem("--image is required")
    if options.expose and not options.port:
        raise UsageProblem("--port must be set when exposing a service", session.command_path, hint="arguments")
    printer = ResultPrinter.of(options.output, options.dry_run, typed=True)
    how = _attachment(session, options)
    how.check(session.command_path, dry=bool(printer.dry))
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
    how.settle(pod)
    if options.overrides:
        pod = overrides.overridden(pod, options.overrides, options.override_type)
    made: list[Message] = [generators.service_of_pod(args[0], options.port, options.labels)] if options.expose else []
    made.append(pod)
    if printer.dry:
        for obj in made:
            show_derived(session, obj, printer)
        return 0

    async def run(client: Client) -> int:
        for obj in made:
            await create_derived(
                client,
                session,
                obj,
                printer,
                "created",
                field_manager=options.field_manager,
                save_config=options.save_config,
                show=not how.attach,
            )
        if not how.attach:
            return 0
        try:
            return await _follow(client, session, args[0], how)
        finally:
            if how.rm:
                await _remove(client, session, made, options)

    return session.run(run, endless=how.attach)


def _attachment(session: Session, options: RunOptions) -> Attachment:
    return Attachment(
        attach=options.attach if session.line.changed("attach") else options.stdin,
        stdin=options.stdin,
        tty=options.tty,
        leave_stdin_open=options.leave_stdin_open,
        rm=options.rm,
        quiet=options.quiet,
        pod_running_timeout=options.pod_running_timeout,
    )


async def _follow(client: Client, session: Session, name: str, how: Attachment) -> int:
    from kubelab.apimachinery.scheme import PODS
    from kubelab.kctl.remotecommand import runattached

    pod = await client.get(PODS, name, session.namespace)
    return await runattached.follow(client, pod, how, session.clock)


async def _remove(client: Client, session: Session, made: Sequence[Message], options: RunOptions) -> None:
    """Delete what was made, as ``--rm`` says; what has gone meanwhile is no error."""
    from kubelab.apimachinery import scheme
    from kubelab.apimachinery.errors import NotFound
    from kubelab.kctl import deleting
    from kubelab.kctl.delete import grace_of, policy_of
    from kubelab.kctl.resource import Info

    grace, policy = grace_of(options.grace_period, now=False, force=options.force), policy_of(options.cascade)
    for obj in reversed(made):
        info = Info(scheme.of_object(obj), cast(Any, obj).metadata.name, session.namespace)
        try:
            if options.wait:
                await deleting.delete_and_wait(
                    client, info, session.clock, grace=grace, policy=policy, seconds=options.timeout
                )
            else:
                await client.delete(
                    info.resource, info.name, info.namespace, grace_period_seconds=grace, propagation_policy=policy
                )
        except NotFound:
            continue
        if not options.quiet:
            print(f'{info.resource.singular} "{escaped(info.name)}" deleted')


RUN = Command(
    "run",
    run=_run,
    options=RunOptions,
    flags=(
        Flag("--annotations", kind="list", help="Annotations to apply to the pod."),
        Flag(
            "--attach",
            kind="bool",
            help="If true, wait for the Pod to start running, and then attach to the Pod as if 'kctl attach ...' were "
            "called.  Default false, unless '-i/--stdin' is set, in which case the default is true. With "
            "'--restart=Never' the exit code of the container process is returned.",
        ),
        CASCADE,
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
        FORCE,
        GRACE_PERIOD,
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
        Flag(
            "--leave-stdin-open",
            kind="bool",
            help="If the pod is started in interactive mode or with stdin, leave stdin open after the first attach "
            "completes. By default, stdin will be closed after the first attach completes.",
        ),
        OUTPUT,
        *overrides.FLAGS,
        POD_RUNNING_TIMEOUT,
        Flag("--port", help="The port that this container exposes."),
        Flag("--privileged", kind="bool", help="If true, run the container in privileged mode."),
        Flag(
            "--restart",
            default="Always",
            help="The restart policy for this Pod.  Legal values [Always, OnFailure, Never].",
        ),
        Flag(
            "--rm",
            kind="bool",
            help="If true, delete the pod after it exits.  Only valid when attaching to the container, e.g. with "
            "'--attach' or with '-i/--stdin'.",
        ),
        Flag("--quiet", "-q", kind="bool", help="If true, suppress prompt messages."),
        SAVE_CONFIG,
        Flag(
            "--stdin",
            "-i",
            kind="bool",
            help="Keep stdin open on the container in the pod, even if nothing is attached.",
        ),
        DELETE_TIMEOUT,
        Flag("--tty", "-t", kind="bool", help="Allocate a TTY for the container in the pod."),
        DELETE_WAIT,
    ),
    about="Create and run a particular image in a pod.",
    examples="""\
# Start a pod
kctl run web --image=kubelab/hello:v-1.0.0

# Start a pod with a shell, attach to it, and delete the pod when the shell has ended
kctl run -i -t --rm shell --image=host --restart=Never -- sh

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
