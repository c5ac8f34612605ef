"""ControllerRevisions: a state and its number; the state never changes (upstream: ValidateControllerRevision)."""

from __future__ import annotations

import json

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy


class ControllerRevisionStrategy(Strategy[apps_pb2.ControllerRevision]):
    def validate_content(self, obj: apps_pb2.ControllerRevision) -> list[Cause]:
        complaints: list[Cause] = []
        if not obj.data.raw:
            complaints.append(causes.required("data", "data is mandatory"))
        elif not _is_object(obj.data.raw):
            complaints.append(causes.invalid_whole("data", "must be a JSON object"))
        return complaints + causes.non_negative("revision", obj.revision)

    def validate_change(self, obj: apps_pb2.ControllerRevision, old: apps_pb2.ControllerRevision) -> list[Cause]:
        if obj.data == old.data:
            return []
        return [causes.immutable("data", causes.Raw(causes.quoted(obj.data.raw.decode(errors="replace"))))]


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False
