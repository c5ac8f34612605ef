"""The container runtime, seen from the kubelet: typed calls, deadlines, one error family, every call recorded.

::

    RuntimeFailure              the runtime refused or failed; the message is its own
    ├── RuntimeNotFound         what was named is not there (any more)
    └── RuntimeUnavailable      no answer, or not in time: whether the call was carried out is unknown
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc
from kubelab.kubelet.containers import termination
from kubelab.kubelet.cri.records import CallRecords
from kubelab.kubelet.cri.views import (
    POD_NAME_LABEL,
    POD_NAMESPACE_LABEL,
    POD_UID_LABEL,
    ContainerView,
    PodView,
    SandboxView,
)
from kubelab.kubelet.metrics import KubeletMetrics
from kubelab.rpc import tracing
from kubelab.rpc.apiserver.v1 import apiserver_pb2
from kubelab.rpc.channels import reconnect, unix_channel

QUICK_SECONDS = 10.0  # what only reads
MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # upstream's bound for the CRI

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    *reconnect(50, 500, 1000),
    ("grpc.enable_retries", 0),
)


class RuntimeFailure(Exception):
    """A CRI call that failed. ``str()`` is upstream's text of a gRPC error."""

    def __init__(self, method: str, code: grpc.StatusCode, details: str) -> None:
        name = "".join(word.capitalize() for word in code.name.split("_"))
        super().__init__(f"rpc error: code = {name} desc = {details}")
        self.method, self.code, self.details = method, code, details


class RuntimeNotFound(RuntimeFailure):
    pass


class RuntimeUnavailable(RuntimeFailure):
    pass


_KINDS = {
    grpc.StatusCode.NOT_FOUND: RuntimeNotFound,
    grpc.StatusCode.UNAVAILABLE: RuntimeUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: RuntimeUnavailable,
}


@dataclass(frozen=True, slots=True)
class PodRef:
    """Which pod the running task's calls are for; the records are filed under it."""

    uid: str
    namespace: str
    name: str


_POD: ContextVar[PodRef | None] = ContextVar("kubelab_pod", default=None)


@contextlib.contextmanager
def calls_for(ref: PodRef) -> Generator[None]:
    """File the body's calls under a pod."""
    token = _POD.set(ref)
    try:
        yield
    finally:
        _POD.reset(token)


