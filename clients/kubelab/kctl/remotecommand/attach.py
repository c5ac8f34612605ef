"""``kctl attach``: the streams of a container's first process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.remotecommand import streams, target
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client

PROMPT = "If you don't see a command prompt, try pressing enter."


@dataclass(frozen=True, slots=True)
class AttachOptions:
    container: str
    pod_running_timeout: float
    quiet: bool
    stdin: bool
    tty: bool


def _attach(session: Session, args: tuple[str, ...], options: AttachOptions) -> int:
    if not args:
        raise UsageProblem("at least 1 argument is required for attach")
    if len(args) > 2:
        raise UsageProblem(
            f"expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {len(args)}: [{' '.join(args)}]"
        )
    target.check_running_timeout(options.pod_running_timeout)
    return session.run(lambda client: _run(client, session, "/".join(args), options), endless=True)


async def _run(client: Client, session: Session, argument: str, options: AttachOptions) -> int:
    pod = await target.running_pod(
        client, argument, session.namespace, options.pod_running_timeout, session.clock, "attach"
    )
    await attach(client, pod, options)
    return 0


async def attach(client: Client, pod: core_pb2.Pod, options: AttachOptions) -> None:
    """Attach to a pod's container until it ends. Failed, ApiError."""
    from kubelab.api.core.v1 import core_pb2

    container = target.container_of(pod, options.container, quiet=options.quiet)
    if options.tty and not container.tty and not options.quiet:
        message = f"error: Unable to use a TTY - container {container.name} did not allocate one"
        print(escaped(message), file=sys.stderr)
    wanted = streams.settle(stdin=options.stdin, tty=container.tty, quiet=options.quiet or not options.tty)
    if not options.quiet:
        print(PROMPT, file=sys.stderr)
    asked = core_pb2.PodAttachOptions(
        container=container.name, stdin=wanted.stdin, stdout=True, stderr=not container.tty, tty=container.tty
    )
    namespace, name = pod.metadata.namespace, pod.metadata.name
    try:
        status = await streams.serve(lambda: client.attach(namespace, name, asked), wanted, redraw=True)
    except ConnectionError as err:
        raise Failed(f"error: {err}") from err
    if streams.exit_code(status) == 0 and wanted.tty and not options.quiet and pod.spec.restartPolicy == "Always":
        again = f"kctl attach {name} -c {container.name} -i -t"
        print(escaped(f"Session ended, resume using '{again}' command when the pod is running"))


ATTACH = Command(
    "attach",
    run=_attach,
    options=AttachOptions,
    flags=(target.CONTAINER, target.POD_RUNNING_TIMEOUT, target.QUIET, target.STDIN, target.TTY),
    about="Attach to a process that is already running inside an existing container.",
    examples="""\
# Get output from running pod mypod; use the 'kubectl.kubernetes.io/default-container' annotation
# for selecting the container to be attached or the first container in the pod will be chosen
kctl attach mypod

# Get output from ruby-container from pod mypod
kctl attach mypod -c ruby-container

# Switch to raw terminal mode; sends stdin to 'bash' in ruby-container from pod mypod
# and sends stdout/stderr from 'bash' back to the client
kctl attach mypod -c ruby-container -i -t

# Get output from the first pod of a replica set named nginx
kctl attach rs/nginx""",
    usage="kctl attach (POD | TYPE/NAME) -c CONTAINER",
)
