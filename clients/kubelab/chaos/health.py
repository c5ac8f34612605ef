"""Check the health of a cluster. Each check returns "", or a text for a person about what is wrong.

The checks query the api-server, not the recorder's caches, which keep the last state while it is away.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError, Unavailable
from kubelab.apimachinery.scheme import ENDPOINTS, LEASES, NODES, PODS, SERVICES, Resource
from kubelab.chaos import rules, targets, workload
from kubelab.chaos.recorder import LEASE_NAMESPACE, Recorder, node_state, pod_state
from kubelab.chaos.recording import Recording, RecordingWriter
from kubelab.chaos.spec import ExperimentSpec
from kubelab.client import leaderelection
from kubelab.client.client import Client
from kubelab.cluster.driver import ClusterDriver, ClusterStatus, ProcessState

T = TypeVar("T", bound=Message)
LOOK_SECONDS = 0.1  # between two looks where no event announces a change: the kernel announces no changed rules
ANSWER_SECONDS = 2.0  # a process that takes longer counts as unhealthy
MANY = 200
TOO_FEW = "too few requests yet"
GOOD_IN_A_ROW = 10  # requests that must be answered before the service counts as recovered


class NotRecovered(Exception):
    """The cluster has not recovered in time; the message names the failed check."""


class Subject(Protocol):
    """The subject of the checks: an experiment, its cluster, and its recording."""

    namespace: str
    replicas: int  # so many hello pods were asked for last
    well_since: float  # when all was last seen to be well, in the recording's time
    clock: Clock
    spec: ExperimentSpec
    recording: Recording
    writer: RecordingWriter
    recorder: Recorder
    driver: ClusterDriver
    client: Client

    async def changes(self, seconds: float) -> None: ...


class ClusterHealth:
    """Looks at one experiment's cluster."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._settled = math.inf  # since when all checks except the requests have passed

    async def wait(self, look: Callable[[ClusterHealth], Awaitable[str]], within: float) -> str:
        """Look until nothing is wrong, for so many seconds at most; gives what is wrong at the end."""
        clock = self._subject.clock
        deadline = clock.monotonic() + within
        while wrong := await self._look(look):
            remaining = deadline - clock.monotonic()
            if remaining <= 0:
                return wrong
            await self._subject.changes(min(remaining, LOOK_SECONDS))
        return ""

    async def _look(self, look: Callable[[ClusterHealth], Awaitable[str]]) -> str:
        try:
            return await look(self)
        except ApiError as err:
            return err.message

    async def recovered(self, within: float) -> float:
        """Wait until all checks pass; gives the seconds since the last fault ended. Raises NotRecovered."""
        now = self._subject
        faults = now.recording.faults
        since = max((f.begin if f.end is None else f.end for f in faults), default=now.writer.now())
        wrong = await self.wait(ClusterHealth.everything, within)
        if wrong:
            raise NotRecovered(f"not recovered within {within:g} s: {wrong}")
        now.well_since = now.writer.now()
        now.recording.recovery = round(max(0.0, self._settled - since), 3)
        return now.recording.recovery

    async def everything(self) -> str:
        """Return the first failed check. Requests are checked last: an earlier answer came from other pods than those
        that the service has now."""
        settled, self._settled = self._settled, math.inf  # anything wrong, or unknown, restarts the wait
        for look in (self.processes, self.leaders, self.nodes, self.pods, self.writes, self.rules):
            if wrong := await look():
                return wrong
        self._settled = min(settled, self._subject.writer.now())
        wrong = await self.requests(self._settled)
        if wrong and wrong != TOO_FEW:
            self._settled = math.inf
        return wrong

    async def processes(self) -> str:
        """Check that every process runs and is healthy."""
        unhealthy = [p for p in self._status.processes if p.state is not ProcessState.RUNNING]
        return ", ".join(f"{p.name} is {p.state.value}" for p in unhealthy)

    async def leaders(self) -> str:
        """Every role has one leader, whose Lease lasts, and it runs."""
        leases = await self._list(LEASES, LEASE_NAMESPACE)
        now = self._subject.clock.time()
        holders = {
            role: leaderelection.holder(lease, now)
            for lease in leases
            if (role := targets.LEASES.get(lease.metadata.name))
        }
        holders["etcd"] = targets.etcd_leader(self._status)
        running = {p.name for p in self._status.processes if p.state is ProcessState.RUNNING}
        wrong: list[str] = []
        for role in targets.LED:
            leader = holders.get(role, "")
            if not leader:
                wrong.append(f"{role} has no leader")
            elif leader not in running:
                wrong.append(f"{leader} should lead, but does not run")
        claims = [p.name for p in self._status.processes if p.component == "etcd" and p.leader]
        if len(claims) > 1:
            wrong.append(f"several members of etcd lead: {', '.join(claims)}")
        return ", ".join(wrong)

    async def leader_moved(self, role: str) -> str:
        """Another process leads than before the first fault."""
        recording = self._subject.recording
        first = min((fault.begin for fault in recording.faults), default=0.0)
        before = [holder for at, of, holder in recording.leaders if of == role and holder and at <= first]
        now = self._subject.recorder.leaders.get(role, "")
        if not now:
            return f"{role} has no leader"
        return "" if before and now != before[-1] else f"{now} still leads {role}"

    async def nodes(self) -> str:
        """Every node is Ready."""
        states = {node.metadata.name: node_state(node) for node in await self._list(NODES)}
        return ", ".join(f"node {name} is {state}" for name, state in sorted(states.items()) if state != "Ready")

    async def node(self, word: str) -> str:
        """That node is Ready."""
        name = targets.node(self._status, word)
        states = {node.metadata.name: node_state(node) for node in await self._list(NODES)}
        state = states.get(name, "not there")
        return "" if state == "Ready" else f"node {name} is {state}"

    async def unknown(self, word: str) -> str:
        """Check that the cluster reports the node as unreachable (Ready is Unknown)."""
        name = targets.node(self._status, word)
        states = {node.metadata.name: node_state(node) for node in await self._list(NODES)}
        return "" if states.get(name) == "Unknown" else f"node {name} is {states.get(name, 'not there')}"

    async def pods(self) -> str:
        """As many hello pods as were asked for, all of them Ready, none besides."""
        hello = await self._hello_pods()
        ready = sum(state == "Ready" for _, state in hello.values())
        others = [f"{name} is {state}" for name, (_, state) in sorted(hello.items()) if state != "Ready"]
        if ready != self._subject.replicas:
            return f"{ready} of {self._subject.replicas} pods are Ready" + (f" ({', '.join(others)})" if others else "")
        return ", ".join(others)

    async def pod(self, name: str, state: str) -> str:
        """That pod is in that state."""
        pods = await self._list(PODS, self._subject.namespace)
        have = next((pod_state(pod) for pod in pods if pod.metadata.name == name), "Gone")
        return "" if have == state else f"pod {name} is {have}"

    async def drained(self, word: str) -> str:
        """Check that all hello pods of the node are terminating or gone, and replaced elsewhere."""
        node = targets.node(self._status, word)
        hello = await self._hello_pods()
        staying = [name for name, (place, state) in hello.items() if place == node and state != "Terminating"]
        ready = sum(state == "Ready" and place != node for place, state in hello.values())
        if staying:
            return f"still on {node}: {', '.join(sorted(staying))}"
        return (
            "" if ready >= self._subject.replicas else f"{ready} of {self._subject.replicas} pods are Ready elsewhere"
        )

    async def rules(self) -> str:
        """On every node the rules lead to exactly the ready endpoints."""
        services, endpoints = await self._list(SERVICES), await self._list(ENDPOINTS)
        wrong: dict[str, list[str]] = {}  # what is wrong → where
        for node in self._status.nodes:
            output = await self._subject.driver.run(node.name, rules.COMMAND)
            if output.code:
                reason = output.stderr.decode(errors="replace").strip() or f"nft ended with code {output.code}"
                wrong.setdefault(reason, []).append(node.name)
            elif different := rules.differences(
                rules.installed(output.stdout), rules.expected(services, endpoints, node.name)
            ):
                wrong.setdefault(", ".join(different), []).append(node.name)
        return "; ".join(f"on {', '.join(nodes)}: {reason}" for reason, nodes in wrong.items())

    async def requests(self, since: float = 0.0) -> str:
        """The last requests were answered, of those that began at ``since`` or later, in the recording's time."""
        if not self._subject.spec.requests_per_second:
            return ""
        rows = (row for row in self._subject.recording.requests[-MANY:] if row.at >= since)
        ended = sorted(rows, key=lambda row: row.at)  # not in the order they began
        last = ended[-GOOD_IN_A_ROW:]
        failed = [row.error for row in last if row.error]
        if len(last) < GOOD_IN_A_ROW:
            return TOO_FEW
        return f"requests fail: {failed[-1]}" if failed else ""

    async def writes(self) -> str:
        """The last write was acknowledged."""
        last = self._subject.recording.writes[-1:]
        return f"writes fail: {last[0].error}" if last and last[0].error else ""

    @property
    def _status(self) -> ClusterStatus:
        status = self._subject.recorder.status
        assert status is not None  # a session begins by waiting for the first one
        return status

    async def _hello_pods(self) -> dict[str, tuple[str, str]]:
        """Node and state of each."""
        pods = await self._list(PODS, self._subject.namespace)
        return {
            pod.metadata.name: (pod.spec.nodeName, pod_state(pod))
            for pod in pods
            if pod.metadata.name.startswith(f"{workload.NAME}-")
        }

    async def _list(self, resource: Resource[T], namespace: str = "") -> list[T]:
        """Ask the api-server now. Raises Unavailable when it takes long, as for every other reason."""
        try:
            async with self._subject.clock.timeout(ANSWER_SECONDS):
                return (await self._subject.client.list(resource, namespace)).items
        except TimeoutError as err:
            raise Unavailable("the api-server does not answer") from err
