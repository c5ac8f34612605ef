"""``--overrides``: JSON that a command merges into the object that it made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from google.protobuf.message import Message

FLAGS = (
    Flag(
        "--override-type",
        default="merge",
        help="The method used to override the generated object: json, merge, or strategic.",
    ),
    Flag(
        "--overrides",
        help="An inline JSON override for the generated object. If this is non-empty, it is used to override the "
        "generated object. Requires that the object supply a valid apiVersion field.",
    ),
)


def overridden(made: Message, overrides: str, override_type: str) -> Message:
    """Give the object with the overrides in it. UsageProblem: an unknown type; Failed: they do not fit."""
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.manifest.decode import decode
    from kubelab.apimachinery.manifest.diagnostics import ManifestError
    from kubelab.apimachinery.patch import jsonpatch, merge, strategic
    from kubelab.apimachinery.patch.errors import PatchError
    from kubelab.kctl.changes import descriptor_of

    document = encode.to_dict(made)
    ways: dict[str, Callable[[Any], dict[str, Any]]] = {
        "json": lambda patch: jsonpatch.apply(document, jsonpatch.decode(patch)),
        "merge": lambda patch: merge.apply(document, patch),
        "strategic": lambda patch: strategic.apply(document, patch, descriptor_of(made)),
    }
    if override_type not in ways:
        raise UsageProblem(f"invalid override type: {override_type}")
    try:
        patch = _read(overrides, override_type)
        if isinstance(patch, dict) is (override_type == "json"):
            raise ValueError("it is not what the override type needs")
        return decode(json.dumps(ways[override_type](patch)), "overrides")[0].obj
    except (PatchError, ManifestError, ValueError) as err:
        raise Failed(f"error: invalid overrides: {err}") from err


def _read(overrides: str, override_type: str) -> Any:
    try:
        return json.loads(overrides)
    except ValueError as err:
        words = {"json": "unexpected end of JSON input", "merge": "Invalid JSON Patch"}
        raise Failed(f"error: {words.get(override_type, 'invalid JSON document')}") from err
