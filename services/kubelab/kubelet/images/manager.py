"""A pod's images: found in the runtime, or pulled by a task of its own that wakes the pod's worker.

Part of a pod's worker: never in two tasks for one pod.
"""

from __future__ import annotations

from dataclasses import replace

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.backoff import jittered
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers.config import sandbox_config
from kubelab.kubelet.cri.client import RuntimeFailure
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.images.names import InvalidImageName, pull_policy, with_default_tag
from kubelab.kubelet.pods.plan import Failure, Waiting
from kubelab.kubelet.pods.state import FLIP_SECONDS, RETRY_SECONDS, PodState, WorkerLoop


class ImageManager:
    """See the module."""

    def __init__(self, state: PodState, deps: Dependencies, loop: WorkerLoop) -> None:
        self._state, self._deps, self._loop = state, deps, loop
        self._looked_up: dict[str, cri.Image | None] = {}

    def to_look_up(self, pod: core_pb2.Pod, starting: set[str]) -> set[str]:
        """The images of the containers that are to start, as far as one that is there already is used."""
        return {c.image for c in pod.spec.containers if c.name in starting and _may_be_present(c)}

    def found(self, images: dict[str, cri.Image | None]) -> None:
        """What a look at the runtime gave; the next :meth:`ensure` of each does not look again."""
        self._looked_up = images

    async def ensure(self, spec: core_pb2.Container) -> cri.Image | None:
        """Give the image to make the container of, or None: it is being pulled, or cannot be had."""
        state, deps, pod, now = self._state, self._deps, self._pod, self._deps.clock.time()
        try:
            image, policy = with_default_tag(spec.image), pull_policy(spec)
        except InvalidImageName as err:
            deps.events.inspect_failed(pod, spec.name, str(err))
            state.attempts.failed(now, spec.name, "InvalidImageName", str(err))
            return None
        if spec.name in state.attempts.pulled:
            return state.attempts.pulled[spec.name]
        if policy != "Always":
            present = self._looked_up.pop(spec.image, None) or await deps.runtime.image(image)
            if present is not None:
                deps.events.present(pod, spec.name, spec.image)
                state.attempts.pulls_failed.forget(spec.image)
                return present
        if policy == "Never":
            text = f'Container image "{spec.image}" is not present with pull policy of Never'
            deps.events.never_pulled(pod, spec.name, text)
            state.attempts.failed(now, spec.name, "ErrImageNeverPull", text)
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
            present = await deps.runtime.image(image)
        except RuntimeFailure as err:
            self._pull_failed(spec, str(err))
        else:
            size = present.size if present is not None else 0
            deps.events.pulled(pod, spec.name, spec.image, deps.clock.monotonic() - begun, size)
            state.attempts.pulled[spec.name] = present or cri.Image(id=ref)
            state.attempts.failures.pop(spec.name, None)
            state.attempts.pulls_failed.forget(spec.image)
        finally:
            state.attempts.pulling.discard(spec.name)
            self._loop.wake(state.ref.uid, 0.0)

    def _pull_failed(self, spec: core_pb2.Container, why: str) -> None:
        state, deps, now = self._state, self._deps, self._deps.clock.time()
        text = f'failed to pull image "{spec.image}": {why}'
        pull_at = now + state.attempts.pulls_failed.next(spec.image, now, now)
        looks = pull_policy(spec) != "Always"  # `kubelab image load` may bring it meanwhile
        state.attempts.failures[spec.name] = Failure(
            retry_at=min(pull_at, now + jittered(RETRY_SECONDS)) if looks else pull_at,
            waiting=Waiting("ErrImagePull", text),
            then_at=now + FLIP_SECONDS,
            then=Waiting("ImagePullBackOff", f'Back-off pulling image "{spec.image}": ErrImagePull: {text}'),
            pull_at=pull_at,
        )
        deps.events.pull_failed(self._pod, spec.name, spec.image, why)

    @property
    def _pod(self) -> core_pb2.Pod:
        assert self._state.pod is not None, "only a pod that the api-server has is started"
        return self._state.pod


def _may_be_present(container: core_pb2.Container) -> bool:
    try:
        return pull_policy(container) != "Always" and bool(with_default_tag(container.image))
    except InvalidImageName:
        return False
