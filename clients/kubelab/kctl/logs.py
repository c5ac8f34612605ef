"""``kctl logs``: prints what a pod's containers wrote, read through the api-server and the kubelet.

One task follows each stream. A task writes whole lines, so the lines of two streams never mix.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import resource as resources
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import SELECTOR
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.podselectors import first_pods, selector_of
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client

EXPECTED = """\
expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.
POD or TYPE/NAME is a required argument for the logs command"""
SELECTED_TAIL = 10  # lines of each pod, when pods are chosen by a selector


@dataclass(frozen=True, slots=True)
class LogsOptions:
    all_containers: bool
    all_pods: bool
    container: str
    follow: bool
    ignore_errors: bool
    limit_bytes: int
    max_log_requests: int
    pod_running_timeout: float
    prefix: bool
    previous: bool
    selector: str
    since: float
    since_time: str
    tail: int
    timestamps: bool


@dataclass(frozen=True, slots=True)
class LogsRequest:
    """The logs to read, and their format."""

    options: LogsOptions
    namespace: str
    argument: str  # POD or TYPE/NAME, "" with a selector
    container: str
    pod_options: core_pb2.PodLogOptions


def _logs(session: Session, args: tuple[str, ...], options: LogsOptions) -> int:
    if options.selector and args:
        raise UsageProblem("only a selector (-l) or a POD name is allowed", session.command_path, hint="arguments")
    if not options.selector and len(args) not in (1, 2):
        raise UsageProblem(EXPECTED, session.command_path, hint="arguments")
    if options.pod_running_timeout <= 0:
        raise UsageProblem("--pod-running-timeout must be higher than zero")
    container = options.container
    if len(args) == 2 and "/" not in args[0]:
        if container:
            raise UsageProblem("only one of -c or an inline [CONTAINER] arg is allowed", session.command_path)
        container = args[1]
    if options.all_containers and container:
        raise UsageProblem(f"--all-containers=true should not be specified with container name {container}")
    tail = SELECTED_TAIL if options.selector and not session.line.changed("tail") else options.tail
    pod_options = _pod_options(options, tail)
    request = LogsRequest(options, session.namespace, args[0] if args else "", container, pod_options)
    return session.run(lambda client: _run(client, request))


def _pod_options(options: LogsOptions, tail: int) -> core_pb2.PodLogOptions:
    """Make the request's options. Raises UsageProblem for a limit out of range."""
    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery.manifest.jsonmapping import parse_time

    pod_options = core_pb2.PodLogOptions(
        follow=options.follow, previous=options.previous, timestamps=options.timestamps
    )
    if tail < -1:
        raise UsageProblem("--tail must be greater than or equal to -1")
    if tail >= 0:
        pod_options.tailLines = tail
    if options.since < 0:
        raise UsageProblem("--since must be greater than 0")
    if options.since and options.since_time:
        raise UsageProblem("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if options.since:
        pod_options.sinceSeconds = max(1, round(options.since))
    if options.since_time:
        moment = parse_time(options.since_time)
        if moment is None:
            raise UsageProblem(f'parsing time "{options.since_time}": expected RFC 3339, such as 2006-01-02T15:04:05Z')
        pod_options.sinceTime.seconds, pod_options.sinceTime.nanos = moment
    if options.limit_bytes < 0:
        raise UsageProblem("--limit-bytes must be greater than 0")
    if options.limit_bytes:
        pod_options.limitBytes = options.limit_bytes
    return pod_options


async def _run(client: Client, request: LogsRequest) -> int:
    pods = await _pods(client, request)
    if not pods and request.options.selector:
        print(f"No resources found in {request.namespace} namespace.", file=sys.stderr)
        return 0
    streams = [(pod, name) for pod in pods for name in _containers(pod, request)]
    if request.options.follow and len(streams) > request.options.max_log_requests:
        raise Failed(
            f"error: you are attempting to follow {len(streams)} log streams, but maximum allowed concurrency is "
            f"{request.options.max_log_requests}, use --max-log-requests to increase the limit"
        )
    if not request.options.follow or len(streams) == 1:
        for pod, container in streams:
            await _copy(client, pod, container, request)
        return 0
    try:
        async with asyncio.TaskGroup() as group:
            for pod, container in streams:
                name = f"logs-{pod.metadata.name}-{container}"
                group.create_task(_copy(client, pod, container, request), name=name)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return 0


async def _pods(client: Client, request: LogsRequest) -> list[core_pb2.Pod]:
    from kubelab.apimachinery.errors import NotFound
    from kubelab.apimachinery.scheme import PODS

    if request.options.selector:
        return (await client.list(PODS, request.namespace, label_selector=request.options.selector)).items
    word, slash, name = request.argument.rpartition("/")
    resource = resources.find(word) if slash else PODS
    if not name:
        raise UsageProblem(resources.EMPTY_NAME)
    try:
        if resource is PODS:
            return [await client.get(PODS, name, request.namespace)]
        return await _pods_of(client, request, resources.Info(resource, name, request.namespace))
    except NotFound as err:
        raise Failed(f'error: error from server (NotFound): {err.message} in namespace "{request.namespace}"') from err


async def _pods_of(client: Client, request: LogsRequest, owner: resources.Info) -> list[core_pb2.Pod]:
    """Give all pods of a workload or behind a service with ``--all-pods``; else choose one, and say which."""
    workload = await client.get(owner.resource, owner.name, owner.namespace)
    selector = selector_of(workload)
    if selector is None:
        raise Failed(f"error: cannot get the logs from {owner.resource}: no pods belong to it")
    seconds = request.options.pod_running_timeout
    pods = await first_pods(client, request.namespace, selector, seconds) if selector else []
    if not pods:
        raise Failed(f"error: timed out waiting for the condition: no pod of {request.argument} is there")
    if request.options.all_pods:
        return sorted(pods, key=lambda pod: pod.metadata.name)
    pods.sort(key=lambda p: (p.status.phase != "Running", p.metadata.creationTimestamp.seconds, p.metadata.name))
    if len(pods) > 1:
        print(f"Found {len(pods)} pods, using pod/{escaped(pods[0].metadata.name)}", file=sys.stderr)
    return pods[:1]


def _containers(pod: core_pb2.Pod, request: LogsRequest) -> Sequence[str]:
    names = [c.name for c in pod.spec.containers]
    if request.options.all_containers:
        return names
    if request.container:
        if request.container not in names:
            raise Failed(f"error: container {request.container} is not valid for pod {pod.metadata.name}")
        return [request.container]
    chosen = pod.metadata.annotations.get("kubectl.kubernetes.io/default-container", "")
    if chosen not in names:
        chosen = names[0] if names else ""
        if len(names) > 1:
            print(escaped(f'Defaulted container "{chosen}" out of: {", ".join(names)}'), file=sys.stderr)
    return [chosen]


async def _copy(client: Client, pod: core_pb2.Pod, container: str, request: LogsRequest) -> None:
    from kubelab.apimachinery.errors import ApiError

    pod_options = deep_copy(request.pod_options)
    pod_options.container = container
    prefixed = request.options.prefix or request.options.all_pods
    prefix = escaped(f"[pod/{pod.metadata.name}/{container}] ").encode() if prefixed else b""
    lines = _Lines(prefix)
    chunks = client.pod_logs(pod.metadata.namespace, pod.metadata.name, pod_options)
    try:
        async for chunk in chunks:
            lines.write(chunk)
    except ApiError as err:
        if not request.options.ignore_errors:
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
    run=_logs,
    options=LogsOptions,
    flags=(
        Flag("--all-containers", kind="bool", help="Get all containers' logs in the pod(s)."),
        Flag("--all-pods", kind="bool", help="Get logs from all pod(s). Sets prefix to true."),
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
        Flag(
            "--pod-running-timeout",
            kind="duration",
            default=20.0,
            help="The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is there",
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

# Return snapshot logs from all pods of deployment nginx
kctl logs deployment/nginx --all-pods=true

# Return snapshot logs from all pods defined by label app=nginx
kctl logs -l app=nginx --all-containers=true
""",
    usage="kctl logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
)
