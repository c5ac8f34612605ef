"""From a patch and the object as it is to the object as it shall be, in upstream's words
(https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/patch.go).

A patch is applied again where the object has changed meanwhile. What a request asks for wrongly is found before that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.apimachinery import errors, gojson, jsonobjects
from kubelab.apimachinery.jsonobjects import DecodingError
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch import jsonpatch, merge, strategic
from kubelab.apimachinery.patch.errors import BadPatch, PatchError, PatchTooLarge, UnprocessablePatch
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.patch.values import DuplicateFields, JSONArray, JSONObject, load, shown
from kubelab.apimachinery.scheme import CustomSchema, Resource
from kubelab.apiserver import limits
from kubelab.apiserver.endpoints.decoding import GroupVersionKind, unknown_in
from kubelab.apiserver.strategies import causes, wellformed

IGNORE, WARN, STRICT = "Ignore", "Warn", "Strict"
_OPERATION_FIELDS = ("op", "path", "from", "value")
_REJECTED = "the server rejected our request due to an error in our request"

M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class Patcher:
    """One patch, read: ``apply`` may be called several times, on ever fresher objects.

    ``warnings`` are of the latest call, ``detail`` says why it failed where upstream's message does not.
    """

    validation: str
    change: Callable[[JSONObject, type[Message]], JSONObject]
    strict: list[str]
    """Complaints about the patch itself."""
    type: PatchType
    shown_patch: str = ""
    warnings: list[str] = field(default_factory=list[str])
    detail: str = ""
    custom: CustomSchema | None = None
    """Of a kind that is no message of the contract: it knows which fields there are."""

    def apply(self, current: M, version: str, what: GroupVersionKind) -> M:
        """Give the patched object. ``version`` is the current one's resourceVersion."""
        body: JSONObject = {"apiVersion": what.api_version, "kind": what.kind, **message_to_dict(current)}
        body["metadata"] = {**body["metadata"], "resourceVersion": version}
        patched = self._changed(body, type(current))
        shown_value = self.shown_patch or json.dumps(patched, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if self.type != PatchType.STRATEGIC:
            _require_kind(patched, what, shown_value)
        try:
            obj, unknown = jsonobjects.decode(patched, type(current))
        except DecodingError as err:
            why = err.converting if self.type == PatchType.STRATEGIC else str(err)
            raise _invalid(shown_value, why) from err
        jsonobjects.align(obj, current)
        if self.custom is not None and self.validation != IGNORE:
            unknown += unknown_in(patched, self.custom)
        self.warnings = []
        if self.validation != IGNORE and (complaints := [*self.strict, *unknown]):
            if self.validation == STRICT:
                raise _invalid(shown_value, f"strict decoding error: {', '.join(complaints)}")
            self.warnings = complaints
        limits.check_object(obj, obj.ByteSize())
        if wrong := wellformed.validate(obj):
            raise errors.invalid(what.kind, meta_of(obj).name, wrong)
        return obj

    def _changed(self, body: JSONObject, message: type[Message]) -> JSONObject:
        try:
            return self.change(body, message)
        except UnprocessablePatch as err:
            self.detail = str(err)
            raise errors.Invalid(_REJECTED) from err
        except BadPatch as err:
            raise errors.BadRequest(str(err)) from err
        except PatchError as err:
            raise errors.UnknownError(str(err)) from err


def patcher(kind: PatchType, data: bytes, validation: str) -> Patcher:
    """Read a patch of one of the types but apply; BadRequest, TooLarge."""
    duplicates = DuplicateFields()
    try:
        text = load(data, duplicates)
    except ValueError as err:
        why = gojson.syntax(err) if isinstance(err, gojson.JSONDecodeError) else str(err)
        raise errors.BadRequest(_undecodable(kind, why, validation)) from err
    strict = [f'duplicate field "{name}"' for name in duplicates.names]
    if kind == PatchType.JSON:
        try:
            operations = jsonpatch.decode(text)
        except PatchTooLarge as err:
            raise errors.TooLarge(str(err)) from err
        except BadPatch as err:
            raise errors.BadRequest(str(err)) from err
        strict += _unknown_in_operations(cast(JSONArray, text))
        strict = [f"json patch {complaint}" for complaint in strict]
        return Patcher(validation, lambda body, _: jsonpatch.apply(body, operations), strict, kind)
    if not isinstance(text, dict):
        found = {list: "array", str: "string", bool: "bool", type(None): "null"}.get(type(text), "number")
        message = f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        raise errors.BadRequest(_undecodable(kind, message, validation))
    patch = cast(JSONObject, text)
    if kind == PatchType.MERGE:
        return Patcher(validation, lambda body, _: merge.apply(body, patch), strict, kind)
    return Patcher(
        validation,
        lambda body, message: strategic.apply(body, patch, cast(Descriptor, message.DESCRIPTOR)),
        strict,
        kind,
        shown(patch),
    )


def _undecodable(kind: PatchType, why: str, validation: str) -> str:
    return why if kind == PatchType.STRATEGIC or validation == IGNORE else f"error decoding patch: {why}"


def _unknown_in_operations(operations: JSONArray) -> list[str]:
    return [
        f'unknown field "[{at}].{key}"'
        for at, operation in enumerate(operations)
        for key in cast(JSONObject, operation)
        if key not in _OPERATION_FIELDS
    ]


def _require_kind(patched: JSONObject, what: GroupVersionKind, value: str) -> None:
    """A patch does not make another kind of an object."""
    version, kind = patched.get("apiVersion"), patched.get("kind")
    if kind != what.kind or version != what.api_version:
        if not kind:
            raise _invalid(value, "Object 'Kind' is missing in '" + value + "'")
        raise _invalid(value, f'no kind "{kind}" is registered for version "{version}"')


def _invalid(value: str, why: str) -> errors.Invalid:
    return errors.invalid("", "", [causes.invalid("patch", value, why)])


def type_of(media_type: str, resource: Resource[Message]) -> PatchType:
    """Give the type of a patch; UnsupportedMediaType, also for a strategic one of a kind without merge keys."""
    accepted = [kind for kind in PatchType if kind is not PatchType.STRATEGIC or resource.custom is None]
    if media_type in accepted:
        return PatchType(media_type)
    raise errors.UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )


def require_path(obj: Message, resource_namespaced: bool, namespace: str, name: str) -> None:
    """BadRequest where a patch has changed the object's name or namespace."""
    m: Any = meta_of(obj)
    if resource_namespaced:
        if m.namespace and m.namespace != namespace:
            raise errors.BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        m.namespace = namespace
    elif m.namespace:
        m.ClearField("namespace")
    if m.name != name:
        if not m.name:
            raise errors.BadRequest(
                f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )
        raise errors.BadRequest(f"the name of the object ({m.name}) does not match the name on the URL ({name})")
