"""Server-side apply: from a part of an object that a manager wants to the object as it shall be, in upstream's words
(https://kubernetes.io/docs/reference/using-api/server-side-apply/)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery import errors, jsonobjects
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.fieldsets import checking, managers, paths, types
from kubelab.apimachinery.fieldsets.managers import APPLY, UPDATE, ApplyConflicts, Conflict, ManagedFields, Manager
from kubelab.apimachinery.fieldsets.paths import EMPTY
from kubelab.apimachinery.fieldsets.types import Struct
from kubelab.apimachinery.manifest.diagnostics import ManifestError
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.manifest.yamlnodes import parse, plain
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.values import JSONObject, copied, load
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver import limits
from kubelab.apiserver.registry.fieldtracking import ignored_by, ignored_fields
from kubelab.apiserver.strategies import wellformed

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"  # the manager that takes over what a client-side apply has set


def read(data: bytes) -> JSONObject:
    """Read what is applied, YAML or JSON; BadRequest."""
    try:
        if data.lstrip()[:1] == b"{":
            found = load(data)
        else:
            nodes = parse(data.decode(), "patch")
            found = plain(nodes[0]) if len(nodes) == 1 else None
    except (ValueError, ManifestError) as err:
        raise errors.BadRequest(f"error decoding YAML: {err}") from err
    if not isinstance(found, dict):
        raise errors.BadRequest("error decoding YAML: expected one object")
    return cast(JSONObject, found)


class Applier:
    """One apply; ``apply`` may be called several times, on ever fresher objects."""

    def __init__(
        self,
        resource: Resource[Message],
        applied: JSONObject,
        manager: str,
        subresource: str,
        clock: Clock,
        *,
        force: bool,
    ) -> None:
        self._resource, self._applied, self._clock, self._force = resource, applied, clock, force
        self._manager = Manager(manager, APPLY, "", subresource)
        descriptor: Any = resource.message.DESCRIPTOR
        if resource.custom is not None:
            self._kind: Struct = resource.custom.fields
            self._ignored = ignored_by(self._kind, subresource) if resource.custom.has_status else EMPTY
        else:
            self._kind = types.of_object(descriptor)
            self._ignored = ignored_fields(descriptor, subresource)
        self._check()

    def _check(self) -> None:
        r, applied = self._resource, self._applied
        version, kind = applied.get("apiVersion"), applied.get("kind")
        if not kind:
            raise errors.BadRequest("invalid object type: Object 'Kind' is missing")
        if kind != r.kind:
            raise errors.BadRequest(f"invalid object type: {version}, Kind={kind}")
        if version != r.api_version:
            raise errors.BadRequest(
                "Incorrect version specified in apply patch. "
                f"Specified patch version: {version}, expected: {r.api_version}"
            )
        metadata = applied.get("metadata")
        if isinstance(metadata, dict) and cast(JSONObject, metadata).get("managedFields"):
            raise errors.BadRequest("metadata.managedFields must be nil")
        if found := checking.complaints(applied, self._kind):
            m = cast(JSONObject, metadata) if isinstance(metadata, dict) else {}
            group = f"{r.group}/{r.version}"
            what = f"{m.get('namespace', '')}/{m.get('name', '')}; {group}, Kind={r.kind}"
            raise errors.UnknownError(f"failed to create typed patch object ({what}): {checking.described(found)}")

    def create(self) -> Message:
        """Give the object where there is none yet."""
        return self._applied_to(self._resource.new(), ManagedFields(), "")

    def apply(self, current: Message, version: str) -> Message:
        """Give the object with what is applied. ``version`` is its resourceVersion. Conflict."""
        try:
            managed = ManagedFields.decode(meta_of(current).managedFields)
        except ValueError as err:
            raise errors.UnknownError(f"failed to decode managed fields: {err}") from err
        if not managed:
            first = Manager(managers.BEFORE_FIRST_APPLY, UPDATE, self._resource.api_version)
            empty, live = message_to_dict(self._resource.new()), message_to_dict(current)
            managed.update(empty, live, self._kind, first, int(self._clock.time()), self._ignored)
        return self._applied_to(current, managed, version)

    def _applied_to(self, current: Message, managed: ManagedFields, version: str) -> Message:
        r = self._resource
        live: JSONObject = {"apiVersion": r.api_version, "kind": r.kind, **message_to_dict(current)}
        metadata: JSONObject = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
        live["metadata"] = metadata | ({"resourceVersion": version} if version else {})
        merged = self._merged(live, managed)
        if self._manager.name == _KUBECTL and version:
            self._update_last_applied(merged)
        try:
            obj, _ = jsonobjects.decode(merged, r.message)
        except jsonobjects.DecodingError as err:
            raise errors.UnknownError(f"failed to convert new typed object: {err}") from err
        jsonobjects.align(obj, current)
        limits.check_object(obj, obj.ByteSize())
        if wrong := wellformed.validate(obj):
            raise errors.invalid(r.kind, meta_of(obj).name, wrong, r.group)
        meta_of(obj).managedFields.extend(managed.encode())
        return obj

    def _merged(self, live: JSONObject, managed: ManagedFields) -> JSONObject:
        try:
            return self._merge(live, managed, force=self._force)
        except ApplyConflicts as err:
            conflicts = err.conflicts
            if self._manager.name == _KUBECTL and (last := _last_applied(live, self._resource.api_version)) is not None:
                allowed = managers.allowed_by_last_applied(last, live, self._kind)
                conflicts = [one for one in conflicts if one.path not in allowed]
                if not conflicts:
                    return self._merge(live, managed, force=True)
            raise _conflict(conflicts) from err

    def _merge(self, live: JSONObject, managed: ManagedFields, *, force: bool) -> JSONObject:
        return managed.apply(
            live,
            self._applied,
            self._kind,
            self._manager,
            self._resource.api_version,
            int(self._clock.time()),
            force=force,
            ignored=self._ignored,
        )

    def _update_last_applied(self, merged: JSONObject) -> None:
        """Keep the annotation of client-side apply true where the object has it, for one may come again."""
        annotations = merged["metadata"].get("annotations") or {}
        if not annotations.get(LAST_APPLIED):
            return
        applied = copied(self._applied)
        if own := applied.get("metadata", {}).get("annotations"):
            own.pop(LAST_APPLIED, None)
        text = json.dumps(applied, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
        merged["metadata"]["annotations"] = {**annotations, LAST_APPLIED: text}


def _last_applied(live: JSONObject, version: str) -> JSONObject | None:
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    try:
        found = load(text)
    except ValueError:
        return None
    return cast(JSONObject, found) if isinstance(found, dict) and found.get("apiVersion") == version else None  # pyright: ignore[reportUnknownMemberType]


def _conflict(conflicts: Sequence[Conflict]) -> errors.Conflict:
    """Upstream's words, grouped by manager."""
    causes = [
        Cause(paths.text(one.path), f"conflict with {_shown(one.manager)}", errors.FIELD_MANAGER_CONFLICT)
        for one in conflicts
    ]
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
        return errors.Conflict(message, causes=causes)
    by_manager: dict[Manager, list[str]] = {}
    for one in conflicts:
        by_manager.setdefault(one.manager, []).append(paths.text(one.path))
    lines: list[str] = []
    for manager in sorted(by_manager):
        lines += [f"conflicts with {_shown(manager)}:", *(f"- {path}" for path in by_manager[manager])]
    joined = "\n".join(lines)
    return errors.Conflict(f"Apply failed with {len(conflicts)} conflicts: {joined}", causes=causes)


def _shown(manager: Manager) -> str:
    text = json.dumps(manager.name, ensure_ascii=False)
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    return f"{text} using {manager.version}" if manager.operation == UPDATE else text
