"""The rules of custom objects: those of their schema, and of what every object has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.values import JSONObject, equal
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.customresources import ratcheting, shaping, validate
from kubelab.apiserver.customresources.objects import at, body_of, set_body
from kubelab.apiserver.customresources.rules import Rules
from kubelab.apiserver.customresources.schema import Schema
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.metadata import next_generation

TERMINATING = "create not allowed while custom resource definition is terminating"


class CustomStrategy(Strategy[CustomObject]):
    """The rules of one version. ``has_status`` says whether the status is a subresource, ``selectable`` are the paths
    by which lists and watches can select, ``terminating`` tells whether the definition is being deleted."""

    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def __init__(
        self,
        resource: Resource[CustomObject],
        schema: Schema,
        rules: Rules,
        *,
        has_status: bool,
        selectable: Sequence[tuple[str, ...]],
        deprecation: str,
        terminating: Callable[[], bool],
    ) -> None:
        super().__init__(resource)
        self._schema, self._rules, self.has_status = schema, rules, has_status
        self._selectable = [(".".join(path), path) for path in selectable]
        self._deprecation, self._terminating = deprecation, terminating

    def default(self, obj: CustomObject) -> None:
        body = body_of(obj)
        shaping.prune(body, self._schema)
        shaping.drop_nulls(body, self._schema)
        shaping.fill_defaults(body, self._schema)
        set_body(obj, body)

    def prepare_for_create(self, obj: CustomObject) -> None:
        if self._terminating():
            r = self.resource
            raise errors.MethodNotAllowed(TERMINATING, group=r.group, kind=r.plural)
        if self.has_status:
            body = body_of(obj)
            body.pop("status", None)
            set_body(obj, body)
        meta_of(obj).generation = 1

    def prepare_for_update(self, obj: CustomObject, old: CustomObject) -> None:
        body, before = body_of(obj), body_of(old)
        if self.has_status:
            _keep(body, before, "status")
            set_body(obj, body)
        ignored = {"status"} if self.has_status else set[str]()
        changed = not equal(_without(body, ignored), _without(before, ignored))
        meta_of(obj).generation = next_generation(meta_of(old).generation, changed)

    def prepare_for_status_update(self, obj: CustomObject, old: CustomObject) -> None:
        self.default(obj)
        body, before = body_of(obj), body_of(old)
        before.pop("status", None)
        if "status" in body:
            before["status"] = body["status"]
        obj.CopyFrom(old)
        set_body(obj, before)

    def validate_content(self, obj: CustomObject) -> list[Cause]:
        return self._wrong(obj, None)

    def validate_update(self, obj: CustomObject, old: CustomObject) -> list[Cause]:
        complaints = [*self.validate_metadata_update(obj, old), *self.validate_metadata(obj)]
        return list(dict.fromkeys([*complaints, *self._wrong(obj, old)]))

    def validate_status_update(self, obj: CustomObject, old: CustomObject) -> list[Cause]:
        return [*self.validate_metadata_update(obj, old), *self._wrong(obj, old)]

    def _wrong(self, obj: CustomObject, old: CustomObject | None) -> list[Cause]:
        body, before = body_of(obj), body_of(old) if old is not None else None
        found = validate.validate(body, self._schema)
        if before is not None and found:
            found = ratcheting.left(found, body, before)
        if found or not self._rules:
            return found
        return self._rules.check(
            _with_metadata(body, obj), None if before is None or old is None else _with_metadata(before, old)
        )

    def warnings(self, obj: CustomObject) -> list[str]:
        return [self._deprecation] if self._deprecation else []

    def selectable_fields(self, obj: CustomObject) -> Mapping[str, str]:
        fields = dict(super().selectable_fields(obj))
        if self._selectable:
            body = body_of(obj)
            for name, path in self._selectable:
                value = at(body, path)
                fields[name] = "" if value is None else causes.shown(value) if isinstance(value, bool) else str(value)
        return fields


def _keep(body: JSONObject, before: JSONObject, key: str) -> None:
    body.pop(key, None)
    if key in before:
        body[key] = before[key]


def _without(body: JSONObject, keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in keys}


def _with_metadata(body: JSONObject, obj: CustomObject) -> JSONObject:
    """Give what a rule at the root sees: of the metadata, the name alone."""
    m = obj.metadata
    metadata = {key: value for key, value in (("name", m.name), ("generateName", m.generateName)) if value}
    return {**body, "apiVersion": obj.apiVersion, "kind": obj.kind, "metadata": metadata}
