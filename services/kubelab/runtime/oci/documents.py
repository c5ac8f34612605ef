"""What images say of themselves: manifests, indexes and configurations, and the ``manifest.json`` of `docker save`.

Each is untrusted JSON: every value that is used has been checked for its type and its form.
https://github.com/opencontainers/image-spec, https://github.com/moby/docker-image-spec
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from kubelab.apimachinery.references import BadReference, check_digest
from kubelab.runtime.oci.digests import sha256
from kubelab.runtime.oci.limits import BadImage, Limits
from kubelab.runtime.oci.platforms import Platform

DOCKER = "application/vnd.docker.distribution.manifest"
MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", f"{DOCKER}.v2+json")
INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", f"{DOCKER}.list.v2+json")
SCHEMA1_TYPES = (f"{DOCKER}.v1+json", f"{DOCKER}.v1+prettyjws")
_CONFIG_TYPES = ("", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_REFERENCE_TYPE = "vnd.docker.reference.type"  # BuildKit's mark of what belongs to an image and is none
_MAX_SIZE = 1 << 62

T = TypeVar("T")
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Where a document points to."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    artifact: bool = False

    @property
    def beside_images(self) -> bool:
        """Whether this is no image: an attestation, a signature, a chart."""
        unknown = self.platform is not None and self.platform.os == "unknown"
        return self.artifact or unknown or _REFERENCE_TYPE in self.annotations


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform, or an artifact that is no image."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact: bool


@dataclass(frozen=True, slots=True)
class Index:
    """Several manifests, or indexes."""

    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """An image's configuration: its bytes, and what is needed to bring its layers in."""

    content: bytes
    digest: str
    platform: Platform
    diff_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DockerImage:
    """An entry of `docker save`'s ``manifest.json``: names of files in the archive, and the image's names."""

    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...]


def docker_images(content: bytes, what: str, limits: Limits) -> list[DockerImage]:
    """Read ``manifest.json``; BadImage. The list may be empty."""
    entries = _list(_json(content, what, limits), what)
    if len(entries) > limits.images:
        raise BadImage(f"{what}: more than {limits.images} images")
    images: list[DockerImage] = []
    for n, value in enumerate(entries):
        here = f"{what}[{n}]"
        entry = _object(value, here)
        images.append(
            DockerImage(
                _text(entry.get("Config"), f"{here}.Config"),
                _each(entry.get("Layers"), f"{here}.Layers", _text),
                _each(entry.get("RepoTags"), f"{here}.RepoTags", _text),
            )
        )
    return images


def index(content: bytes, what: str, limits: Limits) -> Index:
    """Read an ``index.json``; BadImage."""
    return _index(_object(_json(content, what, limits), what), what, limits)


def manifest(content: bytes, what: str, limits: Limits) -> Manifest | Index:
    """Read what a descriptor of an image points to; BadImage."""
    document = _object(_json(content, what, limits), what)
    media_type = _maybe(document.get("mediaType"), f"{what}.mediaType", _text, "")
    if media_type in SCHEMA1_TYPES or document.get("schemaVersion") == 1:
        raise BadImage(schema1(media_type if media_type in SCHEMA1_TYPES else SCHEMA1_TYPES[1]))
    if "manifests" in document:
        return _index(document, what, limits)
    if "config" not in document and "layers" not in document:
        raise BadImage(f"{what}: neither a manifest (config, layers) nor an index (manifests)")
    config = _descriptor(document.get("config"), f"{what}.config")
    artifact = bool(_maybe(document.get("artifactType"), f"{what}.artifactType", _text, ""))
    layers = _each(document.get("layers"), f"{what}.layers", _descriptor)
    return Manifest(config, layers, artifact or config.media_type not in _CONFIG_TYPES)


def schema1(media_type: str) -> str:
    """containerd's refusal of the first kind of manifest, which registries gave up in 2017."""
    return (
        f'media type "{media_type}" is no longer supported since containerd v2.0, please rebuild the image as '
        f'"{MANIFEST_TYPES[1]}" or "{MANIFEST_TYPES[0]}"'
    )


