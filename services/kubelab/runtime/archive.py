"""Bringing in images as files: what `docker save` writes, and OCI image layouts, both as tar."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import tarfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from kubelab.apimachinery.references import Reference, parse
from kubelab.runtime.store import LAYER_TYPE, Image, Store

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_NAME = "org.opencontainers.image.ref.name"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONTAINERD_NAME = "io.containerd.image.name"


class BadArchive(ValueError):
    """The file is no image archive, or not a whole one."""


def load(store: Store, archive: Path) -> list[str]:
    """Bring in every image of an archive; give their names, or their ids where they have none. BadArchive."""
    with store.adding(), store.scratch() as folder:
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    _extract(tar, member, folder)
        except tarfile.TarError as err:
            raise BadArchive(f"not an image archive (docker save, OCI image layout): {err}") from err
        try:
            if (folder / "manifest.json").is_file():
                images = list(_load_docker(store, folder))
            elif (folder / "index.json").is_file():
                images = list(_load_oci(store, folder))
            else:
                told = "neither manifest.json (docker save) nor index.json (OCI) is in it"
                raise BadArchive(f"not an image archive: {told}")
        except (KeyError, TypeError) as err:
            raise BadArchive(f"the archive's description of its images is not whole: {err}") from err
        except (zlib.error, gzip.BadGzipFile, EOFError) as err:
            raise BadArchive(f"a layer cannot be unpacked: {err}") from err
    return [name for image, names in images for name in (names or [image.id])]


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = folder / member.name.lstrip("/")
    if ".." in Path(member.name).parts:
        raise BadArchive(f"{member.name}: leads out of the archive")
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif member.isfile():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = cast(IO[bytes], tar.extractfile(member))
        with path.open("wb") as target:
            while block := content.read(1 << 20):
                target.write(block)
    elif member.issym() or member.islnk():
        # docker save links layers that are the same
        linked = (path.parent / member.linkname) if member.issym() else folder / member.linkname
        if folder not in linked.resolve().parents:
            raise BadArchive(f"{member.name}: links out of the archive")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(linked.resolve())


def _load_docker(store: Store, folder: Path) -> Iterator[tuple[Image, list[str]]]:
    for entry in _read(folder / "manifest.json"):  # its configuration is named after its digest, in one way or another
        config = _file(folder, entry["Config"]).read_bytes()
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        found = entry["Layers"]
        if len(found) != len(diff_ids):
            raise BadArchive(f"{entry['Config']}: {len(diff_ids)} layers expected, {len(found)} are in the archive")
        named = Path(entry["Config"]).name.removesuffix(".json")
        if (found_digest := hashlib.sha256(config).hexdigest()) != named:
            raise BadArchive(f"{entry['Config']}: expected sha256:{named}, got sha256:{found_digest}")
        layer_list = [add_layer(store, _file(folder, p), d) for p, d in zip(found, diff_ids, strict=True)]
        names = [parse(tag) for tag in entry.get("RepoTags") or ()]
        yield store.add_image(config, layer_list, names), [name.familiar for name in names]


def _load_oci(store: Store, folder: Path) -> Iterator[tuple[Image, list[str]]]:
    for entry in _read(folder / "index.json")["manifests"]:
        notes = entry.get("annotations") or {}
        text = notes.get(_CONTAINERD_NAME) or notes.get(_NAME) or ""
        names: list[Reference] = [parse(text)] if "/" in text or ":" in text else []
        manifest = json.loads(_checked(folder, entry["digest"]))
        if "manifests" in manifest:  # an index inside of the index: one for each platform
            manifest = json.loads(_checked(folder, for_this_machine(manifest["manifests"])["digest"]))
        config = _checked(folder, manifest["config"]["digest"])
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        layers = [
            add_layer(store, _blob(folder, layer["digest"]), diff_id)
            for layer, diff_id in zip(manifest["layers"], diff_ids, strict=True)
        ]  # each layer is checked against what the configuration says of it
        yield store.add_image(config, layers, names), [name.familiar for name in names]


def add_layer(store: Store, path: Path, diff_id: str) -> dict[str, Any]:
    """Unpack a layer and keep its bytes, uncompressed; BadArchive when they are not what ``diff_id`` says."""
    with store.scratch() as scratch:
        plain = scratch / "layer.tar"
        digest = hashlib.sha256()
        with plain.open("wb") as target, opened(path) as source:
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
        if f"sha256:{digest.hexdigest()}" != diff_id:
            raise BadArchive(f"{path.name}: expected {diff_id}, got sha256:{digest.hexdigest()}")
        with plain.open("rb") as content:
            store.add_layer(content, diff_id)
        _, size = store.add_file(plain)
    return {"mediaType": LAYER_TYPE, "digest": diff_id, "size": size}


@contextmanager
def opened(path: Path) -> Generator[IO[bytes]]:
    """Open a file and take a compression off; BadArchive for zstd, which Python 3.11 cannot."""
    with path.open("rb") as source:
        magic = source.read(4)
        source.seek(0)
        if magic.startswith(ZSTD_MAGIC):
            raise BadArchive("the layer is compressed with zstd; save the image with gzip or without compression")
        if magic.startswith(GZIP_MAGIC):
            with gzip.open(source) as plain:
                yield cast(IO[bytes], plain)
        else:
            yield source


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise BadArchive(f"{name} is missing from the archive")
    return path


def for_this_machine(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Choose among an index's manifests; BadArchive when none is for this platform."""
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    for entry in entries:
        wanted = entry.get("platform") or {}
        if (wanted.get("os"), wanted.get("architecture")) == ("linux", machine):
            return entry
    raise BadArchive(f"no match for platform linux/{machine} in manifest: not found")


def _checked(folder: Path, digest: str) -> bytes:
    content = _blob(folder, digest).read_bytes()
    if (found := f"sha256:{hashlib.sha256(content).hexdigest()}") != digest:
        raise BadArchive(f"expected {digest}, got {found}")
    return content


def _blob(folder: Path, digest: str) -> Path:
    return _file(folder, "blobs/" + digest.replace(":", "/"))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as err:
        raise BadArchive(f"{path.name}: {err}") from err
