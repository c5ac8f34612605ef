"""The types of patches, by their media types."""

from __future__ import annotations

import enum


class PatchType(enum.StrEnum):
    """What a patch is. APPLY is a part of an object, for server-side apply."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"