def config(content: bytes, what: str, limits: Limits) -> Config:
    """Read a configuration, and see that all that a runtime uses of it is what it should be; BadImage."""
    document = _object(_json(content, what, limits), what)
    rootfs = _object(document.get("rootfs"), f"{what}.rootfs")
    if (kind := rootfs.get("type", "layers")) != "layers":
        raise BadImage(f"{what}.rootfs.type: expected layers, got {_shown(kind)}")
    diff_ids = _each(rootfs.get("diff_ids"), f"{what}.rootfs.diff_ids", _digest)
    _process(_maybe(document.get("config"), f"{what}.config", _object, {}), f"{what}.config")
    return Config(content, sha256(content), _platform(document, what), diff_ids)


def _process(process: Object, what: str) -> None:
    for key in ("User", "WorkingDir", "StopSignal", "Hostname", "Domainname"):
        _maybe(process.get(key), f"{what}.{key}", _text, "")
    for key in ("Entrypoint", "Cmd", "Env", "Shell", "OnBuild"):
        _each(process.get(key), f"{what}.{key}", _text)
    for key in ("ExposedPorts", "Volumes"):
        _maybe(process.get(key), f"{what}.{key}", _object, {})
    _texts(process.get("Labels"), f"{what}.Labels")


def _index(document: Object, what: str, limits: Limits) -> Index:
    if "manifests" not in document:
        raise BadImage(f"{what}.manifests: is missing")
    entries = _each(document.get("manifests"), f"{what}.manifests", _descriptor)
    if len(entries) > limits.images:
        raise BadImage(f"{what}.manifests: more than {limits.images}")
    return Index(entries)


def _descriptor(value: Any, what: str) -> Descriptor:
    descriptor = _object(value, what)
    size = descriptor.get("size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _MAX_SIZE:
        raise BadImage(f"{what}.size: expected a number of bytes, got {_shown(size)}")
    return Descriptor(
        digest=_digest(descriptor.get("digest"), f"{what}.digest"),
        size=size,
        media_type=_maybe(descriptor.get("mediaType"), f"{what}.mediaType", _text, ""),
        platform=_maybe(descriptor.get("platform"), f"{what}.platform", _platform, None),
        annotations=_texts(descriptor.get("annotations"), f"{what}.annotations"),
        artifact=bool(_maybe(descriptor.get("artifactType"), f"{what}.artifactType", _text, "")),
    )


def _platform(value: Any, what: str) -> Platform:
    platform = _object(value, what)
    return Platform(
        *(_maybe(platform.get(key), f"{what}.{key}", _text, "") for key in ("os", "architecture", "variant"))
    )


# --- values of JSON


def _json(content: bytes, what: str, limits: Limits) -> Any:
    if len(content) > limits.document:
        raise BadImage(f"{what}: larger than {limits.document} bytes")
    try:
        document = json.loads(content)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()  # no half of a surrogate pair, no NaN
    except (ValueError, RecursionError) as err:
        raise BadImage(f"{what}: not JSON: {err}") from err
    return document


def _object(value: Any, what: str) -> Object:
    if not isinstance(value, dict):
        raise BadImage(f"{what}: expected an object, got {_shown(value)}")
    return cast(Object, value)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadImage(f"{what}: expected a list, got {_shown(value)}")
    return cast("list[Any]", value)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise BadImage(f"{what}: expected a text, got {_shown(value)}")
    return value


def _digest(value: Any, what: str) -> str:
    try:
        return check_digest(_text(value, what))
    except BadReference as err:
        raise BadImage(f"{what}: {_shown(value)}: {err}") from err


def _texts(value: Any, what: str) -> dict[str, str]:
    """An object of texts; null is an empty one."""
    mapping = _maybe(value, what, _object, {})
    return {_text(key, what): _text(text, f"{what}.{key}") for key, text in mapping.items()}


def _maybe(value: Any, what: str, form: Callable[[Any, str], T], default: T) -> T:
    return default if value is None else form(value, what)


def _each(value: Any, what: str, form: Callable[[Any, str], T]) -> tuple[T, ...]:
    """A list of what has one form; null is an empty one."""
    return tuple(form(one, f"{what}[{n}]") for n, one in enumerate(_list([] if value is None else value, what)))


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "…"
