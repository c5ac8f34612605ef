"""A pod's containers: from an image to a running container, with the events and the back-off of steps that fail.

Part of a pod's worker: never in two tasks for one pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.core.podreferences import container_config_map_names, container_secret_names
from kubelab.apimachinery.durations import format_seconds
from kubelab.apimachinery.scheme import CONFIG_MAPS, SECRETS
from kubelab.kubelet.containers import termination
from kubelab.kubelet.containers.config import ContainerInput, container_config, log_directory, sandbox_config
from kubelab.kubelet.containers.environment import ConfigError, Sources, environment
from kubelab.kubelet.containers.hosts import content, has_own, write
from kubelab.kubelet.containers.mounts import sub_paths
from kubelab.kubelet.containers.sandboxes import user_range
from kubelab.kubelet.containers.security import check_user
from kubelab.kubelet.cri.client import RuntimeFailure, RuntimeUnavailable
from kubelab.kubelet.cri.views import SandboxView, pod_text
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.images.manager import ImageManager
from kubelab.kubelet.images.names import with_default_tag
from kubelab.kubelet.pods.plan import Failure, StartContainer, Waiting
from kubelab.kubelet.pods.state import FLIP_SECONDS, PodState
from kubelab.kubelet.volumes.errors import VolumeError
from kubelab.kubelet.volumes.manager import NotMounted, PodVolumes


class ContainerManager:
    """See the module."""

    def __init__(self, state: PodState, deps: Dependencies, images: ImageManager, volumes: PodVolumes) -> None:
        self._state, self._deps, self._images, self._volumes = state, deps, images, volumes

    async def start(self, action: StartContainer) -> bool:
        """Bring one container up as far as it goes; say whether the runtime has to be looked at again."""
        state, deps, pod = self._state, self._deps, self._pod
        spec = next(c for c in pod.spec.containers if c.name == action.name)
        if spec.name in state.attempts.pulling:
            return False
        image = await self._images.ensure(spec)
        if image is None:
            return spec.name in state.attempts.failures and spec.name not in state.attempts.pulling
        sandbox = state.view.sandbox
        assert sandbox is not None, "a container is started in a sandbox"
        try:
            check_user(pod, spec, image)
            volumes = await self._volumes.folders()
            variables = environment(pod, spec, await self._sources(spec))
            hosts = await asyncio.to_thread(self._hosts, sandbox) if has_own(pod) else None
            users = await user_range(deps, pod)
            message = await asyncio.to_thread(self._message, spec, action.attempt)
            image_ref = with_default_tag(spec.image)
            given = ContainerInput(pod, spec, action.attempt, image_ref, variables, image, hosts, users, message)
            given = replace(given, volumes=volumes, sub_paths=await self._sub_paths(spec, variables))
            config = container_config(given, deps.node)
        except NotMounted as err:
            state.attempts.failures[spec.name] = Failure(err.retry_at, Waiting("ContainerCreating"))
            return False
        except ConfigError as err:
            state.attempts.failed(deps.clock.time(), spec.name, "CreateContainerConfigError", str(err))
            deps.events.container_failed(pod, spec.name, f"Error: {err}")
            return True
        settings = sandbox_config(pod, deps.node, sandbox.attempt, users)
        now = deps.clock.time()
        ended = next((c for c in state.view.containers if c.id == action.restart_of), None)
        if ended is not None:
            state.attempts.crashes.next(spec.name, ended.finished_at, now)
        state.runtime.changed()
        try:
            container_id = await deps.runtime.create_container(sandbox.id, config, settings)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as err:
            state.attempts.failed(deps.clock.time(), spec.name, "CreateContainerError", err.details)
            deps.events.container_failed(pod, spec.name, f"Error: {err.details}")
            return True
        deps.events.created(pod, spec.name)
        return await self._start_created(spec, container_id)

    async def _start_created(self, spec: core_pb2.Container, container_id: str) -> bool:
        state, deps, pod = self._state, self._deps, self._pod
        try:
            await deps.runtime.start_container(container_id, spec.name)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as err:
            self._back_off(spec.name, "RunContainerError", err.details)
            deps.events.container_failed(pod, spec.name, f"Error: {err.details}")
            return True
        deps.events.started(pod, spec.name)
        state.attempts.failures.pop(spec.name, None)
        state.attempts.pulled.pop(spec.name, None)
        state.attempts.starts.forget(spec.name)
        return True

    def _back_off(self, name: str, reason: str, message: str) -> None:
        """The container itself failed, as one that crashes: each attempt waits longer."""
        state, now = self._state, self._deps.clock.time()
        delay = state.attempts.starts.next(name, now, now)
        text = f"back-off {format_seconds(delay)} restarting failed container={name} pod={pod_text(self._pod)}"
        state.attempts.failures[name] = Failure(
            retry_at=now + delay,
            waiting=Waiting(reason, message),
            then_at=now + FLIP_SECONDS,
            then=Waiting("CrashLoopBackOff", text),
        )

    async def _sub_paths(self, spec: core_pb2.Container, variables: Mapping[str, str]) -> Mapping[int, Path]:
        """Mount the parts of volumes that the container asks for. ConfigError."""
        try:
            return await self._volumes.sub_paths(spec, sub_paths(spec, variables))
        except (VolumeError, OSError) as err:
            raise ConfigError(f"failed to prepare subPath for volumeMount of container {spec.name!r}: {err}") from err

    def _hosts(self, sandbox: SandboxView) -> Path:
        """Write the pod's own /etc/hosts. ConfigError where the disk is full."""
        node = self._deps.node
        text = content(self._pod, sandbox.ips, (node.node_name, node.cluster_domain, node.hosts))
        try:
            return write(log_directory(node.log_root, self._pod), text)
        except OSError as err:
            raise ConfigError(f"failed to write /etc/hosts: {err}") from err

    def _message(self, spec: core_pb2.Container, attempt: int) -> Path | None:
        """Make the file of the container's termination message. ConfigError where the disk is full."""
        if not spec.terminationMessagePath:
            return None
        folder = log_directory(self._deps.node.log_root, self._pod)
        try:
            return termination.make(folder, spec.name, attempt)
        except OSError as err:
            raise ConfigError(f"failed to make the file of the termination message: {err}") from err

    # --- its environment

    async def _sources(self, spec: core_pb2.Container) -> Sources:
        """Read what the environment refers to. ApiErrors other than NotFound are the queue's to retry."""
        deps, pod = self._deps, self._pod
        await deps.informers.services.wait_synced()
        namespace = pod.metadata.namespace
        config_maps: dict[str, core_pb2.ConfigMap] = {}
        secrets: dict[str, core_pb2.Secret] = {}
        for name in sorted(container_config_map_names(spec)):
            try:
                config_maps[name] = await deps.client.get(CONFIG_MAPS, name, namespace)
            except errors.NotFound:
                continue  # whether that matters, the environment decides
        for name in sorted(container_secret_names(spec)):
            try:
                secrets[name] = await deps.client.get(SECRETS, name, namespace)
            except errors.NotFound:
                continue
        sandbox = self._state.view.sandbox
        ips = (deps.node.node_ip,) if pod.spec.hostNetwork else (sandbox.ips if sandbox else ())
        return Sources(config_maps, secrets, tuple(deps.informers.services.list()), deps.node.node_ip, ips)

    @property
    def _pod(self) -> core_pb2.Pod:
        assert self._state.pod is not None, "only a pod that the api-server has is started"
        return self._state.pod
