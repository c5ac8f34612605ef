"""``kctl exec``: a command in a container of a pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.remotecommand import streams, target
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class ExecOptions:
    container: str
    filename: tuple[str, ...]
    pod_running_timeout: float
    quiet: bool
    stdin: bool
    tty: bool


def _exec(session: Session, args: tuple[str, ...], options: ExecOptions) -> int:
    before = session.line.dash if session.line.dash >= 0 else len(args)
    named, command = args[:before], args[before:]
    if session.line.dash < 0 and (len(args) > 1 or (args and options.filename)):
        raise UsageProblem(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead",
            session.command_path,
            hint="arguments",
        )
    if not named and not options.filename:
        raise UsageProblem("pod, type/name or --filename must be specified")
    if not command:
        raise UsageProblem("you must specify at least one command for the container")
    target.check_running_timeout(options.pod_running_timeout)
    argument = named[0] if named else _of_file(session, options.filename)
    return session.run(lambda client: _run(client, session, argument, command, options), endless=True)


def _of_file(session: Session, filename: tuple[str, ...]) -> str:
    """Give TYPE/NAME of a file's object."""
    from kubelab.kctl import builder
    from kubelab.kctl.commonflags import ResourceOptions

    selection = builder.build(session, (), ResourceOptions(filename=filename, recursive=False, selector=""))
    if not selection.items:
        raise UsageProblem("no objects passed to exec")
    item = selection.items[0]
    return f"{item.resource.plural}/{item.name}"


async def _run(client: Client, session: Session, argument: str, command: tuple[str, ...], options: ExecOptions) -> int:
    from kubelab.api.core.v1 import core_pb2

    namespace = session.namespace
    pod = await target.running_pod(client, argument, namespace, options.pod_running_timeout, session.clock, "exec into")
    # one that is named is the server's to find
    container = options.container or target.container_of(pod, "", quiet=options.quiet).name
    wanted = streams.settle(stdin=options.stdin, tty=options.tty, quiet=options.quiet)
    asked = core_pb2.PodExecOptions(
        container=container,
        command=command,
        stdin=wanted.stdin,
        stdout=True,
        stderr=not wanted.tty,
        tty=wanted.tty,
    )
    try:
        status = await streams.serve(lambda: client.exec(namespace, pod.metadata.name, asked), wanted)
    except ConnectionError as err:
        raise Failed(f"error: {err}") from err
    return streams.exit_code(status)


EXEC = Command(
    "exec",
    run=_exec,
    options=ExecOptions,
    flags=(
        target.CONTAINER,
        Flag("--filename", "-f", kind="csv", help="to use to exec into the resource"),
        target.POD_RUNNING_TIMEOUT,
        target.QUIET,
        target.STDIN,
        target.TTY,
    ),
    about="Execute a command in a container.",
    examples="""\
# Get output from running the 'date' command from pod mypod, using the first container by default
kctl exec mypod -- date

# Get output from running the 'date' command in ruby-container from pod mypod
kctl exec mypod -c ruby-container -- date

# Switch to raw terminal mode; sends stdin to 'bash' in ruby-container from pod mypod
# and sends stdout/stderr from 'bash' back to the client
kctl exec mypod -c ruby-container -i -t -- bash -il

# List contents of /usr from the first container of pod mypod and sort by modification time
# Two dashes (--) separate the command and its own flags from those of kctl
kctl exec mypod -i -t -- ls -t /usr

# Get output from running 'date' command from the first pod of the deployment mydeployment
kctl exec deploy/mydeployment -- date""",
    usage="kctl exec (POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]",
)
