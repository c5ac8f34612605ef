"""The scale subresource: how many replicas there are and shall be (upstream: ScaleREST and autoscaling ValidateScale).

A kind has it by one line: the object's spec and status have ``replicas``, and ``selector`` gives the selector's text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.apimachinery import errors, names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.preconditions import check_unmodified
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.resources.writes import Decision, ObjectState
from kubelab.apiserver.strategies import causes, metadata


def validate(scale: autoscaling_pb2.Scale) -> list[Cause]:
    """All complaints about a scale."""
    complaints = metadata.validate(scale.metadata, namespaced=True, check_name=names.dns_subdomain)
    return [*complaints, *causes.non_negative("spec.replicas", scale.spec.replicas)]


def scale_of(resource: Resource[Any], selector: Callable[[Any], str]) -> Subresource:
    """Make the subresource of a kind. ``selector`` gives the text of an object's selector."""

    async def get(objects: Objects, request: Request) -> Message:
        entry = await objects.entry(resource, request.namespace, request.name)
        return _scale(resource.message.FromString(entry.raw), entry.revision, selector)

    async def update(objects: Objects, request: Request) -> Message:
        scale, name = cast(autoscaling_pb2.Scale, request.obj), request.name
        if complaints := validate(scale):
            raise errors.invalid("Scale", name, complaints, "autoscaling")

        def decide(state: ObjectState, taken: set[str]) -> Decision:
            del taken
            obj: Any = deep_copy(state.obj)
            check_unmodified(resource, name, scale.metadata, state)
            if obj.spec.replicas != scale.spec.replicas:
                obj.spec.replicas = scale.spec.replicas
                obj.metadata.generation += 1
                if request.tracking is not None:
                    request.tracking.updated(obj, state.obj)
            return Decision(obj)

        written = await objects.rewrite(resource, request.namespace, name, decide)
        request.wrote(written.obj, written.revision)
        request.detail = f"replicas={scale.spec.replicas}"
        return _scale(written.obj, written.revision, selector)

    return Subresource(("get", "update", "patch"), autoscaling_pb2.Scale, get=get, update=update)


def _scale(obj: Any, revision: int, selector: Callable[[Any], str]) -> autoscaling_pb2.Scale:
    scale = autoscaling_pb2.Scale(
        spec=autoscaling_pb2.ScaleSpec(replicas=obj.spec.replicas),
        status=autoscaling_pb2.ScaleStatus(replicas=obj.status.replicas, selector=selector(obj)),
    )
    m = scale.metadata
    m.name, m.namespace, m.uid = obj.metadata.name, obj.metadata.namespace, obj.metadata.uid
    m.resourceVersion = str(revision)
    m.creationTimestamp.CopyFrom(obj.metadata.creationTimestamp)
    return scale
