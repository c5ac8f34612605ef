"""The scale subresource of custom objects, at the paths that their definition names."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.message import Message

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import errors
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.customresources.objects import at, body_of, put, set_body
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.preconditions import check_unmodified
from kubelab.apiserver.resources.scale import validate
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.resources.writes import Decision, ObjectState
from kubelab.apiserver.strategies.rules import Rules


def simple_path(text: str) -> tuple[str, ...]:
    """Give the fields of a path such as ``.spec.replicas``."""
    return tuple(text.removeprefix(".").split("."))


def scale_of(resource: Resource[Any], scale: pb.CustomResourceSubresourceScale, rules: Rules) -> Subresource:
    """Make the subresource of a version."""
    spec_path, status_path = simple_path(scale.specReplicasPath), simple_path(scale.statusReplicasPath)
    selector_path = simple_path(scale.labelSelectorPath) if scale.labelSelectorPath else ()

    def made(obj: CustomObject, revision: int) -> autoscaling_pb2.Scale:
        body = body_of(obj)
        wanted = at(body, spec_path)
        if wanted is None:
            why = f'the spec replicas field "{scale.specReplicasPath}" does not exist'
            raise errors.InternalError(f"Internal error occurred: {why}")
        found = autoscaling_pb2.Scale(
            spec=autoscaling_pb2.ScaleSpec(replicas=_count(wanted)),
            status=autoscaling_pb2.ScaleStatus(
                replicas=_count(at(body, status_path)),
                selector=str(at(body, selector_path) or "") if selector_path else "",
            ),
        )
        m, own = found.metadata, obj.metadata
        m.name, m.namespace, m.uid = own.name, own.namespace, own.uid
        m.resourceVersion = str(revision)
        m.creationTimestamp.CopyFrom(own.creationTimestamp)
        return found

    async def get(objects: Objects, request: Request) -> Message:
        entry = await objects.entry(resource, request.namespace, request.name)
        return made(CustomObject.FromString(entry.raw), entry.revision)

    async def update(objects: Objects, request: Request) -> Message:
        given, name = cast(autoscaling_pb2.Scale, request.obj), request.name
        if complaints := validate(given):
            raise errors.invalid("Scale", name, complaints, "autoscaling")

        def decide(state: ObjectState, taken: set[str]) -> Decision:
            del taken
            old = cast(CustomObject, state.obj)
            check_unmodified(resource, name, given.metadata, state)
            obj, body = deep_copy(old), body_of(old)
            if at(body, spec_path) != given.spec.replicas:
                put(body, spec_path, given.spec.replicas)
                set_body(obj, body)
                rules.prepare_for_update(obj, old)
                if wrong := rules.validate_update(obj, old):
                    raise errors.invalid(resource.kind, name, wrong, resource.group)
                if request.tracking is not None:
                    request.tracking.updated(obj, old)
            return Decision(obj)

        written = await objects.rewrite(resource, request.namespace, name, decide)
        request.wrote(written.obj, written.revision)
        request.detail = f"replicas={given.spec.replicas}"
        return made(cast(CustomObject, written.obj), written.revision)

    return Subresource(("get", "update", "patch"), autoscaling_pb2.Scale, get=get, update=update)


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
