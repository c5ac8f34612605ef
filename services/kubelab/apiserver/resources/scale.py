"""The scale subresource: how many replicas there are and shall be (upstream: ScaleREST and autoscaling ValidateScale).

A kind has it by one line: the object's spec and status have ``replicas``, and ``selector`` gives the selector's text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.fieldsets import scaling
from kubelab.apimachinery.fieldsets.paths import Path
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.preconditions import check_unmodified
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.resources.writes import Decision, ObjectState
from kubelab.apiserver.strategies import causes, metadata
from kubelab.apiserver.strategies.metadata import next_generation


def validate(scale: autoscaling_pb2.Scale) -> list[Cause]:
    """All complaints about a scale."""
    complaints = metadata.validate(scale.metadata, namespaced=True, check_name=names.dns_subdomain)
    return [*complaints, *causes.non_negative("spec.replicas", scale.spec.replicas)]


SCALES = Resource(
    plural="scales", singular="scale", kind="Scale", message=autoscaling_pb2.Scale, columns=(), group="autoscaling"
)
"""What a scale is by itself."""


def scale_of(resource: Resource[Any], selector: Callable[[Any], str]) -> Subresource:
    """Make the subresource of a kind. ``selector`` gives the text of an object's selector."""

    def shown(obj: Any, revision: int) -> autoscaling_pb2.Scale:
        return made(obj.metadata, revision, obj.spec.replicas, obj.status.replicas, selector(obj))

    def rescale(obj: Any, old: Any, replicas: int) -> bool:
        del old
        if obj.spec.replicas == replicas:
            return False
        obj.spec.replicas = replicas
        obj.metadata.generation = next_generation(obj.metadata.generation)
        return True

    return subresource(resource, shown, rescale, scaling.REPLICAS)


def subresource(
    resource: Resource[Any],
    shown: Callable[[Any, int], Message],
    rescale: Callable[[Any, Any, int], bool],
    path: Path,
) -> Subresource:
    """Make the subresource of any kind. ``shown`` gives the scale of an object at a revision. ``rescale`` gets a copy
    of an object, the object and the wanted replicas; it changes the copy and says whether it did, or raises Invalid.
    ``path`` is the field of the object that has the replicas."""

    async def get(objects: Objects, request: Request) -> Message:
        entry = await objects.entry(resource, request.namespace, request.name)
        obj = resource.message.FromString(entry.raw)
        scale = shown(obj, entry.revision)
        if request.applying:
            meta_of(scale).managedFields.extend(_managed(scaling.of_scale, meta_of(obj).managedFields, path))
        return scale

    async def update(objects: Objects, request: Request) -> Message:
        scale, name = cast(autoscaling_pb2.Scale, request.obj), request.name
        if complaints := validate(scale):
            raise errors.invalid("Scale", name, complaints, "autoscaling")

        def decide(state: ObjectState, taken: set[str]) -> Decision:
            del taken
            obj: Any = deep_copy(state.obj)
            check_unmodified(resource, name, scale.metadata, state)
            changed = rescale(obj, state.obj, scale.spec.replicas)
            if request.applying:
                held = meta_of(obj).managedFields
                managed = _managed(scaling.of_object, held, scale.metadata.managedFields, path, resource.api_version)
                del held[:]
                held.extend(managed)
            elif changed and request.tracking is not None:
                request.tracking.updated(obj, state.obj)
            return Decision(obj)

        written = await objects.rewrite(resource, request.namespace, name, decide)
        request.wrote(written.obj, written.revision)
        request.detail = f"replicas={scale.spec.replicas}"
        return shown(written.obj, written.revision)

    verbs = ("get", "update", "patch")
    return Subresource(verbs, autoscaling_pb2.Scale, get=get, update=update, applied=SCALES)


def _managed(
    change: Callable[..., list[meta_pb2.ManagedFieldsEntry]], *entries: Any
) -> list[meta_pb2.ManagedFieldsEntry]:
    try:
        return change(*entries)
    except ValueError as err:
        raise errors.UnknownError(f"failed to decode managed fields: {err}") from err


def made(
    metadata: meta_pb2.ObjectMeta, revision: int, wanted: int, replicas: int, selector: str
) -> autoscaling_pb2.Scale:
    """Give the scale of an object with this metadata."""
    scale = autoscaling_pb2.Scale(
        spec=autoscaling_pb2.ScaleSpec(replicas=wanted),
        status=autoscaling_pb2.ScaleStatus(replicas=replicas, selector=selector),
    )
    m = scale.metadata
    m.name, m.namespace, m.uid = metadata.name, metadata.namespace, metadata.uid
    m.resourceVersion = str(revision)
    m.creationTimestamp.CopyFrom(metadata.creationTimestamp)
    return scale
