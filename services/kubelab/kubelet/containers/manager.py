"""From nothing to a running container: sandbox, image, configuration, create, start; and what is told and remembered
where a step fails.

Part of a pod's worker: never in two tasks for one pod. Pulling an image is a task of its own that wakes the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import ExponentialBackoff, jittered
from kubelab.apimachinery.core.podreferences import container_config_map_names, container_secret_names
from kubelab.apimachinery.durations import format_seconds
from kubelab.apimachinery.scheme import CONFIG_MAPS, SECRETS
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers import termination
from kubelab.kubelet.containers.config import ContainerInput, container_config, log_directory, sandbox_config
from kubelab.kubelet.containers.environment import ConfigError, Sources, environment
from kubelab.kubelet.containers.hosts import content, has_own, write
from kubelab.kubelet.containers.security import check_user, has_own_users
from kubelab.kubelet.cri.client import RuntimeFailure, RuntimeUnavailable
from kubelab.kubelet.cri.views import PodView, SandboxView, pod_text
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.images.names import InvalidImageName, pull_policy, with_default_tag
from kubelab.kubelet.pods.plan import SANDBOX, Action, CreateSandbox, Failure, StartContainer, Waiting
from kubelab.kubelet.pods.state import PodState, WorkerLoop

RETRY_SECONDS = 10.0
SANDBOX_BACKOFF = ExponentialBackoff(1.5, 45.0)
"""Between two attempts at what others may mend at any moment: upstream's backOffPeriod, which does not grow."""
FLIP_SECONDS = 2.0
"""How long a fresh failure is shown under its own name before it is called a back-off."""