class Runtime:
    """CRI v1 over a unix socket. Connects by itself, again and again; the calls tell when it cannot."""

    def __init__(
        self,
        socket: Path,
        *,
        process: str,
        clock: Clock,
        metrics: KubeletMetrics,
        records: CallRecords,
        request_timeout: float = 120.0,
        pull_timeout: float = 1800.0,
    ) -> None:
        self._process, self._clock, self._metrics, self._records = process, clock, metrics, records
        self._timeout, self._pull_timeout = request_timeout, pull_timeout
        self._channel = unix_channel(socket, options=_OPTIONS)
        self._runtime = cri_grpc.RuntimeServiceStub(self._channel)
        self._images = cri_grpc.ImageServiceStub(self._channel)
        self.name, self.version = "", ""
        self._makes_user_namespaces = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    # --- about the runtime

    async def handshake(self) -> str:
        """Ask who it is and answer ``containerd://1.7.1``; keeps the name for containers' ids."""
        answer = await self._call(self._runtime, "Version", cri.VersionRequest(version="v1"), QUICK_SECONDS)
        self.name, self.version = answer.runtime_name, answer.runtime_version
        return f"{self.name}://{self.version}"

    async def wait_ready(self) -> None:
        """Wait until the runtime listens on the socket."""
        await self._channel.channel_ready()

    async def conditions(self) -> list[cri.RuntimeCondition]:
        return list((await self._status()).status.conditions)

    async def makes_user_namespaces(self) -> bool:
        """Whether pods can have users of their own. Yes is kept until the next Status, which the node's status asks for
        every few seconds, so that a start of a pod does not ask; only a runtime that starts anew answers otherwise."""
        if not self._makes_user_namespaces:
            await self._status()
        return self._makes_user_namespaces

    async def _status(self) -> cri.StatusResponse:
        answer = await self._call(self._runtime, "Status", cri.StatusRequest(), QUICK_SECONDS)
        handlers = [handler for handler in answer.runtime_handlers if not handler.name]
        self._makes_user_namespaces = any(handler.features.user_namespaces for handler in handlers)
        return answer

    async def set_pod_cidr(self, cidr: str) -> None:
        config = cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr=cidr))
        request = cri.UpdateRuntimeConfigRequest(runtime_config=config)
        await self._call(self._runtime, "UpdateRuntimeConfig", request, QUICK_SECONDS)

    async def events(self) -> AsyncGenerator[cri.ContainerEventResponse]:
        """Follow what happens to containers until the stream breaks. RuntimeFailure with code UNIMPLEMENTED: it has
        no such stream."""
        call: Any = self._runtime.GetContainerEvents(cri.GetEventsRequest(), wait_for_ready=True)
        try:
            async for event in call:
                yield event
        except grpc.aio.AioRpcError as err:
            raise self._failure("GetContainerEvents", err) from err
        finally:
            call.cancel()

    # --- what there is

    async def relist(self) -> dict[PodRef, frozenset[tuple[str, int]]]:
        """List everything: by pod, the ids of its sandboxes and containers with their states."""
        if not self.name:
            await self.handshake()
        sandboxes = await self._call(self._runtime, "ListPodSandbox", cri.ListPodSandboxRequest(), QUICK_SECONDS)
        containers = await self._call(self._runtime, "ListContainers", cri.ListContainersRequest(), QUICK_SECONDS)
        refs: dict[str, PodRef] = {}
        states_of: dict[str, set[tuple[str, int]]] = {}
        for item in sandboxes.items:
            meta = item.metadata
            refs[meta.uid] = PodRef(meta.uid, meta.namespace, meta.name)
            states_of.setdefault(meta.uid, set()).add((item.id, item.state))
        for item in containers.containers:
            labels = item.labels
            if uid := labels.get(POD_UID_LABEL, ""):
                names = labels.get(POD_NAMESPACE_LABEL, ""), labels.get(POD_NAME_LABEL, "")
                refs.setdefault(uid, PodRef(uid, *names))
                states_of.setdefault(uid, set()).add((item.id, item.state))
        return {refs[uid]: frozenset(states) for uid, states in states_of.items()}

    async def pod(self, ref: PodRef, last: PodView | None = None) -> PodView:
        """Look at one pod: its sandboxes and every attempt of every container. What ended containers left as their
        termination messages is taken from the ``last`` look where that has it."""
        selector = {POD_UID_LABEL: ref.uid}
        listed = await self._call(
            self._runtime,
            "ListPodSandbox",
            cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector=selector)),
            QUICK_SECONDS,
        )
        return await self.pod_of(ref, [item.id for item in listed.items], last)

    async def pod_of(self, ref: PodRef, sandbox_ids: list[str], last: PodView | None = None) -> PodView:
        """The same, where the sandboxes are known. What vanishes meanwhile is left out."""
        messages = last.termination_messages if last else {}
        sandboxes, containers, complete = list[SandboxView](), list[ContainerView](), True
        for sandbox_id in sandbox_ids:
            with contextlib.suppress(RuntimeNotFound):
                answer = await self._call(
                    self._runtime,
                    "PodSandboxStatus",
                    cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id),
                    QUICK_SECONDS,
                )
                sandboxes.append(SandboxView.of(answer.status))
                # A runtime with events answers with the containers too, and says so by its timestamp.
                complete = complete and answer.timestamp > 0
                texts = await termination.read_all(answer.containers_statuses, messages)
                containers += [ContainerView.of(c, sandbox_id, texts.get(c.id)) for c in answer.containers_statuses]
        if not complete or not sandbox_ids:
            containers = await self._containers(ref, messages)
        return PodView.of(ref.uid, ref.name, ref.namespace, sandboxes, containers)

    async def _containers(self, ref: PodRef, messages: Mapping[str, str]) -> list[ContainerView]:
        selector = cri.ContainerFilter(label_selector={POD_UID_LABEL: ref.uid})
        request = cri.ListContainersRequest(filter=selector)
        listed = await self._call(self._runtime, "ListContainers", request, QUICK_SECONDS)
        views: list[ContainerView] = []
        for item in listed.containers:
            with contextlib.suppress(RuntimeNotFound):
                answer = await self._call(
                    self._runtime, "ContainerStatus", cri.ContainerStatusRequest(container_id=item.id), QUICK_SECONDS
                )
                texts = await termination.read_all([answer.status], messages)
                views.append(ContainerView.of(answer.status, item.pod_sandbox_id, texts.get(item.id)))
        return views

    # --- what is done to pods

    async def run_sandbox(self, config: cri.PodSandboxConfig) -> str:
        answer = await self._call(
            self._runtime, "RunPodSandbox", cri.RunPodSandboxRequest(config=config), self._timeout, recorded=True
        )
        return answer.pod_sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        with contextlib.suppress(RuntimeNotFound):
            await self._call(self._runtime, "StopPodSandbox", request, self._timeout, recorded=True)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        with contextlib.suppress(RuntimeNotFound):
            await self._call(self._runtime, "RemovePodSandbox", request, self._timeout, recorded=True)

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig
    ) -> str:
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        answer = await self._call(
            self._runtime, "CreateContainer", request, self._timeout, recorded=True, detail=config.metadata.name
        )
        return answer.container_id

    async def start_container(self, container_id: str, name: str) -> None:
        request = cri.StartContainerRequest(container_id=container_id)
        await self._call(self._runtime, "StartContainer", request, self._timeout, recorded=True, detail=name)

    async def stop_container(self, container_id: str, name: str, grace: float) -> None:
        request = cri.StopContainerRequest(container_id=container_id, timeout=round(grace))
        with contextlib.suppress(RuntimeNotFound):
            await self._call(self._runtime, "StopContainer", request, self._timeout + grace, recorded=True, detail=name)

    async def reopen_log(self, container_id: str) -> None:
        """Have a running container's log written to the file that has its name now, a new one if there is none."""
        request = cri.ReopenContainerLogRequest(container_id=container_id)
        await self._call(self._runtime, "ReopenContainerLog", request, QUICK_SECONDS)

    async def remove_container(self, container_id: str) -> None:
        request = cri.RemoveContainerRequest(container_id=container_id)
        with contextlib.suppress(RuntimeNotFound):
            await self._call(self._runtime, "RemoveContainer", request, self._timeout, recorded=True)

    async def exec(self, container_id: str, name: str, options: core_pb2.PodExecOptions) -> str:
        """Give the URL where the runtime runs a command in a container, for one connection of SPDY."""
        request = cri.ExecRequest(
            container_id=container_id,
            cmd=options.command,
            tty=options.tty,
            stdin=options.stdin,
            stdout=options.stdout,
            stderr=options.stderr,
        )
        answer = await self._call(self._runtime, "Exec", request, QUICK_SECONDS, recorded=True, detail=name)
        return answer.url

    async def attach(self, container_id: str, name: str, options: core_pb2.PodAttachOptions) -> str:
        """Give the URL of a container's own streams, for one connection of SPDY."""
        request = cri.AttachRequest(
            container_id=container_id,
            tty=options.tty,
            stdin=options.stdin,
            stdout=options.stdout,
            stderr=options.stderr,
        )
        answer = await self._call(self._runtime, "Attach", request, QUICK_SECONDS, recorded=True, detail=name)
        return answer.url

    async def port_forward(self, sandbox_id: str, port: int) -> str:
        """Give the URL where the runtime forwards a port of a sandbox, for one connection of SPDY."""
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=[port])
        answer = await self._call(self._runtime, "PortForward", request, QUICK_SECONDS, recorded=True, detail=str(port))
        return answer.url

    # --- images

    async def images(self) -> list[cri.Image]:
        answer = await self._call(self._images, "ListImages", cri.ListImagesRequest(), QUICK_SECONDS)
        return list(answer.images)

    async def image(self, name: str) -> cri.Image | None:
        """Find an image by its name; None when it is not on this node."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=name))
        answer = await self._call(self._images, "ImageStatus", request, QUICK_SECONDS, recorded=True, detail=name)
        return answer.image if answer.HasField("image") and answer.image.id else None

    async def pull(self, name: str, sandbox_config: cri.PodSandboxConfig) -> str:
        request = cri.PullImageRequest(image=cri.ImageSpec(image=name), sandbox_config=sandbox_config)
        answer = await self._call(self._images, "PullImage", request, self._pull_timeout, recorded=True, detail=name)
        return answer.image_ref

    # --- the one way out

    async def _call(
        self,
        service: object,
        method: str,
        request: Message,
        timeout: float,
        *,
        recorded: bool = False,
        detail: str = "",
    ) -> Any:
        stub: Callable[..., Any] = getattr(service, method)
        started, begun = self._clock.time(), self._clock.monotonic()
        code = grpc.StatusCode.OK
        parent = tracing.current()
        with tracing.span() as span:
            try:
                return await stub(request, timeout=timeout, metadata=(("traceparent", span.traceparent),))
            except grpc.aio.AioRpcError as err:
                code = err.code()
                raise self._failure(method, err) from err
            finally:
                taken = self._clock.monotonic() - begun
                self._measure(method, code, taken)
                if recorded:
                    self._record(method, started, taken, code, detail, span, parent)

    def _failure(self, method: str, err: grpc.aio.AioRpcError) -> RuntimeFailure:
        return _KINDS.get(err.code(), RuntimeFailure)(method, err.code(), err.details() or "")

    def _measure(self, method: str, code: grpc.StatusCode, taken: float) -> None:
        self._metrics.runtime_operations.labels(method).inc()
        self._metrics.runtime_seconds.labels(method).observe(taken)
        if code is not grpc.StatusCode.OK:
            self._metrics.runtime_errors.labels(method).inc()

    def _record(
        self,
        method: str,
        started: float,
        taken: float,
        code: grpc.StatusCode,
        detail: str,
        span: tracing.SpanContext,
        parent: tracing.SpanContext | None,
    ) -> None:
        ref = _POD.get()
        if ref is None:
            return
        self._records.add(
            apiserver_pb2.AuditRecord(
                started_unix_nano=int(started * 1e9),
                duration_nano=int(taken * 1e9),
                process=self._process,
                caller=self._process,
                verb=method,
                resource="pods",
                namespace=ref.namespace,
                name=ref.name,
                uid=ref.uid,
                code=code.name,
                cause=tracing.current_cause(),
                trace_id=span.trace_id,
                span_id=span.span_id,
                parent_span_id=parent.span_id if parent else "",
                detail=detail,
            )
        )
