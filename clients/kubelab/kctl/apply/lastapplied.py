"""The annotation in which a client-side apply keeps the configuration that it applied.

The next apply removes from the object what that had and the new one has not
(https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/).
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message import Message

from kubelab.apimachinery.manifest.decode import Document
from kubelab.apimachinery.meta import meta_of

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}  # as Go's JSON encoder


def configuration_of(document: Document, namespace: str) -> dict[str, Any]:
    """Give an object as its file has it, in the namespace where it goes ("" for none)."""
    written = document.written
    if not namespace:
        return written
    return {**written, "metadata": {**(written.get("metadata") or {}), "namespace": namespace}}


def create_or_update(document: Document, namespace: str, *, create: bool) -> None:
    """Write the annotation into an object of a file where that is wanted, or where the file has one."""
    if create or has(document.obj):
        save(document.obj, configuration_of(document, namespace))


def without(configuration: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration without the annotation; it has a map of annotations, if an empty one."""
    metadata: dict[str, Any] = dict(configuration.get("metadata") or {})
    annotations: dict[str, str] = dict(metadata.get("annotations") or {})
    annotations.pop(ANNOTATION, None)
    return {**configuration, "metadata": {**metadata, "annotations": annotations}}


def encoded(configuration: dict[str, Any]) -> str:
    """Give the annotation's value: compact JSON with sorted keys, and a line feed, as kubectl writes it."""
    text = json.dumps(without(configuration), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.translate(_ESCAPES) + "\n"


def annotated(configuration: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration with itself in the annotation: what an apply sends."""
    bare = without(configuration)
    annotations = {**bare["metadata"]["annotations"], ANNOTATION: encoded(configuration)}
    return {**bare, "metadata": {**bare["metadata"], "annotations": annotations}}


def save(obj: Message, configuration: dict[str, Any]) -> None:
    """Write the annotation into an object."""
    meta_of(obj).annotations[ANNOTATION] = encoded(configuration)


def save_generated(obj: Message) -> None:
    """Write the annotation into an object that a command made: with the fields in their order, as kubectl has it."""
    from kubelab.kctl import structorder

    text = json.dumps(structorder.document_of(obj), separators=(",", ":"), ensure_ascii=False)
    meta_of(obj).annotations[ANNOTATION] = text.translate(_ESCAPES) + "\n"


def of(obj: Message) -> dict[str, Any]:
    """Read the configuration that was applied last, empty without one. Raises ValueError for a broken annotation."""
    text = meta_of(obj).annotations.get(ANNOTATION, "")
    configuration = json.loads(text) if text else {}
    if not isinstance(configuration, dict):
        raise ValueError("json: cannot unmarshal the annotation into an object")
    return configuration


def text_of(obj: Message) -> str:
    """Give the annotation as it stands, "" without one."""
    return meta_of(obj).annotations.get(ANNOTATION, "")


def has(obj: Message) -> bool:
    return ANNOTATION in meta_of(obj).annotations
