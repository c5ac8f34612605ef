"""Definitions: defaults and validation (apiextensions-apiserver's ``pkg/apis/apiextensions/validation``)."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.customresources import definitions
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions import conditions
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

WEBHOOK_PORT = 443
_NAME = 'must be spec.names.plural+"."+spec.group'


class CustomResourceDefinitionStrategy(Strategy[pb.CustomResourceDefinition]):
    has_generation: ClassVar[bool] = True

    def default(self, obj: pb.CustomResourceDefinition) -> None:
        spec = obj.spec
        if not spec.names.singular:
            spec.names.singular = spec.names.kind.lower()
        if not spec.names.listKind and spec.names.kind:
            spec.names.listKind = f"{spec.names.kind}List"
        if not spec.conversion.strategy:
            spec.conversion.strategy = "None"
        config = spec.conversion.webhook.clientConfig
        if spec.conversion.HasField("webhook") and config.HasField("service") and not config.service.HasField("port"):
            config.service.port = WEBHOOK_PORT

    def prepare_for_create(self, obj: pb.CustomResourceDefinition) -> None:
        super().prepare_for_create(obj)
        _note_stored(obj)

    def prepare_for_update(self, obj: pb.CustomResourceDefinition, old: pb.CustomResourceDefinition) -> None:
        super().prepare_for_update(obj, old)
        _note_stored(obj)

    def validate_metadata(self, obj: pb.CustomResourceDefinition) -> list[Cause]:
        found = super().validate_metadata(obj)
        name = obj.metadata.name
        if name and name != f"{obj.spec.names.plural}.{obj.spec.group}":
            found.append(causes.invalid("metadata.name", name, _NAME))
        return found

    def validate_content(self, obj: pb.CustomResourceDefinition) -> list[Cause]:
        return [*definitions.validate(obj), *_approval(obj)]

    def validate_change(self, obj: pb.CustomResourceDefinition, old: pb.CustomResourceDefinition) -> list[Cause]:
        new, before = obj.spec, old.spec
        found: list[Cause] = []
        if conditions.is_true(old, conditions.ESTABLISHED):
            if new.scope != before.scope:
                found.append(causes.immutable("spec.scope", new.scope))
            if new.names.kind != before.names.kind:
                found.append(causes.immutable("spec.names.kind", new.names.kind))
        if new.group != before.group:
            found.append(causes.immutable("spec.group", new.group))
        if new.names.plural != before.names.plural:
            found.append(causes.immutable("spec.names.plural", new.names.plural))
        versions = {v.name for v in new.versions}
        for at, stored in enumerate(obj.status.storedVersions):
            if stored not in versions:
                why = (
                    f"missing from spec.versions; {stored} was previously a storage version, and must remain in "
                    f"spec.versions until a storage migration ensures no data remains persisted in {stored} and "
                    f"removes {stored} from status.storedVersions"
                )
                found.append(causes.invalid(f"status.storedVersions[{at}]", stored, why))
        return found

    def validate_status_update(self, obj: pb.CustomResourceDefinition, old: pb.CustomResourceDefinition) -> list[Cause]:
        found = super().validate_status_update(obj, old)
        storage = next((v.name for v in obj.spec.versions if v.storage), "")
        if storage not in obj.status.storedVersions:
            why = f"must have the storage version {storage}"
            found.append(causes.invalid("status.storedVersions", list(obj.status.storedVersions), why))
        return found


def _note_stored(obj: pb.CustomResourceDefinition) -> None:
    """Note every version in which objects may have been stored."""
    for version in obj.spec.versions:
        if version.storage and version.name not in obj.status.storedVersions:
            obj.status.storedVersions.append(version.name)


def _approval(obj: pb.CustomResourceDefinition) -> list[Cause]:
    """Groups of the Kubernetes community need an approval, which an annotation names."""
    group, key = obj.spec.group, "api-approved.kubernetes.io"
    protected = any(group == one or group.endswith(f".{one}") for one in ("k8s.io", "kubernetes.io"))
    if not protected:
        return []
    value = obj.metadata.annotations.get(key, "")
    where = f"metadata.annotations[{key}]"
    if not value:
        why = (
            'protected groups must have approval annotation "api-approved.kubernetes.io", '
            "see https://github.com/kubernetes/enhancements/pull/1111"
        )
        return [causes.required(where, why)]
    if value.startswith(("https://", "http://", "unapproved")):
        return []
    why = (
        f'protected groups must have approval annotation "{key}" with either a URL or a reason starting with '
        '"unapproved", see https://github.com/kubernetes/enhancements/pull/1111'
    )
    return [causes.invalid(where, value, why)]
