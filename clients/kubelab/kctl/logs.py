"""``kctl logs``: what a pod's containers wrote, read through the api-server and the kubelet.

Several streams are followed side by side, one task each; each writes whole lines, so that they do not tear.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import resource as resources
from kubelab.kctl.command import Command, line_of
from kubelab.kctl.commonflags import SELECTOR
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client

EXPECTED = """\
expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.
POD or TYPE/NAME is a required argument for the logs command"""
SELECTED_TAIL = 10  # lines of each pod, when pods are chosen by a selector


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read, and how to print it."""

    namespace: str
    what: str = ""
    selector: str = ""
    container: str = ""
    all_containers: bool = False
    follow: bool = False
    prefix: bool = False
    ignore_errors: bool = False
    at_once: int = 5
    options: Any = None  # PodLogOptions


@click.pass_context
def _logs(
    ctx: click.Context,
    args: tuple[str, ...],
    container: str,
    all_containers: bool,
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail: int,
    since: float,
    since_time: str,
    limit_bytes: int,
    prefix: bool,
    ignore_errors: bool,
    max_log_requests: int,
    selector: str,
    **_: object,
) -> int:
    session: Session = ctx.obj
    if selector and args:
        raise UsageProblem("only a selector (-l) or a POD name is allowed", ctx.command_path, hint="arguments")
    if not selector and len(args) not in (1, 2):
        raise UsageProblem(EXPECTED, ctx.command_path, hint="arguments")
    if len(args) == 2 and "/" not in args[0]:
        if container:
            raise UsageProblem("only one of -c or an inline [CONTAINER] arg is allowed", ctx.command_path)
        container = args[1]
    if all_containers and container:
        raise UsageProblem(f"--all-containers=true should not be specified with container name {container}")
    from kubelab.api.core.v1 import core_pb2

    options = core_pb2.PodLogOptions(follow=follow, previous=previous, timestamps=timestamps)
    if selector and not line_of(ctx).given("tail"):
        tail = SELECTED_TAIL
    _limits(options, tail, since, since_time, limit_bytes)
    wanted = Wanted(
        session.namespace,
        args[0] if args else "",
        selector,
        container,
        all_containers,
        follow,
        prefix,
        ignore_errors,
        max_log_requests,
        options,
    )
    return session.run(lambda client: _run(client, wanted), endless=follow)


