"""Binding and scale: the subresources that are objects of their own kind."""

from __future__ import annotations

from typing import cast

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.core.conditions import TRUE, set_condition
from kubelab.apimachinery.core.pods import POD_SCHEDULED
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.endpoints.handler import Call
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.registry.writer import ObjectState, ObjectWriter, Plan, WriteResult
from kubelab.apiserver.resources.core.pods import binding as bindings
from kubelab.apiserver.strategies import scale as scales


class Subresources:
    def __init__(self, writer: ObjectWriter, reader: ObjectReader, clock: Clock) -> None:
        self._writer, self._reader, self._clock = writer, reader, clock

    async def bind(self, namespace: str, name: str, binding: core_pb2.Binding) -> WriteResult:
        """Give a pod its node. Conflict when it has one or is being deleted; Invalid without a target."""
        if causes := bindings.validate(binding):
            raise errors.invalid("Binding", name, causes)

        def decide(current: ObjectState, taken: set[str]) -> Plan:
            del taken
            pod = deep_copy(cast(core_pb2.Pod, current.obj))
            wanted = binding.metadata
            if wanted.uid and wanted.uid != pod.metadata.uid:
                why = f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {pod.metadata.uid}"
                raise errors.conflict("pods/binding", name, why)
            if pod.metadata.HasField("deletionTimestamp"):
                raise errors.conflict(
                    "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host"
                )
            if pod.spec.nodeName:
                told = f'pod {name} is already assigned to node "{pod.spec.nodeName}"'
                raise errors.conflict("pods/binding", name, told)
            self._assign(pod, binding)
            return Plan(pod)

        return await self._writer.rewrite(scheme.PODS, namespace, name, decide)

    def _assign(self, pod: core_pb2.Pod, binding: core_pb2.Binding) -> None:
        pod.spec.nodeName = binding.target.name
        for key, value in binding.metadata.annotations.items():
            pod.metadata.annotations[key] = value
        set_condition(pod.status.conditions, POD_SCHEDULED, TRUE, self._clock.time())

    async def get_scale(self, namespace: str, name: str) -> autoscaling_pb2.Scale:
        """How many replicas there are and shall be; NotFound."""
        entry = await self._reader.entry(scheme.REPLICATION_CONTROLLERS, namespace, name)
        return _scale(core_pb2.ReplicationController.FromString(entry.raw), entry.revision)

    async def set_scale(
        self, namespace: str, name: str, scale: autoscaling_pb2.Scale, call: Call
    ) -> autoscaling_pb2.Scale:
        """Say how many replicas there shall be; Invalid for a negative number, Conflict for an old resourceVersion."""
        if causes := scales.validate(scale):
            raise errors.invalid("Scale", name, causes, "autoscaling")

        def decide(current: ObjectState, taken: set[str]) -> Plan:
            del taken
            rc = deep_copy(cast(core_pb2.ReplicationController, current.obj))
            self._writer.check_unmodified(scheme.REPLICATION_CONTROLLERS, name, scale.metadata, current)
            if rc.spec.replicas != scale.spec.replicas:
                rc.spec.replicas = scale.spec.replicas
                rc.metadata.generation += 1
            return Plan(rc)

        written = await self._writer.rewrite(scheme.REPLICATION_CONTROLLERS, namespace, name, decide)
        call.wrote(written.obj, written.revision)
        call.detail = f"replicas={scale.spec.replicas}"
        return _scale(cast(core_pb2.ReplicationController, written.obj), written.revision)


def _scale(rc: core_pb2.ReplicationController, revision: int) -> autoscaling_pb2.Scale:
    selector = ",".join(f"{k}={v}" for k, v in sorted(rc.spec.selector.items()))
    scale = autoscaling_pb2.Scale(
        spec=autoscaling_pb2.ScaleSpec(replicas=rc.spec.replicas),
        status=autoscaling_pb2.ScaleStatus(replicas=rc.status.replicas, selector=selector),
    )
    m = scale.metadata
    m.name, m.namespace, m.uid, m.resourceVersion = (
        rc.metadata.name,
        rc.metadata.namespace,
        rc.metadata.uid,
        str(revision),
    )
    m.creationTimestamp.CopyFrom(rc.metadata.creationTimestamp)
    return scale
