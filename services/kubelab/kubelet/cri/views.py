"""What a kubelet sees of a pod in the runtime: values only, made from CRI messages, newest first.

Times are seconds since the epoch, 0.0 where it has not happened.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.cri.runtime.v1 import api_pb2 as cri

POD_NAME_LABEL = "io.kubernetes.pod.name"
POD_NAMESPACE_LABEL = "io.kubernetes.pod.namespace"
POD_UID_LABEL = "io.kubernetes.pod.uid"
CONTAINER_NAME_LABEL = "io.kubernetes.container.name"
RESTART_COUNT_ANNOTATION = "io.kubernetes.container.restartCount"
HASH_ANNOTATION = "io.kubernetes.container.hash"
MESSAGE_PATH_ANNOTATION = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY_ANNOTATION = "io.kubernetes.container.terminationMessagePolicy"
GRACE_ANNOTATION = "io.kubernetes.pod.terminationGracePeriod"
_NANO = 1e9


class State(enum.Enum):
    """Of a container, as the runtime tells it."""

    CREATED = cri.CONTAINER_CREATED
    RUNNING = cri.CONTAINER_RUNNING
    EXITED = cri.CONTAINER_EXITED
    UNKNOWN = cri.CONTAINER_UNKNOWN


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One attempt to run a container."""

    id: str
    name: str
    attempt: int = 0
    state: State = State.RUNNING
    sandbox_id: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    hash: str = ""
    grace_seconds: int = 30
    log_path: str = ""
    termination_message: str | None = None
    """What the container left as its termination message; it is in ``message`` too. None: not read."""

    @classmethod
    def of(cls, status: cri.ContainerStatus, sandbox_id: str, termination_message: str | None = None) -> ContainerView:
        counted = status.annotations.get(RESTART_COUNT_ANNOTATION, "")
        grace = status.annotations.get(GRACE_ANNOTATION, "")
        return cls(
            id=status.id,
            name=status.labels.get(CONTAINER_NAME_LABEL, "") or status.metadata.name,
            attempt=int(counted) if counted.isdigit() else status.metadata.attempt,
            state=State(status.state),
            sandbox_id=sandbox_id,
            created_at=status.created_at / _NANO,
            started_at=status.started_at / _NANO,
            finished_at=status.finished_at / _NANO,
            exit_code=status.exit_code,
            reason=status.reason,
            message=status.message,
            image=status.image.image,
            image_ref=status.image_ref,
            hash=status.annotations.get(HASH_ANNOTATION, ""),
            grace_seconds=int(grace) if grace.isdigit() else 30,
            log_path=status.log_path,
            termination_message=termination_message,
        )


@dataclass(frozen=True, slots=True)
class SandboxView:
    """One attempt to give the pod its namespaces. ``ips`` is empty while it has no address of its own."""

    id: str
    attempt: int = 0
    ready: bool = True
    created_at: float = 0.0
    ips: tuple[str, ...] = ()
    host_network: bool = False

    @classmethod
    def of(cls, status: cri.PodSandboxStatus) -> SandboxView:
        network = status.network
        ips = (network.ip, *(extra.ip for extra in network.additional_ips)) if network.ip else ()
        return cls(
            id=status.id,
            attempt=status.metadata.attempt,
            ready=status.state == cri.SANDBOX_READY,
            created_at=status.created_at / _NANO,
            ips=ips,
            host_network=status.linux.namespaces.options.network == cri.NODE,
        )


@dataclass(frozen=True, slots=True)
class PodView:
    """Everything the runtime has of one pod. The newest sandbox and the newest attempts come first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[SandboxView, ...] = ()
    containers: tuple[ContainerView, ...] = ()

    @classmethod
    def of(
        cls,
        uid: str,
        name: str,
        namespace: str,
        sandboxes: Iterable[SandboxView],
        containers: Iterable[ContainerView],
    ) -> PodView:
        return cls(
            uid=uid,
            name=name,
            namespace=namespace,
            sandboxes=tuple(sorted(sandboxes, key=lambda s: (s.attempt, s.created_at), reverse=True)),
            containers=tuple(sorted(containers, key=lambda c: (c.attempt, c.created_at), reverse=True)),
        )

    @property
    def sandbox(self) -> SandboxView | None:
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def running(self) -> tuple[ContainerView, ...]:
        """What may still have a process: an unknown state counts, it has to be stopped before it is replaced."""
        return tuple(c for c in self.containers if c.state in (State.RUNNING, State.UNKNOWN))

    @property
    def empty(self) -> bool:
        return not self.sandboxes and not self.containers

    @property
    def termination_messages(self) -> dict[str, str]:
        """Those that were read, by container id."""
        return {c.id: c.termination_message for c in self.containers if c.termination_message is not None}

    def attempts(self, name: str) -> tuple[ContainerView, ...]:
        """All attempts of one container, newest first."""
        return tuple(c for c in self.containers if c.name == name)

    def newest(self, name: str) -> ContainerView | None:
        return next((c for c in self.containers if c.name == name), None)


def container_hash(container: core_pb2.Container) -> str:
    """Tell whether a running container is still the one that is asked for: only its name and image count, as
    upstream decides since 1.31, because nothing else of a running container can change."""
    picked = json.dumps({"name": container.name, "image": container.image}).encode()
    return hashlib.sha256(picked).hexdigest()[:8]


def pod_text(pod: core_pb2.Pod) -> str:
    """``web_default(uid)``, as upstream's messages name a pod."""
    return f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
