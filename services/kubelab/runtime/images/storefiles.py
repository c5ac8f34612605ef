"""What the store writes: names of files, manifests, the index of names, and notes of what is about to be placed."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from kubelab.apimachinery.references import BadReference, check_digest, parse
from kubelab.files import statefile

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
SHORT_ID = re.compile(r"[a-f0-9]{4,64}", re.ASCII)
BASE_LABEL = "io.kubelab.base"  # "host" tells people of an image built over the host; no image is believed by it


class BadDigest(ValueError):
    """Bytes are not what their digest says."""


def labelled(config: bytes) -> bytes:
    """A configuration with the label that tells of the host as its base."""
    content = json.loads(config)
    process = content.setdefault("config", {})
    process["Labels"] = {**(process.get("Labels") or {}), BASE_LABEL: "host"}
    return json.dumps(content, sort_keys=True).encode()


def manifest_of(config: str, size: int, layer_list: list[dict[str, Any]]) -> bytes:
    """Write the manifest under which an image is kept: its layers are here without compression, however it was made."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config, "size": size},
        "layers": layer_list,
    }
    return json.dumps(manifest, sort_keys=True).encode()


def file_name(digest: str) -> str:
    """The name of the file, or of the layer's folder, that a digest has; BadDigest for what is no digest."""
    try:
        algorithm, _, encoded = check_digest(digest).partition(":")
    except BadReference as err:
        raise BadDigest(f"{digest!r}: {err}") from err
    return encoded if algorithm == "sha256" else f"{algorithm}-{encoded}"


def decisive_name(text: str) -> str:
    """The name under which the image of a text is kept; BadReference unless the text may be the beginning of an id."""
    try:
        return parse(text).decisive
    except BadReference:
        if SHORT_ID.fullmatch(text):
            return text
        raise


def among(folder: Path, digests: set[str]) -> list[Path]:
    """What a folder has of these digests."""
    return [path for name in file_names(digests) if (path := folder / name).exists()]


def file_names(digests: set[str]) -> set[str]:
    """The names of the files of digests, without what is no digest: a pin or a note that a power cut has emptied."""
    names: set[str] = set()
    for digest in digests:
        with suppress(BadDigest):
            names.add(file_name(digest))
    return names


def read_note(path: Path) -> list[str]:
    """The digests of a note; none where a power cut came before its content."""
    try:
        return list(statefile.read(path, _digests, remedy="") or [])
    except statefile.BrokenFile:
        return []


def read_index(path: Path) -> dict[str, str]:
    """Name → digest; none where it cannot be read, so that a machine's runtimes start, and bring images in again."""
    try:
        return statefile.read(path, statefile.texts, remedy="") or {}
    except statefile.BrokenFile:
        return {}


def read_pin(path: Path) -> str:
    """The digest that a container's image is kept by; "" where there is none, or none can be read."""
    try:
        return statefile.read(path, str, remedy="") or ""
    except statefile.BrokenFile:
        return ""


def _digests(text: str) -> list[str]:
    document: object = json.loads(text)
    if not isinstance(document, list) or not all(isinstance(one, str) for one in cast(list[object], document)):
        raise TypeError("expected a list of texts")
    return cast(list[str], document)
