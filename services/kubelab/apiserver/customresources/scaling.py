"""The scale subresource of custom objects, at the paths that their definition names."""

from __future__ import annotations

from typing import Any

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.customresources.objects import at, body_of, put, set_body
from kubelab.apiserver.resources.scale import made, subresource
from kubelab.apiserver.resources.subresource import Subresource
from kubelab.apiserver.strategies.rules import Rules


def simple_path(text: str) -> tuple[str, ...]:
    """Give the fields of a path such as ``.spec.replicas``."""
    return tuple(text.removeprefix(".").split("."))


def scale_of(resource: Resource[Any], scale: pb.CustomResourceSubresourceScale, rules: Rules) -> Subresource:
    """Make the subresource of a version."""
    spec_path, status_path = simple_path(scale.specReplicasPath), simple_path(scale.statusReplicasPath)
    selector_path = simple_path(scale.labelSelectorPath) if scale.labelSelectorPath else ()

    def shown(obj: CustomObject, revision: int) -> autoscaling_pb2.Scale:
        body = body_of(obj)
        wanted = at(body, spec_path)
        if wanted is None:
            why = f'the spec replicas field "{scale.specReplicasPath}" does not exist'
            raise errors.InternalError(f"Internal error occurred: {why}")
        selector = str(at(body, selector_path) or "") if selector_path else ""
        return made(obj.metadata, revision, _count(wanted), _count(at(body, status_path)), selector)

    def rescale(obj: CustomObject, old: CustomObject, replicas: int) -> bool:
        body = body_of(old)
        if at(body, spec_path) == replicas:
            return False
        put(body, spec_path, replicas)
        set_body(obj, body)
        rules.prepare_for_update(obj, old)
        if wrong := rules.validate_update(obj, old):
            raise errors.invalid(resource.kind, obj.metadata.name, wrong, resource.group)
        return True

    return subresource(resource, shown, rescale, tuple(f"f:{name}" for name in spec_path))


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
