"""A pod's sandbox: the namespaces and the address that its containers share.

Part of a pod's worker: never in two tasks for one pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers.config import log_directory, sandbox_config
from kubelab.kubelet.containers.environment import ConfigError
from kubelab.kubelet.containers.hosts import has_own
from kubelab.kubelet.containers.security import has_own_users
from kubelab.kubelet.cri.client import RuntimeFailure, RuntimeUnavailable
from kubelab.kubelet.cri.views import PodView, SandboxView
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.images.manager import ImageManager
from kubelab.kubelet.images.names import with_default_tag
from kubelab.kubelet.pods.plan import SANDBOX, Action, CreateSandbox, Failure, StartContainer, Waiting
from kubelab.kubelet.pods.state import PodState
from kubelab.kubelet.volumes.manager import PodVolumes

SANDBOX_BACKOFF = ExponentialBackoff(1.5, 45.0)


class SandboxManager:
    """See the module."""

    def __init__(self, state: PodState, deps: Dependencies, images: ImageManager, volumes: PodVolumes) -> None:
        self._state, self._deps, self._images, self._volumes = state, deps, images, volumes

    async def create(self, action: CreateSandbox, then: Sequence[Action]) -> bool:
        """Make the pod's namespaces, its log directories and volumes, and meanwhile look which images are there. False:
        failed; for a volume that cannot be set up, its containers wait instead."""
        state, deps, pod = self._state, self._deps, self._pod
        if action.changed:
            deps.events.sandbox_changed(pod)
        state.runtime.changed()
        try:
            if has_own_users(pod) and not await deps.runtime.makes_user_namespaces():
                raise ConfigError("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
            config = sandbox_config(pod, deps.node, action.attempt, await user_range(deps, pod))
        except RuntimeUnavailable:
            raise
        except (ConfigError, RuntimeFailure, OSError) as err:
            self._sandbox_failed(err)
            return False
        starting = {a.name for a in then if isinstance(a, StartContainer)}
        images = self._images.to_look_up(pod, starting)
        try:
            sandbox_id, looked_up = await self._sandbox_and_images(config, images)
        except RuntimeUnavailable:
            raise
        except (RuntimeFailure, OSError) as err:  # the latter: a name that is too long for a folder, a full disk
            self._sandbox_failed(err)
            return False
        self._images.found(looked_up)
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
                group.create_task(self._volumes.prepare())
                lookups = {name: group.create_task(runtime.image(with_default_tag(name))) for name in images}
        except ExceptionGroup as several:  # not `except*`: what is raised in one may come out wrapped in a group again
            failures, others = several.split((RuntimeFailure, OSError))
            if failures is None or others is not None:
                raise
            raise failures.exceptions[0] from None
        finally:
            self._state.runtime.creating_sandbox = False
        return sandbox.result(), {name: task.result() for name, task in lookups.items()}

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

    @property
    def _pod(self) -> core_pb2.Pod:
        assert self._state.pod is not None, "only a pod that the api-server has is started"
        return self._state.pod


async def user_range(deps: Dependencies, pod: core_pb2.Pod) -> int:
    """The first number of the pod's own users; 0 where it has the machine's. ConfigError, OSError."""
    if not has_own_users(pod):
        return 0
    return await asyncio.to_thread(deps.users.of, pod.metadata.uid)


def _needs_address(pod: core_pb2.Pod) -> bool:
    """Whether a container's environment or hosts file has the pod's address, so that it must be known before."""
    if has_own(pod):
        return True
    paths = {env.valueFrom.fieldRef.fieldPath for c in pod.spec.containers for env in c.env}
    return bool(paths & {"status.podIP", "status.podIPs"})
