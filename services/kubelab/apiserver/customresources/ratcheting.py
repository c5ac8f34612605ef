"""Updates may leave as it is what was stored before its schema became stricter
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, equal

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_MISSING: Any = object()


def left(found: Sequence[Cause], new: JSONObject, old: JSONObject) -> list[Cause]:
    """Give the complaints about values that the update has changed."""
    return [cause for cause in found if not _unchanged(cause, new, old)]


def _unchanged(cause: Cause, new: JSONObject, old: JSONObject) -> bool:
    steps = [key or int(index) for key, index in _STEP.findall(cause.field)] if cause.field != "<nil>" else []
    if cause.reason == "FieldValueRequired":
        steps = steps[:-1]
    if not steps:
        return equal(new, old)
    before, after = _at(old, steps), _at(new, steps)
    return before is not _MISSING and after is not _MISSING and equal(before, after)


def _at(value: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(cast(JSONArray, value)):
                return _MISSING
            value = cast(JSONArray, value)[step]
        elif not isinstance(value, dict):
            return _MISSING
        else:
            value = cast(JSONObject, value).get(step, _MISSING)
    return value
