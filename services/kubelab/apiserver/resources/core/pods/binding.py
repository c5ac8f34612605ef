"""The binding of a pod to its node, by which the scheduler speaks (upstream: BindingREST and ValidatePodBinding)."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, names
from kubelab.apimachinery.core.conditions import TRUE, set_condition
from kubelab.apimachinery.core.pods import POD_SCHEDULED
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import PODS
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.resources.writes import Decision, ObjectState
from kubelab.apiserver.strategies import causes, metadata


def validate(binding: core_pb2.Binding) -> list[Cause]:
    """All complaints about a binding: it needs a node, and what it brings becomes part of the pod."""
    complaints: list[Cause] = []
    if binding.target.kind not in ("", "Node"):
        complaints.append(causes.unsupported("target.kind", binding.target.kind, ("Node", "<empty>")))
    if not binding.target.name:
        complaints.append(causes.required("target.name"))
    else:
        complaints += causes.each("target.name", binding.target.name, names.dns_subdomain(binding.target.name))
    return complaints + metadata.annotation_values("metadata.annotations", binding.metadata.annotations)


async def create(objects: Objects, request: Request) -> Message:
    """Give a pod its node. Conflict when it has one or is being deleted; Invalid without a target."""
    binding, name = cast(core_pb2.Binding, request.obj), request.name
    request.detail = binding.target.name
    if complaints := validate(binding):
        raise errors.invalid("Binding", name, complaints)

    def decide(state: ObjectState, taken: set[str]) -> Decision:
        del taken
        pod = deep_copy(cast(core_pb2.Pod, state.obj))
        _check_unbound(pod, binding)
        pod.spec.nodeName = binding.target.name
        for key, value in binding.metadata.annotations.items():
            pod.metadata.annotations[key] = value
        set_condition(pod.status.conditions, POD_SCHEDULED, TRUE, objects.clock.time())
        return Decision(pod)

    written = await objects.rewrite(PODS, request.namespace, name, decide)
    request.wrote(written.obj, written.revision)
    return meta_pb2.Status(status="Success", code=201)


def _check_unbound(pod: core_pb2.Pod, binding: core_pb2.Binding) -> None:
    name, uid = pod.metadata.name, binding.metadata.uid
    if uid and uid != pod.metadata.uid:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pod.metadata.uid}"
        raise errors.conflict("pods/binding", name, why)
    if pod.metadata.HasField("deletionTimestamp"):
        raise errors.conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod.spec.nodeName:
        why = f'pod {name} is already assigned to node "{pod.spec.nodeName}"'
        raise errors.conflict("pods/binding", name, why)
    if pod.spec.schedulingGates:
        raise errors.conflict("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")


BINDING = Subresource(("create",), core_pb2.Binding, create=create)