def _limits(options: core_pb2.PodLogOptions, tail: int, since: float, since_time: str, limit_bytes: int) -> None:
    """Set how much of the log is wanted."""
    from kubelab.apimachinery.manifest.forms import parse_time

    if tail < -1:
        raise UsageProblem("--tail must be greater than or equal to -1")
    if tail >= 0:
        options.tailLines = tail
    if since < 0:
        raise UsageProblem("--since must be greater than 0")
    if since and since_time:
        raise UsageProblem("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if since:
        options.sinceSeconds = max(1, round(since))
    if since_time:
        moment = parse_time(since_time)
        if moment is None:
            raise UsageProblem(f'parsing time "{since_time}": expected RFC 3339, such as 2006-01-02T15:04:05Z')
        options.sinceTime.seconds, options.sinceTime.nanos = moment
    if limit_bytes < 0:
        raise UsageProblem("--limit-bytes must be greater than 0")
    if limit_bytes:
        options.limitBytes = limit_bytes


async def _run(client: Client, wanted: Wanted) -> int:
    pods = await _pods(client, wanted)
    if not pods and wanted.selector:
        print(f"No resources found in {wanted.namespace} namespace.", file=sys.stderr)
        return 0
    streams = [(pod, name) for pod in pods for name in _containers(pod, wanted)]
    if wanted.follow and len(streams) > wanted.at_once:
        raise Failed(
            f"error: you are attempting to follow {len(streams)} log streams, but maximum allowed concurrency is "
            f"{wanted.at_once}, use --max-log-requests to increase the limit"
        )
    if not wanted.follow or len(streams) == 1:
        for pod, container in streams:
            await _copy(client, pod, container, wanted)
        return 0
    try:
        async with asyncio.TaskGroup() as group:
            for pod, container in streams:
                name = f"logs-{pod.metadata.name}-{container}"
                group.create_task(_copy(client, pod, container, wanted), name=name)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return 0


async def _pods(client: Client, wanted: Wanted) -> list[core_pb2.Pod]:
    from kubelab.apimachinery.errors import NotFound
    from kubelab.apimachinery.scheme import PODS

    if wanted.selector:
        return (await client.list(PODS, wanted.namespace, label_selector=wanted.selector)).items
    word, slash, name = wanted.what.rpartition("/")
    resource = resources.find(word) if slash else PODS
    if not name:
        raise UsageProblem(resources.EMPTY_NAME)
    try:
        if resource is PODS:
            return [await client.get(PODS, name, wanted.namespace)]
        return [await _first_pod(client, wanted, resources.Info(resource, name, wanted.namespace))]
    except NotFound as err:
        raise Failed(f'error: error from server (NotFound): {err.message} in namespace "{wanted.namespace}"') from err


async def _first_pod(client: Client, wanted: Wanted, owner: resources.Info) -> core_pb2.Pod:
    """Choose a pod of a controller or behind a service, and say which."""
    from kubelab.apimachinery.scheme import PODS, REPLICATION_CONTROLLERS, SERVICES

    kinds = {r.plural: r for r in (REPLICATION_CONTROLLERS, SERVICES)}
    resource = kinds.get(owner.resource.plural)
    if resource is None:
        raise Failed(f"error: cannot get the logs from {owner.resource}: no pods belong to it")
    found = await client.get(resource, owner.name, owner.namespace)
    selector = ",".join(f"{k}={v}" for k, v in sorted(found.spec.selector.items()))
    pods = (await client.list(PODS, wanted.namespace, label_selector=selector)).items if selector else []
    if not pods:
        raise Failed(f"error: timed out waiting for the condition: no pod of {wanted.what} is there")
    pods.sort(key=lambda p: (p.status.phase != "Running", p.metadata.creationTimestamp.seconds, p.metadata.name))
    if len(pods) > 1:
        print(f"Found {len(pods)} pods, using pod/{escaped(pods[0].metadata.name)}", file=sys.stderr)
    return pods[0]


def _containers(pod: core_pb2.Pod, wanted: Wanted) -> Sequence[str]:
    names = [c.name for c in pod.spec.containers]
    if wanted.all_containers:
        return names
    if wanted.container:
        if wanted.container not in names:
            raise Failed(f"error: container {wanted.container} is not valid for pod {pod.metadata.name}")
        return [wanted.container]
    chosen = pod.metadata.annotations.get("kubectl.kubernetes.io/default-container", "")
    if chosen not in names:
        chosen = names[0] if names else ""
        if len(names) > 1:
            print(escaped(f'Defaulted container "{chosen}" out of: {", ".join(names)}'), file=sys.stderr)
    return [chosen]


async def _copy(client: Client, pod: core_pb2.Pod, container: str, wanted: Wanted) -> None:
    from kubelab.apimachinery.errors import ApiError

    options = deep_copy(wanted.options)
    options.container = container
    prefix = escaped(f"[pod/{pod.metadata.name}/{container}] ").encode() if wanted.prefix else b""
    lines = _Lines(prefix)
    chunks = client.pod_logs(pod.metadata.namespace, pod.metadata.name, options)
    try:
        async for chunk in chunks:
            lines.write(chunk)
    except ApiError as err:
        if not wanted.ignore_errors:
            raise
        print(f"error: {escaped(err.message)}", file=sys.stderr)
    finally:
        await chunks.aclose()
        lines.end()


class _Lines:
    """Writes what arrives in chunks line by line, each after the prefix."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._rest = b""

    def write(self, chunk: bytes) -> None:
        whole, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        if newline:
            self._out(b"".join(self._prefix + line + b"\n" for line in whole.split(b"\n")))

    def end(self) -> None:
        if self._rest:
            self._out(self._prefix + self._rest)

    def _out(self, data: bytes) -> None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


LOGS = Command(
    "logs",
    callback=_logs,
    flags=(
        Flag("--all-containers", kind="bool", help="Get all containers' logs in the pod(s)."),
        Flag("--container", "-c", help="Print the logs of this container"),
        Flag("--follow", "-f", kind="bool", help="Specify if the logs should be streamed."),
        Flag(
            "--ignore-errors",
            kind="bool",
            help="If watching / following pod logs, allow for any errors that occur to be non-fatal",
        ),
        Flag("--limit-bytes", kind="int", default=0, help="Maximum bytes of logs to return. Defaults to no limit."),
        Flag(
            "--max-log-requests",
            kind="int",
            default=5,
            help="Specify maximum number of concurrent logs to follow when using by a selector. Defaults to 5.",
        ),
        Flag("--prefix", kind="bool", help="Prefix each log line with the log source (pod name and container name)"),
        Flag(
            "--previous",
            "-p",
            kind="bool",
            help="If true, print the logs for the previous instance of the container in a pod if it exists.",
        ),
        SELECTOR,
        Flag(
            "--since",
            kind="duration",
            help="Only return logs newer than a relative duration like 5s, 2m, or 3h. Defaults to all logs. Only one "
            "of since-time / since may be used.",
        ),
        Flag(
            "--since-time",
            help="Only return logs after a specific date (RFC3339). Defaults to all logs. Only one of since-time / "
            "since may be used.",
        ),
        Flag(
            "--tail",
            kind="int",
            default=-1,
            help="Lines of recent log file to display. Defaults to -1 with no selector, showing all log lines "
            "otherwise 10, if a selector is provided.",
        ),
        Flag("--timestamps", kind="bool", help="Include timestamps on each line in the log output"),
    ),
    about="Print the logs for a container in a pod or specified resource. If the pod has only one container, the "
    "container name is optional.",
    examples="""\
# Return snapshot logs from pod nginx with only one container
kctl logs nginx

# Begin streaming the logs of the ruby container in pod web-1
kctl logs -f -c ruby web-1

# Return snapshot of previous terminated ruby container logs from pod web-1
kctl logs -p -c ruby web-1

# Display only the most recent 20 lines of output in pod nginx
kctl logs --tail=20 nginx

# Return snapshot logs from all pods defined by label app=nginx
kctl logs -l app=nginx --all-containers=true
""",
    usage="kctl logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
)
