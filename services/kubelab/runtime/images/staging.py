"""Images on their way into the store: no part of them is visible before :meth:`Staging.commit`, and then all at once.

::

    with Staging.begin(store, limits) as staging:
        layers = [staging.add_layer(file, diff_id, "the layer …") for …]
        staging.add_image(config, layers, names)
        images = staging.commit()

A load or a pull that fails, or whose process is killed, leaves nothing: what is staged lies in a folder of its own, and
what the commit is about to place is noted on the disk first (:meth:`kubelab.runtime.images.store.Store.recover`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

from kubelab.apimachinery.references import Reference
from kubelab.files import atomicfile
from kubelab.linux import syscalls
from kubelab.runtime.images import layers
from kubelab.runtime.images.store import LAYER_TYPE, Image, Store
from kubelab.runtime.images.storefiles import file_name, manifest_of
from kubelab.runtime.oci import compression, digests
from kubelab.runtime.oci.documents import Config
from kubelab.runtime.oci.limits import Budget, Limits

LayerRecord = dict[str, Any]  # a descriptor, as manifests have it


class Staging:
    """The parts of one load or pull; its budget covers all of them."""

    def __init__(self, store: Store, folder: Path, limits: Limits) -> None:
        self._store, self.folder = store, folder
        self.budget = Budget(limits)
        self._blobs, self._layers = folder / "blobs", folder / "layers"
        self._blobs.mkdir()
        self._layers.mkdir()
        self._digests: set[str] = set()
        self._named: dict[str, list[Reference]] = {}  # manifest → names

    @classmethod
    @contextlib.contextmanager
    def begin(cls, store: Store, limits: Limits) -> Generator[Staging]:
        """Stage until the body ends; whatever was not committed goes."""
        try:
            with store.scratch() as folder:
                yield cls(store, folder, limits)
        except BaseException:
            with contextlib.suppress(OSError):  # what led here counts; the next start tries again
                store.recover()
            raise

    def layer(self, diff_id: str) -> LayerRecord | None:
        """The record of a layer that is here already, in the store or staged."""
        for blob, unpacked in (
            (self._store.blob(diff_id), self._store.layer(diff_id)),
            (self._blobs / file_name(diff_id), self._layers / file_name(diff_id)),
        ):
            if unpacked.is_dir() and blob.is_file():
                return {"mediaType": LAYER_TYPE, "digest": diff_id, "size": blob.stat().st_size}
        return None

    def add_layer(self, source: IO[bytes], diff_id: str, what: str) -> LayerRecord:
        """Take a layer in from a seekable file, compressed or not, and unpack it; BadImage, BadLayer.

        A layer that is here already is not read again.
        """
        if (present := self.layer(diff_id)) is not None:
            return present
        blob, unpacked = self.folder / "layer.tar", self._layers / file_name(diff_id)
        with compression.opened(source, self.budget, what) as plain, blob.open("wb") as target:
            size = digests.copy(plain, target, diff_id, what)
        unpacked.mkdir()
        with blob.open("rb") as content:
            try:
                layers.apply(content, unpacked, self.budget)
            except layers.BadLayer as err:
                raise layers.BadLayer(f"{what}: {err}") from err
        unpacked.chmod(0o755)
        blob.rename(self._blobs / file_name(diff_id))
        self._digests.add(diff_id)
        return {"mediaType": LAYER_TYPE, "digest": diff_id, "size": size}

    def add_image(self, config: Config, records: Sequence[LayerRecord], names: Sequence[Reference]) -> str:
        """Stage an image over layers that were added; gives its id."""
        self._add_blob(config.content)
        manifest = self._add_blob(manifest_of(config.digest, len(config.content), [*records]))
        self._named.setdefault(manifest, []).extend(names)
        return config.digest

    def _add_blob(self, content: bytes) -> str:
        digest = digests.sha256(content)
        (self._blobs / file_name(digest)).write_bytes(content)
        self._digests.add(digest)
        return digest

    def commit(self) -> list[Image]:
        """Show the images, durably; a name belongs to the image that was added under it last."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.syncfs(descriptor)  # one for all files of all layers
        finally:
            os.close(descriptor)
        with self._store.placing(self._digests):
            self._place()
            return self._store.name_images(list(self._named.items()))

    def _place(self) -> None:
        for digest in sorted(self._digests):
            name = file_name(digest)
            if (unpacked := self._layers / name).is_dir():
                _move(unpacked, self._store.layer(digest))
            (self._blobs / name).rename(self._store.blob(digest))
        for folder in {path.parent for d in self._digests for path in (self._store.blob(d), self._store.layer(d))}:
            atomicfile.flush(folder)


def _move(unpacked: Path, target: Path) -> None:
    try:
        unpacked.rename(target)
    except OSError:
        if not target.is_dir():  # else another runtime was quicker, with the same content
            raise
