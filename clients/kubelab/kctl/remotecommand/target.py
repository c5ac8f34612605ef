"""The pod and the container that a command means."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import attachable
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery.clock import Clock
    from kubelab.client.client import Client

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
CONTAINER = Flag(
    "--container",
    "-c",
    help="Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the "
    "container to be attached or the first container in the pod will be chosen",
)
POD_RUNNING_TIMEOUT = Flag(
    "--pod-running-timeout",
    kind="duration",
    default=60.0,
    help="The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
)
QUIET = Flag("--quiet", "-q", kind="bool", help="Only print output from the remote session")
STDIN = Flag("--stdin", "-i", kind="bool", help="Pass stdin to the container")
TTY = Flag("--tty", "-t", kind="bool", help="Stdin is a TTY")


def check_running_timeout(seconds: float) -> None:
    """UsageProblem for a ``--pod-running-timeout`` that cannot be waited."""
    if seconds <= 0:
        raise UsageProblem("--pod-running-timeout: must be higher than zero")


async def running_pod(
    client: Client, argument: str, namespace: str, seconds: float, clock: Clock, doing: str
) -> core_pb2.Pod:
    """Find the pod of POD or TYPE/NAME. Raises NotFound, and Failed for one that has ended.

    ``doing`` is such as ``exec into``."""
    from kubelab.apimachinery.core.pods import is_terminal

    obj = await attachable.find_object(client, argument, namespace)
    pod = await attachable.pod_of(client, obj, namespace, seconds, clock)
    if is_terminal(pod):
        raise Failed(f"error: cannot {doing} a container in a completed pod; current phase is {pod.status.phase}")
    return pod


def container_of(pod: core_pb2.Pod, name: str, *, quiet: bool = False) -> core_pb2.Container:
    """Choose the container. Failed for one that there is not."""
    containers = [*pod.spec.containers, *pod.spec.initContainers]
    if not name:
        name = pod.metadata.annotations.get(DEFAULT_CONTAINER, "")
        if not any(container.name == name for container in containers):
            if len(pod.spec.containers) > 1 and not quiet:
                names = ", ".join(
                    [c.name for c in pod.spec.containers] + [f"{c.name} (init)" for c in pod.spec.initContainers]
                )
                print(escaped(f'Defaulted container "{containers[0].name}" out of: {names}'), file=sys.stderr)
            return containers[0]
    found = next((container for container in containers if container.name == name), None)
    if found is None:
        raise Failed(escaped(f"error: container {name} not found in pod {pod.metadata.name}"))
    return found
