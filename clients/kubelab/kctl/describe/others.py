"""Namespaces, config maps, secrets, and anything else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2, limits_pb2
from kubelab.apimachinery.manifest import encode
from kubelab.apimachinery.meta import meta_of
from kubelab.kctl.describe import events, limits
from kubelab.kctl.describe.writer import Writer, moment

Events = Sequence[core_pb2.Event] | None
ACRONYMS = frozenset(("API", "URL", "UID", "OSB", "GUID"))


def namespace(
    ns: core_pb2.Namespace, quotas: Sequence[limits_pb2.ResourceQuota], ranges: Sequence[limits_pb2.LimitRange]
) -> str:
    """Describe a namespace with its quotas and limit ranges."""
    w = Writer()
    w.field("Name", ns.metadata.name)
    w.labels("Labels", ns.metadata.labels)
    w.annotations("Annotations", ns.metadata.annotations)
    w.field("Status", ns.status.phase)
    if ns.status.conditions:
        w.line("Conditions:")
        w.line("Type\tStatus\tLastTransitionTime\tReason\tMessage", 1)
        w.line("----\t------\t------------------\t------\t-------", 1)
        for c in ns.status.conditions:
            w.line(f"{c.type}\t{c.status}\t{moment(c.lastTransitionTime)}\t{c.reason}\t{c.message}", 1)
    w.line("")
    limits.write_quotas(w, quotas)
    w.line("")
    limits.write_limits(w, ranges)
    return w.render()


def config_map(cm: core_pb2.ConfigMap, object_events: Events, now: float) -> str:
    """Describe a config map with all that is in it; of binary data only the size."""
    w = _begin(cm)
    for text in ("", "Data", "===="):
        w.line(text)
    for key in sorted(cm.data):
        w.line(f"{key}:")
        w.line("----")
        for line in cm.data[key].split("\n"):
            w.line(line)
        w.line("")
    for text in ("", "BinaryData", "===="):
        w.line(text)
    for key in sorted(cm.binaryData):
        w.line(f"{key}: {len(cm.binaryData[key])} bytes")
    w.line("")
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def secret(secret: core_pb2.Secret) -> str:
    """Describe a secret without telling it."""
    w = _begin(secret)
    w.line("")
    w.field("Type", secret.type)
    for text in ("", "Data", "===="):
        w.line(text)
    for key in sorted(secret.data):
        data = secret.data[key]
        token = secret.type == "kubernetes.io/service-account-token" and key == "token"
        w.field(key, data.decode(errors="replace") if token else f"{len(data)} bytes")
    return w.render()


def generic(obj: Message, object_events: Events, now: float) -> str:
    """Describe any object by its fields."""
    w = _begin(obj)
    _fields(w, 0, encode.to_dict(obj), "")
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def _begin(obj: Message) -> Writer:
    w = Writer()
    metadata = meta_of(obj)
    w.field("Name", metadata.name)
    w.field("Namespace", metadata.namespace)
    w.labels("Labels", metadata.labels)
    w.annotations("Annotations", metadata.annotations)
    return w


_SKIPPED = frozenset(f".metadata.{key}" for key in ("name", "namespace", "labels", "annotations", "managedFields"))


def _fields(w: Writer, level: int, content: Mapping[str, Any], path: str) -> None:
    for key in sorted(content):
        where, value = f"{path}.{key}", content[key]
        if where in _SKIPPED:
            continue
        if isinstance(value, dict):
            w.line(f"{label_of(key)}:", level)
            _fields(w, level + 1, value, where)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list):
            w.line(f"{label_of(key)}:", level)
            for child in value:  # pyright: ignore[reportUnknownVariableType]
                if isinstance(child, dict):
                    _fields(w, level + 1, child, where)  # pyright: ignore[reportUnknownArgumentType]
                else:
                    w.line(_shown(child), level + 1)
        else:
            w.field(label_of(key), _shown(value), level)


def label_of(key: str) -> str:
    """``creationTimestamp`` → ``Creation Timestamp``; abbreviations stay in capitals."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9]+", key)
    return " ".join(w.upper() if w.upper() in ACRONYMS else w[:1].upper() + w[1:] for w in words)


def _shown(value: object) -> str:
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
