"""Which pods belong to a service or a workload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def selector_of(workload: Any) -> str | None:
    """Give the selector of a service or workload as text; None for a kind that selects no pods."""
    from kubelab.api.meta.v1 import meta_pb2
    from kubelab.apimachinery import labelselectors

    selector = getattr(getattr(workload, "spec", None), "selector", None)
    if isinstance(selector, meta_pb2.LabelSelector):
        chosen = bool(selector.matchLabels or selector.matchExpressions)
        return labelselectors.text(selector) if chosen else ""
    if isinstance(selector, Mapping):
        labels = cast("Mapping[str, str]", selector)
        return ",".join(f"{key}={labels[key]}" for key in sorted(labels))
    return None
