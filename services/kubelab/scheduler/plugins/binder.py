"""How a pod gets its node."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.scheduler.framework import CycleState
from kubelab.scheduler.handle import Handle
from kubelab.scheduler.model import PodInfo


class DefaultBinder:
    """Create the pod's Binding."""

    name = "DefaultBinder"

    def __init__(self, handle: Handle) -> None:
        self._client = handle.client

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> None:
        binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name=node))
        binding.metadata.namespace, binding.metadata.name, binding.metadata.uid = pod.namespace, pod.name, pod.uid
        await self._client.bind(binding)
