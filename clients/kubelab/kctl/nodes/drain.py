"""``kctl drain``: cordon a node and evict its pods, within their disruption budgets."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, SELECTOR
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.nodes.cordon import Cordoner, check_arguments, nodes_of
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client
    from kubelab.kctl.nodes.podstodelete import PodsToDelete

RETRY_SECONDS = 5.0  # kubectl's pause where a disruption budget says no


@dataclass(frozen=True, slots=True)
class DrainOptions:
    chunk_size: int
    delete_emptydir_data: bool
    disable_eviction: bool
    dry_run: str
    force: bool
    grace_period: int
    ignore_daemonsets: bool
    pod_selector: str
    selector: str
    skip_wait_for_delete_timeout: int
    timeout: float


def _drain(session: Session, args: tuple[str, ...], options: DrainOptions) -> int:
    from kubelab.apimachinery import labels

    check_arguments(args, options.selector, "drain NODE")
    try:
        labels.parse(options.pod_selector)
    except labels.SelectorError as err:
        raise UsageProblem("--pod-selector=<pod_selector> must be a valid label selector") from err
    printer = ResultPrinter.of("", options.dry_run)

    async def work(client: Client) -> visitor.Errors:
        nodes, missing = await nodes_of(client, args, options.selector)
        if missing:
            return missing
        if errors := await Cordoner(client, printer, desired=True).run(nodes):
            return errors
        return await _Drain(client, session, options, printer).run(nodes)

    return visitor.run(session, work, endless=True)


class _Drain:
    def __init__(self, client: Client, session: Session, options: DrainOptions, printer: ResultPrinter) -> None:
        self._client, self._session, self._options, self._printer = client, session, options, printer

    async def run(self, nodes: list[core_pb2.Node]) -> visitor.Errors:
        """Drain one node after the other, also after one that cannot be drained."""
        failed: dict[str, list[str]] = {}
        for node in nodes:
            name = node.metadata.name
            try:
                await self._node(name)
            except _Undrained as err:
                problems = [str(problem) for problem in err.args]
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                _warn(f'error: unable to drain node "{name}" due to error: {text}, continuing command...')
                failed[name] = problems
            else:
                print(self._printer.show(node, "drained"), end="", flush=True)
        if failed:
            _warn("There are pending nodes to be drained:")
            for name in failed:
                _warn(f" {name}")
        return [Failed(problem) for problems in failed.values() for problem in problems]

    async def _node(self, name: str) -> None:
        chosen = await self._select(name)
        if chosen.errors:
            raise _Undrained(*chosen.errors)
        if chosen.warning:
            _warn(f"Warning: {chosen.warning}")
        if self._printer.dry:
            for pod in chosen.pods:
                print(f"evicting pod {pod.metadata.namespace}/{pod.metadata.name} (dry run)")
            return
        try:
            await self._take_away(chosen.pods)
        except* _Undrained as group:
            problems = [str(arg) for error in group.exceptions for arg in error.args]
            pending = (await self._select(name)).pods
            if pending:
                _warn(f'There are pending pods in node "{name}" when an error occurred: {"; ".join(problems)}')
                for pod in pending:
                    _warn(f"pod/{pod.metadata.name}")
            raise _Undrained(*problems) from None

    async def _select(self, node: str) -> PodsToDelete:
        from kubelab.apimachinery.meta import meta_of
        from kubelab.apimachinery.scheme import PODS, by_plural
        from kubelab.kctl.nodes.podstodelete import Allowed, select

        options = self._options
        pods: list[core_pb2.Pod] = []
        pages = self._client.pages(PODS, label_selector=options.pod_selector, field_selector=f"spec.nodeName={node}")
        async for page in pages:
            pods += page.items
        daemon_sets: set[str] = set()
        resource = by_plural("apps", "daemonsets")
        if resource and any(owner.kind == "DaemonSet" for pod in pods for owner in pod.metadata.ownerReferences):
            async for page in self._client.pages(resource):
                daemon_sets.update(meta_of(one).uid for one in page.items)
        allowed = Allowed(
            force=options.force,
            ignore_daemonsets=options.ignore_daemonsets,
            delete_emptydir_data=options.delete_emptydir_data,
            skip_wait_seconds=options.skip_wait_for_delete_timeout,
        )
        return select(pods, allowed, daemon_sets, self._session.clock.time())

    async def _take_away(self, pods: list[core_pb2.Pod]) -> None:
        """Evict or delete all of them together, and wait until they are gone."""
        from kubelab.apimachinery.durations import format_seconds

        timeout = self._options.timeout
        try:
            async with self._session.clock.timeout(timeout or None), asyncio.TaskGroup() as group:
                for pod in pods:
                    group.create_task(self._one(pod), name=f"drain-{pod.metadata.name}")
        except TimeoutError:
            word = "deletion" if self._options.disable_eviction else "drain"
            raise _Undrained(f"{word} did not complete within {format_seconds(timeout)}") from None

    async def _one(self, pod: core_pb2.Pod) -> None:
        from kubelab.apimachinery.errors import ApiError, NotFound, TooManyRequests

        name, namespace = pod.metadata.name, pod.metadata.namespace
        deleting = self._options.disable_eviction
        while True:
            if not deleting:
                print(f"evicting pod {namespace}/{name}{self._printer.note}", flush=True)
            try:
                await self._request(pod)
                break
            except NotFound:
                break
            except TooManyRequests as err:
                _warn(f'error when evicting pods/"{name}" -n "{namespace}" (will retry after 5s): {err}')
                await self._session.clock.sleep(RETRY_SECONDS)
            except ApiError as err:
                doing = "deleting" if deleting else "evicting"
                raise _Undrained(f'error when {doing} pods/"{name}" -n "{namespace}": {err}') from err
        if not self._printer.server:
            await self._gone(pod)
        print(f"pod/{name} {'deleted' if deleting else 'evicted'}{self._printer.note}", flush=True)

    async def _request(self, pod: core_pb2.Pod) -> None:
        from kubelab.api.policy.v1 import policy_pb2
        from kubelab.apimachinery.scheme import PODS

        grace = self._options.grace_period
        seconds = grace if grace >= 0 else None
        if self._options.disable_eviction:
            await self._client.delete(
                PODS,
                pod.metadata.name,
                pod.metadata.namespace,
                grace_period_seconds=seconds,
                uid=pod.metadata.uid,
                dry_run=self._printer.server,
            )
            return
        eviction = policy_pb2.Eviction()
        eviction.metadata.name, eviction.metadata.namespace = pod.metadata.name, pod.metadata.namespace
        options = eviction.deleteOptions
        options.preconditions.uid = pod.metadata.uid
        if seconds is not None:
            options.gracePeriodSeconds = seconds
        if self._printer.server:
            options.dryRun.append("All")
        await self._client.evict(eviction)

    async def _gone(self, pod: core_pb2.Pod) -> None:
        from kubelab.apimachinery.scheme import PODS
        from kubelab.kctl.deleting import until_gone
        from kubelab.kctl.resource import Info

        info = Info(PODS, pod.metadata.name, pod.metadata.namespace)
        await until_gone(self._client, info, pod.metadata.uid, self._session.clock)


class _Undrained(Exception):
    """A node, or a pod of it, stays; the arguments say why."""


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


DRAIN = Command(
    "drain",
    run=_drain,
    options=DrainOptions,
    flags=(
        Flag(
            "--chunk-size",
            kind="int",
            default=500,
            help="Return large lists in chunks rather than all at once. Pass 0 to disable. This flag is beta and may "
            "change in the future.",
        ),
        Flag(
            "--delete-emptydir-data",
            kind="bool",
            help="Continue even if there are pods using emptyDir (local data that will be deleted when the node is "
            "drained).",
        ),
        Flag(
            "--disable-eviction",
            kind="bool",
            help="Force drain to use delete, even if eviction is supported. This will bypass checking "
            "PodDisruptionBudgets, use with caution.",
        ),
        DRY_RUN,
        Flag("--force", kind="bool", help="Continue even if there are pods that do not declare a controller."),
        Flag(
            "--grace-period",
            kind="int",
            default=-1,
            help="Period of time in seconds given to each pod to terminate gracefully. If negative, the default value "
            "specified in the pod will be used.",
        ),
        Flag("--ignore-daemonsets", kind="bool", help="Ignore DaemonSet-managed pods."),
        Flag("--pod-selector", help="Label selector to filter pods on the node"),
        SELECTOR,
        Flag(
            "--skip-wait-for-delete-timeout",
            kind="int",
            default=0,
            help="If pod DeletionTimestamp older than N seconds, skip waiting for the pod.  Seconds must be greater "
            "than 0 to skip.",
        ),
        Flag(
            "--timeout",
            kind="duration",
            default=0.0,
            help="The length of time to wait before giving up, zero means infinite",
        ),
    ),
    about="""\
Drain node in preparation for maintenance.

 The given node will be marked unschedulable to prevent new pods from arriving. 'drain' evicts the pods within their \
disruption budgets. It evicts or deletes all pods except mirror pods (which cannot be deleted through the API server). \
If there are daemon set-managed pods, drain will not proceed without --ignore-daemonsets, and regardless it will not \
delete any daemon set-managed pods, because those pods would be immediately replaced by the daemon set controller, \
which ignores unschedulable markings. If there are any pods that are neither mirror pods nor managed by a replication \
controller, replica set, daemon set, stateful set, or job, then drain will not delete any pods unless you use --force. \
--force will also allow deletion to proceed if the managing resource of one or more pods is missing.

 'drain' waits for graceful termination. You should not operate on the machine until the command completes.

 When you are ready to put the node back into service, use kctl uncordon, which will make the node schedulable \
again.""",
    examples="""\
# Drain node "node-1", even if there are pods not managed by a replication controller, replica set, job, daemon set, \
or stateful set on it
kctl drain node-1 --force

# As above, but abort if there are pods not managed by a replication controller, replica set, job, daemon set, or \
stateful set, and use a grace period of 15 minutes
kctl drain node-1 --grace-period=900""",
    usage="kctl drain NODE",
)
