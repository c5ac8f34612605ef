"""What ``kctl run`` does after it has made a pod that it is to attach to: ``--attach``, ``-i`` and ``--rm``."""

from __future__ import annotations

import sys
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.remotecommand import target, terminal
from kubelab.kctl.remotecommand.attach import AttachOptions, attach
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery.clock import Clock
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class Attachment:
    """The flags of ``run`` that say how."""

    attach: bool
    stdin: bool
    tty: bool
    leave_stdin_open: bool
    rm: bool
    quiet: bool
    pod_running_timeout: float

    def check(self, command: str, *, dry: bool) -> None:
        """UsageProblem in kubectl's words."""
        if self.rm and not self.attach:
            raise UsageProblem("--rm should only be used for attached containers", command, hint="arguments")
        if self.tty and not self.stdin:
            raise UsageProblem("-i/--stdin is required for containers with -t/--tty=true", command, hint="arguments")
        if dry and (self.attach or self.stdin or self.tty):
            raise UsageProblem(
                "--dry-run=[server|client] can't be used with attached containers options "
                "(--attach, --stdin, or --tty)",
                command,
                hint="arguments",
            )
        target.check_running_timeout(self.pod_running_timeout)

    def settle(self, pod: Any) -> None:
        """Say in the pod what its container is to have open."""
        container = pod.spec.containers[0]
        container.stdin, container.tty = self.stdin, self.tty
        container.stdinOnce = self.stdin and not self.leave_stdin_open


async def follow(client: Client, made: core_pb2.Pod, how: Attachment, clock: Clock) -> int:
    """Attach to a pod once it runs, or print its log where it has ended by then; gives its exit code. Failed."""
    from kubelab.apimachinery.core.pods import SUCCEEDED, TERMINAL_PHASES, is_terminal

    info = _info(made)
    pod = await _until(client, info, clock, _ready_or_completed, how.pod_running_timeout)
    if is_terminal(pod):
        await _log(client, pod)
    else:
        options = AttachOptions("", how.pod_running_timeout, how.quiet, how.stdin, how.tty)
        await _attach_or_log(client, pod, options)
    if how.leave_stdin_open or pod.spec.restartPolicy == "Always":
        return 0
    wanted = (SUCCEEDED,) if pod.spec.restartPolicy == "OnFailure" else TERMINAL_PHASES
    return _exit_code(await _until(client, info, clock, lambda now: now.status.phase in wanted, None))


def _info(pod: core_pb2.Pod) -> Info:
    from kubelab.apimachinery.scheme import PODS

    return Info(PODS, pod.metadata.name, pod.metadata.namespace)


async def _attach_or_log(client: Client, pod: core_pb2.Pod, options: AttachOptions) -> None:
    from kubelab.apimachinery.errors import ApiError

    try:
        await attach(client, pod, options)
    except (ApiError, Failed) as err:
        why = err.message if isinstance(err, ApiError) else str(err).removeprefix("error: ")
        print(
            escaped(f"warning: couldn't attach to pod/{pod.metadata.name}, falling back to streaming logs: {why}"),
            file=sys.stderr,
        )
        await _log(client, pod)


async def _log(client: Client, pod: core_pb2.Pod) -> None:
    from kubelab.api.core.v1 import core_pb2

    options = core_pb2.PodLogOptions(container=pod.spec.containers[0].name, follow=True)
    async with aclosing(client.pod_logs(pod.metadata.namespace, pod.metadata.name, options)) as chunks:
        async for chunk in chunks:
            terminal.write(chunk)


def _ready_or_completed(pod: core_pb2.Pod) -> bool:
    from kubelab.apimachinery.core.pods import RUNNING, is_ready, is_terminal

    return is_terminal(pod) or (pod.status.phase == RUNNING and is_ready(pod))


async def _until(
    client: Client, info: Info, clock: Clock, condition: Callable[[core_pb2.Pod], bool], seconds: float | None
) -> core_pb2.Pod:
    """Wait until a pod is so. Failed where it goes, or after ``seconds``."""
    from kubelab.kctl.listwatch import object_states

    try:
        async with clock.timeout(seconds), aclosing(object_states(client, info, clock)) as states:
            async for state in states:
                if state is None:
                    raise Failed(f"error: pod {info.namespace}/{info.name} was deleted")
                pod = cast("core_pb2.Pod", state)
                if condition(pod):
                    return pod
    except TimeoutError:
        pass
    raise Failed("error: timed out waiting for the condition")


def _exit_code(pod: core_pb2.Pod) -> int:
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if pod.status.phase == "Succeeded":
        return 0
    terminated = next((status.state.terminated for status in pod.status.containerStatuses), None)
    if terminated is None or not terminated.exitCode:
        raise Failed(f"error: pod {name} failed with unknown exit code")
    sys.stdout.flush()
    print(escaped(f"pod {name} terminated ({terminated.reason})"), file=sys.stderr)
    if terminated.message:
        print(escaped(terminated.message), file=sys.stderr)
    return terminated.exitCode