class Starter:
    """See the module."""

    def __init__(self, state: PodState, deps: Dependencies, loop: WorkerLoop) -> None:
        self._state, self._deps, self._loop = state, deps, loop
        self._present: dict[str, cri.Image | None] = {}

    # --- the sandbox

    async def create_sandbox(self, action: CreateSandbox, then: Sequence[Action]) -> bool:
        """Make the pod's namespaces, its log directories, and meanwhile look which images are there. False: failed."""
        state, deps, pod = self._state, self._deps, self._pod
        if action.changed:
            deps.events.sandbox_changed(pod)
        state.runtime.changed()
        try:
            if has_own_users(pod) and not await deps.runtime.makes_user_namespaces():
                raise ConfigError("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
            config = sandbox_config(pod, deps.node, action.attempt, await self._users())
        except RuntimeUnavailable:
            raise
        except (ConfigError, RuntimeFailure, OSError) as err:
            self._sandbox_failed(err)
            return False
        starting = {a.name for a in then if isinstance(a, StartContainer)}
        images = {c.image for c in pod.spec.containers if c.name in starting and _looked_up(c)}
        try:
            sandbox_id, self._present = await self._sandbox_and_images(config, images)
        except RuntimeUnavailable:
            raise
        except (RuntimeFailure, OSError) as err:  # the latter: a name that is too long for a folder, a full disk
            self._sandbox_failed(err)
            return False
        state.attempts.failures.pop(SANDBOX, None)
        state.attempts.starts.forget(SANDBOX)
        view = SandboxView(sandbox_id, action.attempt, created_at=deps.clock.time())
        if _needs_address(pod):
            state.runtime.view = await deps.runtime.pod_of(state.ref, [view.id], state.view)
        else:  # what was asked for is enough to go on; the look after the last step tells the rest
            state.runtime.view = PodView.of(
                state.ref.uid, state.ref.name, state.ref.namespace, [view, *state.view.sandboxes], state.view.containers
            )
        return True

    async def _users(self) -> int:
        """The first number of the pod's own users; 0 where it has the machine's. ConfigError, OSError."""
        if not has_own_users(self._pod):
            return 0
        return await asyncio.to_thread(self._deps.users.of, self._pod.metadata.uid)

    async def _sandbox_and_images(
        self, config: cri.PodSandboxConfig, images: set[str]
    ) -> tuple[str, dict[str, cri.Image | None]]:
        """Do side by side what does not depend on each other.

        Raises the first RuntimeFailure or OSError, the sandbox's own.
        """
        runtime = self._deps.runtime
        self._state.runtime.creating_sandbox = True
        try:
            async with asyncio.TaskGroup() as group:
                sandbox = group.create_task(runtime.run_sandbox(config))
                group.create_task(asyncio.to_thread(self._make_log_directories))
                found = {name: group.create_task(runtime.image(with_default_tag(name))) for name in images}
        except ExceptionGroup as several:  # not `except*`: what is raised in one may come out wrapped in a group again
            failures, others = several.split((RuntimeFailure, OSError))
            if failures is None or others is not None:
                raise
            raise failures.exceptions[0] from None
        finally:
            self._state.runtime.creating_sandbox = False
        return sandbox.result(), {name: task.result() for name, task in found.items()}

    def _make_log_directories(self) -> None:
        root = log_directory(self._deps.node.log_root, self._pod)
        for container in self._pod.spec.containers:
            (root / container.name).mkdir(parents=True, exist_ok=True)

    def _sandbox_failed(self, err: BaseException) -> None:
        state, deps, now = self._state, self._deps, self._deps.clock.time()
        deps.log.warning("no sandbox", pod=state.ref.name, namespace=state.ref.namespace, error=str(err))
        deps.events.sandbox_failed(self._pod, str(err))
        failure = Waiting("ContainerCreating")
        delay = SANDBOX_BACKOFF.delay(self._count(SANDBOX) + 1)
        state.attempts.failures[SANDBOX] = Failure(now + delay, failure)

    def _count(self, name: str) -> int:
        """How often in a row a start failed."""
        backoff = self._state.attempts.starts
        now = self._deps.clock.time()
        return max(round(backoff.next(name, now, now) / backoff.base) - 1, 0)

    # --- a container

    async def start(self, action: StartContainer) -> bool:
        """Bring one container up as far as it goes; say whether the runtime has to be looked at again."""
        state, deps, pod = self._state, self._deps, self._pod
        spec = next(c for c in pod.spec.containers if c.name == action.name)
        if spec.name in state.attempts.pulling:
            return False
        image = await self._image(spec)
        if image is None:
            return spec.name in state.attempts.failures and spec.name not in state.attempts.pulling
        sandbox = state.view.sandbox
        assert sandbox is not None, "a container is started in a sandbox"
        try:
            check_user(pod, spec, image)
            variables = environment(pod, spec, await self._sources(spec))
            hosts = await asyncio.to_thread(self._hosts, sandbox) if has_own(pod) else None
            users = await self._users()
            message = await asyncio.to_thread(self._message, spec, action.attempt)
            image_ref = with_default_tag(spec.image)
            given = ContainerInput(pod, spec, action.attempt, image_ref, variables, image, hosts, users, message)
            config = container_config(given, deps.node)
        except ConfigError as err:
            self._failed(spec.name, "CreateContainerConfigError", str(err))
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
            self._failed(spec.name, "CreateContainerError", err.details)
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

    def _failed(self, name: str, reason: str, message: str) -> None:
        retry_at = self._deps.clock.time() + jittered(RETRY_SECONDS)
        self._state.attempts.failures[name] = Failure(retry_at, Waiting(reason, message))

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

    # --- its image

    async def _image(self, spec: core_pb2.Container) -> cri.Image | None:
        """Give the image to make the container of, or None: it is being pulled, or cannot be had."""
        state, deps, pod = self._state, self._deps, self._pod
        try:
            image, policy = with_default_tag(spec.image), pull_policy(spec)
        except InvalidImageName as err:
            deps.events.inspect_failed(pod, spec.name, str(err))
            self._failed(spec.name, "InvalidImageName", str(err))
            return None
        if spec.name in state.attempts.pulled:
            return state.attempts.pulled[spec.name]
        if policy != "Always":
            found = self._present.pop(spec.image, None) or await deps.runtime.image(image)
            if found is not None:
                deps.events.present(pod, spec.name, spec.image)
                state.attempts.pulls_failed.forget(spec.image)
                return found
        if policy == "Never":
            text = f'Container image "{spec.image}" is not present with pull policy of Never'
            deps.events.never_pulled(pod, spec.name, text)
            self._failed(spec.name, "ErrImageNeverPull", text)
            return None
        held, now = state.attempts.failures.get(spec.name), deps.clock.time()
        if held is not None and now < held.pull_at:
            state.attempts.failures[spec.name] = replace(
                held, retry_at=min(held.pull_at, now + jittered(RETRY_SECONDS))
            )
            return None
        state.attempts.pulling.add(spec.name)
        deps.events.pulling(pod, spec.name, spec.image)
        self._loop.spawn(self._pull(spec, image), f"pull {image}")
        return None

    async def _pull(self, spec: core_pb2.Container, image: str) -> None:
        state, deps, pod = self._state, self._deps, self._pod
        begun = deps.clock.monotonic()
        try:
            ref = await deps.runtime.pull(image, sandbox_config(pod, deps.node, 0))
            found = await deps.runtime.image(image)
        except RuntimeFailure as err:
            self._pull_failed(spec, str(err))
        else:
            size = found.size if found is not None else 0
            deps.events.pulled(pod, spec.name, spec.image, deps.clock.monotonic() - begun, size)
            state.attempts.pulled[spec.name] = found or cri.Image(id=ref)
            state.attempts.failures.pop(spec.name, None)
            state.attempts.pulls_failed.forget(spec.image)
        finally:
            state.attempts.pulling.discard(spec.name)
            self._loop.wake(state.ref.uid, 0.0)

    def _pull_failed(self, spec: core_pb2.Container, why: str) -> None:
        state, deps, now = self._state, self._deps, self._deps.clock.time()
        text = f'failed to pull image "{spec.image}": {why}'
        pull_at = now + state.attempts.pulls_failed.next(spec.image, now, now)
        looks = pull_policy(spec) != "Always"  # somebody may load it meanwhile
        state.attempts.failures[spec.name] = Failure(
            retry_at=min(pull_at, now + jittered(RETRY_SECONDS)) if looks else pull_at,
            waiting=Waiting("ErrImagePull", text),
            then_at=now + FLIP_SECONDS,
            then=Waiting("ImagePullBackOff", f'Back-off pulling image "{spec.image}": ErrImagePull: {text}'),
            pull_at=pull_at,
        )
        deps.events.pull_failed(self._pod, spec.name, spec.image, why)

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
        found: dict[str, core_pb2.Secret] = {}
        for name in sorted(container_config_map_names(spec)):
            try:
                config_maps[name] = await deps.client.get(CONFIG_MAPS, name, namespace)
            except errors.NotFound:
                continue  # whether that matters, the environment decides
        for name in sorted(container_secret_names(spec)):
            try:
                found[name] = await deps.client.get(SECRETS, name, namespace)
            except errors.NotFound:
                continue
        sandbox = self._state.view.sandbox
        ips = (deps.node.node_ip,) if pod.spec.hostNetwork else (sandbox.ips if sandbox else ())
        return Sources(config_maps, found, tuple(deps.informers.services.list()), deps.node.node_ip, ips)

    @property
    def _pod(self) -> core_pb2.Pod:
        assert self._state.pod is not None, "only a pod that the api-server told of is started"
        return self._state.pod


def _looked_up(container: core_pb2.Container) -> bool:
    try:
        return pull_policy(container) != "Always" and bool(with_default_tag(container.image))
    except InvalidImageName:
        return False


def _needs_address(pod: core_pb2.Pod) -> bool:
    """Whether a container is told the pod's address, so that it must be known before."""
    if has_own(pod):
        return True
    paths = {env.valueFrom.fieldRef.fieldPath for c in pod.spec.containers for env in c.env}
    return bool(paths & {"status.podIP", "status.podIPs"})
