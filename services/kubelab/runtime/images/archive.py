"""Bringing in images as files: what `docker save` and its likes write, and OCI image layouts, both as tar.

Nothing of an archive becomes a file under a name of its own: what a description names is looked up among the archive's
members, links between them included, and read from where it lies in the archive.
https://github.com/moby/docker-image-spec, https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kubelab.apimachinery.references import BadReference, Reference, parse
from kubelab.runtime.images.staging import Staging
from kubelab.runtime.images.store import Store
from kubelab.runtime.oci import compression, digests, documents, platforms
from kubelab.runtime.oci.documents import Config, Descriptor, DockerImage
from kubelab.runtime.oci.limits import BadImage, Limits
from kubelab.runtime.oci.members import Members
from kubelab.runtime.oci.picking import Picker
from kubelab.runtime.oci.tarball import shown

_WHAT = "the archive"
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"  # a whole name, or only a tag: the writer's choice
_NO_NAME = "<none>:<none>"


class BadArchive(BadImage):
    """The file is no image archive, or not a whole one."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An image in an archive: where its layers are, lowest first, and what it is called."""

    config: Config
    layers: tuple[str, ...]
    names: tuple[Reference, ...]


def load(store: Store, archive: Path, limits: Limits | None = None) -> list[str]:
    """Bring in every image of an archive that is for this machine, or none: give their names, or the ids of those that
    have none. BadArchive, OSError."""
    limits = limits or Limits()
    with _as_bad_archive(), Staging.begin(store, limits) as staging:
        with archive.open("rb") as file, _without_compression(file, staging) as plain:
            members = Members(plain, limits)
            images = _images(members, limits)
            for image in images:
                records = [
                    staging.add_layer(members.open(name), diff_id, shown(name))
                    for name, diff_id in zip(image.layers, image.config.diff_ids, strict=True)
                ]
                staging.add_image(image.config, records, image.names)
        staging.commit()
    names = [name for image in images for name in [*(n.familiar for n in image.names)] or [image.config.digest]]
    return list(dict.fromkeys(names))


@contextlib.contextmanager
def _as_bad_archive() -> Generator[None]:
    try:
        yield
    except BadArchive:
        raise
    except BadImage as err:
        raise BadArchive(str(err)) from err


@contextlib.contextmanager
def _without_compression(file: IO[bytes], staging: Staging) -> Generator[IO[bytes]]:
    """The archive itself, or what comes out of it (`docker save | gzip`)."""
    with compression.opened(file, staging.budget, _WHAT) as plain:
        if not plain.compressed:
            yield file
            return
        path = staging.folder / "archive.tar"
        with path.open("w+b") as target:
            while block := plain.read():
                target.write(block)
            path.unlink()
            target.flush()
            target.seek(0)
            yield target


def _images(members: Members, limits: Limits) -> list[_Found]:
    has_docker, has_oci = members.has("manifest.json"), members.has("index.json")
    if has_docker:
        entries = documents.docker_images(members.document("manifest.json"), "manifest.json", limits)
        if entries or not has_oci:
            try:
                return _docker_images(members, entries, limits)
            except _NoMatch:
                if not has_oci:  # which may have other platforms' images besides
                    raise
    if has_oci:
        return _oci_images(members, limits)
    reason = "neither manifest.json (docker save) nor index.json (OCI image layout) is in it"
    if members.has("repositories"):
        reason = "it was written by a docker before 1.10; load it there and save it with a younger one"
    elif inside := members.holder_of(("manifest.json", "index.json")):
        reason = f"{inside} is not at its top; pack the content of its folder, not the folder"
    raise BadArchive(f"not an image archive: {reason}")


class _NoMatch(BadArchive):
    """All that is there is for other machines."""


# --- docker save


def _docker_images(members: Members, entries: list[DockerImage], limits: Limits) -> list[_Found]:
    here = platforms.machine()
    images: list[_Found] = []
    foreign: list[platforms.Platform] = []
    for entry in entries:
        config = documents.config(members.document(entry.config), shown(entry.config), limits)
        if platforms.rank(config.platform, here) is None:
            foreign.append(config.platform)
            continue
        if len(entry.layers) != len(config.diff_ids):
            reason = f"{len(config.diff_ids)} layers expected, {len(entry.layers)} are in the archive"
            raise BadArchive(f"{shown(entry.config)}: {reason}")
        names = tuple(_name(tag, "RepoTags") for tag in entry.tags if tag != _NO_NAME)
        images.append(_Found(config, entry.layers, names))
    if foreign:
        raise _NoMatch(platforms.no_match(foreign, here))
    if not images:
        raise BadArchive("not an image archive: manifest.json names no image")
    return images


def _name(text: str, what: str) -> Reference:
    try:
        return parse(text)
    except BadReference as err:
        raise BadArchive(f"{what}: invalid tag {text!r}: {err}") from err


# --- OCI


def _oci_images(members: Members, limits: Limits) -> list[_Found]:
    """One image for each name, that which fits this machine best; without names, all that fit it best."""
    index = documents.index(members.document("index.json"), "index.json", limits)

    def fetch(descriptor: Descriptor) -> bytes | None:
        name = _blob(descriptor.digest)
        return digests.check(members.document(name), descriptor.digest, name) if members.has(name) else None

    picker = Picker(fetch, fetch, limits)
    groups: dict[Reference | None, list[Descriptor]] = {}
    for descriptor in index.manifests:
        groups.setdefault(_oci_name(descriptor.annotations), []).append(descriptor)
    images: dict[str, _Found] = {}
    for name, group in groups.items():
        candidates = [image for descriptor in group if (image := picker.image(descriptor)) is not None]
        best = [image for image in candidates if image.rank == min(one.rank for one in candidates)]
        if name is not None and not best and any(not descriptor.beside_images for descriptor in group):
            raise BadArchive(f"{name.familiar}: {_reason(picker)}")
        for image in best[-1:] if name is not None else best:
            layers = tuple(_blob(layer.digest) for layer in image.manifest.layers)
            before = images[image.config.digest].names if image.config.digest in images else ()
            names = before if name is None else (*before, name)
            images[image.config.digest] = _Found(image.config, layers, names)
    if not images:
        raise BadArchive(_reason(picker))
    return list(images.values())


def _reason(picker: Picker) -> str:
    """Why there is no image, of several reasons the one that people can do most about."""
    if picker.missing:
        return f"{_blob(picker.missing[0].digest)} is missing from the archive"
    if picker.foreign:
        return platforms.no_match(picker.foreign, picker.here)
    if picker.beside:
        return "not an image archive: only attestations or other artifacts are in it"
    return "not an image archive: index.json names no image"


def _oci_name(annotations: Mapping[str, str]) -> Reference | None:
    if text := annotations.get(_CONTAINERD_NAME):
        return _name(text, _CONTAINERD_NAME)
    text = annotations.get(_REF_NAME, "")
    if "/" not in text and ":" not in text:
        return None  # a tag of a repository that is not named
    try:
        return parse(text)
    except BadReference:
        return None  # the specification allows more than names of images


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
