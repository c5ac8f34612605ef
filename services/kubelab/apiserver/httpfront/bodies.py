"""The object in the body of a request, in upstream's words where there is none
(apiserver's ``endpoints/handlers/rest.go``, ``transformDecodeError``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, gojson, jsonobjects, scheme
from kubelab.apimachinery.manifest.diagnostics import ManifestError
from kubelab.apimachinery.manifest.yamlnodes import parse, plain
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.values import DuplicateFields, JSONObject, load
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver import limits
from kubelab.apiserver.endpoints import decoding
from kubelab.apiserver.endpoints.decoding import GroupVersionKind, kind_of
from kubelab.apiserver.endpoints.patching import IGNORE, STRICT
from kubelab.apiserver.httpfront import negotiation
from kubelab.apiserver.storage.wire import MAGIC
from kubelab.apiserver.strategies import wellformed
from kubelab.storage.v1 import storage_pb2

M = TypeVar("M", bound=Message)
MAX_BODY = 3 * 1024 * 1024  # bytes, as upstream
_SHOWN = 30  # bytes of a body that an error shows
_SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
_KNOWN = {GroupVersionKind("v1", kind) for kind in ("List", "Status", "DeleteOptions")}
_NO_STRUCT = (
    'of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


@dataclass(slots=True)
class Body:
    """An object as a client sent it. ``warnings`` are of its latest decoding."""

    data: bytes
    media_type: str
    validation: str
    warnings: list[str]

    def decode(self, message: type[M], resource: Resource[Message]) -> M:
        """Read it as an object of this message. BadRequest, TooLarge, Invalid for times that no reader could write."""
        expected = GroupVersionKind(resource.api_version, resource.kind)
        if message is not resource.message:
            expected = kind_of(message)
        if self.media_type == negotiation.PROTOBUF:
            return self._from_protobuf(message, expected)
        body, strict = self._document(expected)
        obj, unknown = self._from_document(body, message, expected)
        self._note([*strict, *unknown], body, expected)
        limits.check_object(obj, len(self.data))
        if complaints := wellformed.validate(obj):
            raise errors.invalid(expected.kind, meta_of(obj).name, complaints)
        return obj

    def options(self, message: type[M], expected: GroupVersionKind) -> M:
        """Read the options of a request, whose version may be that of any group."""
        if self.media_type == negotiation.PROTOBUF:
            return self._from_protobuf(message, expected)
        body, _ = self._document(expected)
        version, kind = body.get("apiVersion") or expected.api_version, body.get("kind") or expected.kind
        if kind != expected.kind:
            raise errors.BadRequest(f'no kind "{kind}" is registered for version "{version}" {_SCHEME}')
        try:
            return jsonobjects.decode(body, message)[0]
        except jsonobjects.DecodingError as err:
            raise _unhandled(expected, expected, str(err)) from err

    def _document(self, expected: GroupVersionKind) -> tuple[JSONObject, list[str]]:
        """Read JSON or YAML; the list has complaints about keys that are there twice."""
        if self.media_type == negotiation.YAML:
            try:
                nodes = parse(self.data.decode(), "body")
                found: Any = plain(nodes[0]) if nodes else None
            except (ValueError, RecursionError, ManifestError) as err:
                raise self._unrecognized(expected, _yaml_words(err), "") from err
            return self._object(found, expected), []
        duplicates = DuplicateFields()
        try:
            found = load(self.data, duplicates)
        except ValueError as err:
            why = gojson.syntax(err) if isinstance(err, gojson.JSONDecodeError) else str(err)
            raise self._unrecognized(expected, f"json parse error: {why}") from err
        return self._object(found, expected), [f'duplicate field "{name}"' for name in duplicates.names]

    def _object(self, found: Any, expected: GroupVersionKind) -> JSONObject:
        if not isinstance(found, dict):
            given = gojson.kind(found)
            raise self._unrecognized(
                expected, f"json parse error: json: cannot unmarshal {given} into Go value {_NO_STRUCT}"
            )
        return cast(JSONObject, found)

    def _from_document(self, body: JSONObject, message: type[M], expected: GroupVersionKind) -> tuple[M, list[str]]:
        version, kind = body.get("apiVersion") or expected.api_version, body.get("kind") or expected.kind
        if not isinstance(version, str) or not isinstance(kind, str):
            which, wrong = ("apiVersion", version) if not isinstance(version, str) else ("kind", kind)
            why = f"json: cannot unmarshal {gojson.kind(wrong)} into Go struct field .{which} of type string"
            raise self._unrecognized(expected, f"json parse error: {why}")
        given = GroupVersionKind(version, kind)
        if given != expected:
            raise _mismatch(given, expected)
        try:
            return jsonobjects.decode(body, message)
        except jsonobjects.DecodingError as err:
            raise _unhandled(given, expected, str(err)) from err

    def _note(self, complaints: list[str], body: JSONObject, expected: GroupVersionKind) -> None:
        if not complaints or self.validation == IGNORE:
            return
        if self.validation == STRICT:
            raise _unhandled(expected, expected, f"strict decoding error: {', '.join(complaints)}")
        self.warnings = complaints

    def _from_protobuf(self, message: type[M], expected: GroupVersionKind) -> M:
        if not self.data.startswith(MAGIC):
            raise self._unrecognized(
                expected, "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]", ""
            )
        try:
            unknown = storage_pb2.Unknown.FromString(self.data[len(MAGIC) :])
        except DecodeError as err:
            raise self._unrecognized(expected, f"proto: {err}", "") from err
        version, kind = unknown.typeMeta.apiVersion, unknown.typeMeta.kind
        given = GroupVersionKind(version or expected.api_version, kind or expected.kind)
        if given != expected:
            raise _mismatch(given, expected)
        packed = AnyMessage(type_url=scheme.TYPE_URL_PREFIX + message.DESCRIPTOR.full_name, value=unknown.raw)
        return decoding.decode(message, packed)

    def _unrecognized(
        self, expected: GroupVersionKind, why: str, before: str = "couldn't get version/kind; "
    ) -> errors.BadRequest:
        shown = self.data[:_SHOWN]
        if not self.data:
            summary = "<empty>"
        else:
            summary = shown.decode(errors="replace") if shown.startswith(b"{") else shown.hex()
            summary += " ..." if len(self.data) > _SHOWN else ""
        message = f"the object provided is unrecognized (must be of type {expected.kind}): {before}{why} ({summary})"
        return errors.BadRequest(message)


def _yaml_words(err: Exception) -> str:
    """Say what is wrong with YAML as upstream does: ``yaml: line 4: …``, without the place where our reader looked."""
    return f"yaml: {str(err).rpartition('yaml: ')[2]}"


def _mismatch(given: GroupVersionKind, expected: GroupVersionKind) -> errors.BadRequest:
    """Say why another kind is none that the path takes."""
    if scheme.by_kind(given.api_version, given.kind) is None and given not in _KNOWN:
        version = given.api_version
        return _unhandled(given, expected, f'no kind "{given.kind}" is registered for version "{version}" {_SCHEME}')
    version = given.api_version.rpartition("/")[2]
    internal = expected.api_version.rpartition("/")[0].partition(".")[0] or "core"
    why = f"converting ({version}.{given.kind}) to ({internal}.{expected.kind}): unknown conversion"
    return _unhandled(given, expected, why)


def _unhandled(given: GroupVersionKind, expected: GroupVersionKind, why: str) -> errors.BadRequest:
    version = given.api_version.rpartition("/")[2]
    return errors.BadRequest(f'{given.kind} in version "{version}" cannot be handled as a {expected.kind}: {why}')


def read_delete_options(data: bytes, media_type: str) -> meta_pb2.DeleteOptions:
    """Read the options of a deletion, of whatever version its client gives them. BadRequest."""
    body = Body(data, media_type, IGNORE, [])
    expected = GroupVersionKind("v1", "DeleteOptions")
    return body.options(meta_pb2.DeleteOptions, expected)
