"""The events of a pod's life, in upstream's words, in one place."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.client.events import EventKind, EventRecorder
from kubelab.kubelet.cri.views import pod_text
from kubelab.kubelet.pods.plan import Waiting

_PULL_BACKOFF, _CRASH_BACKOFF = "ImagePullBackOff", "CrashLoopBackOff"


class PodEvents:
    """One method for each event of a pod; none waits and none fails."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def pulling(self, pod: core_pb2.Pod, container: str, image: str) -> None:
        self._of(pod, container, "Normal", "Pulling", f'Pulling image "{image}"')

    def pulled(self, pod: core_pb2.Pod, container: str, image: str, seconds: float, size: int) -> None:
        took = _took(seconds)
        text = f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: {size} bytes.'
        self._of(pod, container, "Normal", "Pulled", text)

    def present(self, pod: core_pb2.Pod, container: str, image: str) -> None:
        self._of(pod, container, "Normal", "Pulled", f'Container image "{image}" already present on machine')

    def pull_failed(self, pod: core_pb2.Pod, container: str, image: str, why: str) -> None:
        self._of(pod, container, "Warning", "Failed", f'Failed to pull image "{image}": {why}')
        self._of(pod, container, "Warning", "Failed", "Error: ErrImagePull")

    def never_pulled(self, pod: core_pb2.Pod, container: str, text: str) -> None:
        self._of(pod, container, "Warning", "ErrImageNeverPull", text)
        self._of(pod, container, "Warning", "Failed", "Error: ErrImageNeverPull")

    def inspect_failed(self, pod: core_pb2.Pod, container: str, text: str) -> None:
        self._of(pod, container, "Warning", "InspectFailed", text)
        self._of(pod, container, "Warning", "Failed", "Error: InvalidImageName")

    def created(self, pod: core_pb2.Pod, container: str) -> None:
        self._of(pod, container, "Normal", "Created", f"Created container: {container}")

    def started(self, pod: core_pb2.Pod, container: str) -> None:
        self._of(pod, container, "Normal", "Started", f"Started container {container}")

    def container_failed(self, pod: core_pb2.Pod, container: str, text: str) -> None:
        self._of(pod, container, "Warning", "Failed", text)

    def stopping(self, pod: core_pb2.Pod, container: str, text: str) -> None:
        self._of(pod, container, "Normal", "Killing", text)

    def mount_failed(self, pod: core_pb2.Pod, text: str) -> None:
        self._of(pod, "", "Warning", "FailedMount", text)

    def sandbox_failed(self, pod: core_pb2.Pod, why: str) -> None:
        self._of(pod, "", "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {why}")

    def sandbox_changed(self, pod: core_pb2.Pod) -> None:
        text = "Pod sandbox changed, it will be killed and re-created."
        self._of(pod, "", "Normal", "SandboxChanged", text)

    def failed(self, pod: core_pb2.Pod, why: Waiting) -> None:
        self._of(pod, "", "Normal", why.reason, why.message)

    def rejected(self, pod: core_pb2.Pod, why: Waiting) -> None:
        self._of(pod, "", "Warning", why.reason, why.message)

    def held_up(self, pod: core_pb2.Pod, container: str, held: Waiting) -> None:
        """Tell of a back-off that begins; other reasons were told where they arose."""
        if held.reason == _CRASH_BACKOFF:
            text = f"Back-off restarting failed container {container} in pod {pod_text(pod)}"
            self._of(pod, container, "Warning", "BackOff", text)
        elif held.reason == _PULL_BACKOFF:
            self._of(pod, container, "Normal", "BackOff", held.message.partition(": ErrImagePull")[0])
            self._of(pod, container, "Warning", "Failed", f"Error: {_PULL_BACKOFF}")

    def _of(self, pod: core_pb2.Pod, container: str, kind: EventKind, reason: str, message: str) -> None:
        meta = pod.metadata
        ref = core_pb2.ObjectReference(
            kind="Pod",
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            apiVersion="v1",
            resourceVersion=meta.resourceVersion,
            fieldPath=f"spec.containers{{{container}}}" if container else "",
        )
        self._recorder.event(ref, kind, reason, message)


def _took(seconds: float) -> str:
    return f"{seconds:.3f}s" if seconds >= 1 else f"{seconds * 1000:.0f}ms"
