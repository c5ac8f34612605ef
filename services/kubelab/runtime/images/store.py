"""The images of one machine: an OCI content store that several runtimes share.

::

    blobs/sha256/…      manifests, configurations, layers, each under the digest of its bytes
                        (here and below, a digest of another algorithm keeps its algorithm: ``sha512-…``)
    layers/DIFF_ID/     a layer unpacked, as overlay takes it
    images.json         name → digest of the manifest
    on-host/ID          there for an image that was built here over the host's system folders, by its configuration
    pins/NODE/ID        the manifest of a container's image: it stays whole while the container is there
    placing/            what a load or a pull is about to place, so that nothing stays of one that did not get through
    tmp/, trash/        what is not whole yet, and what nothing needs any more
    store.lock          held while images.json or pins change
    adding.lock         held, shared, by whoever brings in parts of an image that has no name yet

A file appears under its name only when it is whole, also after a power cut (:mod:`kubelab.files.atomicfile`), so
readers need no lock. An image whose description cannot be read nevertheless is not here. What no name, no container and
nobody who adds needs is swept away when an image is removed; while somebody adds, that is left to the next removal.
What loads and pulls bring in is seen all at once, or not at all (:mod:`kubelab.runtime.images.staging`);
:meth:`Store.recover` clears away what one of them left that was killed.
(https://github.com/opencontainers/image-spec)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Container, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kubelab.apimachinery.references import Reference, parse
from kubelab.files import atomicfile
from kubelab.runtime.images import layers, packing
from kubelab.runtime.images.storefiles import (
    BASE_LABEL,
    SHORT_ID,
    BadDigest,
    among,
    decisive_name,
    file_name,
    file_names,
    labelled,
    manifest_of,
    read_index,
    read_note,
    read_pin,
)
from kubelab.runtime.rootfs.inroot import remove_tree

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here. ``id`` is the digest of its configuration, ``digest`` that of its manifest."""

    id: str
    digest: str
    names: tuple[str, ...]
    config: Mapping[str, Any]
    size: int
    on_host: bool = False  # whether the host's system folders lie below the layers: this store's builder recorded it

    @property
    def process(self) -> Mapping[str, Any]:
        """What the image says about the process: Entrypoint, Cmd, Env, WorkingDir, User, Labels."""
        return self.config.get("config") or {}

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The layers, lowest first."""
        return tuple(self.config.get("rootfs", {}).get("diff_ids") or ())

    @property
    def of_another_host(self) -> bool:
        """Whether it says that it was built over a host, and that was not here."""
        return not self.on_host and (self.process.get("Labels") or {}).get(BASE_LABEL) == "host"


class Store:
    """Blocking: callers keep it off the event loop, except :meth:`find`, which reads one small file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs, self._layers = root / "blobs" / "sha256", root / "layers"
        self._index, self._lock = root / "images.json", root / "store.lock"
        self._temporary, self._trash, self._pins = root / "tmp", root / "trash", root / "pins"
        self._adding, self._on_host = root / "adding.lock", root / "on-host"
        self._placing = root / "placing"
        folders = (self._blobs, self._layers, self._temporary, self._trash, self._pins, self._on_host, self._placing)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        self._seen: tuple[int, int] = (0, 0)
        self._names: dict[str, str] = {}
        self._images: dict[str, Image] = {}

    # --- reading

    @property
    def root(self) -> Path:
        """The store's own folder."""
        return self._root

    def find(self, text: str) -> Image | None:
        """By name (``node``, ``docker.io/library/node@sha256:…``), id, digest or an id's first digits; BadReference."""
        names = self._read_names()
        if text.startswith("sha256:"):
            return next((image for image in self.images() if text in (image.id, image.digest)), None)
        if (digest := names.get(name := decisive_name(text))) is not None:
            return self._image(digest)
        if "@" in name:
            return next((image for image in self.images() if name.rpartition("@")[2] == image.digest), None)
        if SHORT_ID.fullmatch(text):
            matches = [image for image in self.images() if image.id.removeprefix("sha256:").startswith(text)]
            return matches[0] if len(matches) == 1 else None
        return None

    def images(self) -> list[Image]:
        """Every image, once."""
        images = (self._image(digest) for digest in sorted(set(self._read_names().values())))
        return [image for image in images if image is not None]

    def layer(self, diff_id: str) -> Path:
        """The unpacked layer's folder; BadDigest."""
        return self._layers / file_name(diff_id)

    def blob(self, digest: str) -> Path:
        """The file with the bytes of a digest; BadDigest."""
        return self._blobs / file_name(digest)

    def has_layer(self, diff_id: str) -> bool:
        return self.layer(diff_id).is_dir()

    def used_bytes(self) -> int:
        """What all blobs take."""
        return sum(entry.stat().st_size for entry in os.scandir(self._blobs))

    def _read_names(self) -> dict[str, str]:
        try:
            status = self._index.stat()
        except FileNotFoundError:
            return {}
        if (identity := (status.st_mtime_ns, status.st_ino)) != self._seen:  # another runtime may have written it
            self._names = read_index(self._index)
            self._seen = identity
            self._images.clear()
        return self._names

    def _image(self, digest: str) -> Image | None:
        """None when its description is not here, or not what its digest says."""
        if digest not in self._images:
            try:
                manifest = self._description(digest)
                config = self._description(manifest["config"]["digest"])
            except (OSError, ValueError, TypeError, KeyError):
                return None
            names = tuple(sorted(name for name, of in self._read_names().items() if of == digest))
            size = manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])
            config_digest = manifest["config"]["digest"]
            on_host = self._host_record(config_digest).exists()
            self._images[digest] = Image(config_digest, digest, names, config, size, on_host)
        return self._images[digest]

    def _host_record(self, config_digest: str) -> Path:
        return self._on_host / file_name(config_digest)

    def _description(self, digest: str) -> dict[str, Any]:
        """A manifest or a configuration; OSError, BadDigest."""
        content = self.blob(digest).read_bytes()
        if (actual := f"sha256:{hashlib.sha256(content).hexdigest()}") != digest:
            raise BadDigest(f"expected {digest}, got {actual}")
        return json.loads(content)

    # --- containers' images

    def pin(self, node: str, container: str, text: str) -> Image | None:
        """Find an image and keep it for a container, whatever happens to its names; BadReference, None: not here."""
        with self._locked():
            image = self.find(text)
            if image is not None:
                pin = self._pins / node / container
                pin.parent.mkdir(exist_ok=True)
                pin.write_text(image.digest)
            return image

    def pinned(self, node: str, container: str) -> Image | None:
        digest = read_pin(self._pins / node / container)
        return self._image(digest) if digest else None

    def unpin(self, node: str, container: str) -> None:
        (self._pins / node / container).unlink(missing_ok=True)

    def keep_pins(self, node: str, containers: Container[str]) -> None:
        """Forget the pins of a node's containers that are not there any more."""
        if (folder := self._pins / node).is_dir():
            for pin in folder.iterdir():
                if pin.name not in containers:
                    pin.unlink(missing_ok=True)

    # --- writing

    def adding(self) -> IO[str]:
        """Begin to bring in an image, part by part; close what is given when its name is there."""
        lock = self._adding.open("w")
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock

    @contextlib.contextmanager
    def scratch(self) -> Generator[Path]:
        """A folder in the store's own file system, so that its content can be renamed into place."""
        with self.adding():  # else a sweep would take it for something that a killed runtime left
            folder = Path(tempfile.mkdtemp(dir=self._temporary))
            try:
                yield folder
            finally:
                with contextlib.suppress(OSError):  # what is left goes with the next sweep
                    remove_tree(folder)

    def add_blob(self, content: bytes, expected: str = "") -> str:
        """Keep bytes; give their digest. BadDigest when it is not the expected one."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if expected and digest != expected:
            raise BadDigest(f"expected {expected}, got {digest}")
        with self.scratch() as folder:
            (folder / "blob").write_bytes(content)
            atomicfile.move(folder / "blob", self.blob(digest))
        return digest

    def add_file(self, path: Path, expected: str = "") -> tuple[str, int]:
        """Keep a file of the same file system by moving it; give digest and size. BadDigest."""
        with path.open("rb") as content:
            digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
        if expected and digest != expected:
            raise BadDigest(f"expected {expected}, got {digest}")
        size = path.stat().st_size
        atomicfile.move(path, self.blob(digest))
        return digest, size

    def add_layer(self, archive: IO[bytes], diff_id: str) -> None:
        """Unpack a layer unless it is here; BadLayer."""
        if self.has_layer(diff_id):
            return
        with self.scratch() as folder:
            root = folder / "layer"
            root.mkdir()
            layers.unpack(archive, root)
            self._place_layer(root, diff_id)

    def adopt_layer(self, folder: Path) -> tuple[str, str, int]:
        """Make a layer of a folder in the store's file system, which is moved. Gives diff id, digest and size."""
        packing.clean(folder)
        with self.scratch() as scratch:
            with (scratch / "layer.tar").open("wb") as archive:
                packing.pack(folder, archive)
            digest, size = self.add_file(scratch / "layer.tar")
        self._place_layer(folder, digest)
        return digest, digest, size

    def _place_layer(self, folder: Path, diff_id: str) -> None:
        folder.chmod(0o755)
        try:
            atomicfile.move_folder(folder, self.layer(diff_id))
        except OSError:
            if not self.has_layer(diff_id):  # else another load was quicker, with the same content
                raise

    def add_image(
        self, config: bytes, layer_list: list[dict[str, Any]], names: list[Reference], *, on_host: bool = False
    ) -> Image:
        """Keep a configuration and a manifest over layers that are here, under these names.

        ``on_host`` is the builder's alone: it records that the layers lie over the host's folders, by the digest of the
        configuration, which a label makes another one than that of the same layers over nothing.
        """
        if on_host:
            config = labelled(config)
        digest = self.add_blob(config)
        if on_host:
            self._host_record(digest).touch()
            atomicfile.flush(self._on_host)
        manifest = self.add_blob(manifest_of(digest, len(config), layer_list))
        return self.name_images([(manifest, names)])[0]

    def name_images(self, named: Collection[tuple[str, Collection[Reference]]]) -> list[Image]:
        """Give images whose manifests are here these names, all at once; an image that had one of them loses it."""
        with self._changing_names() as index:
            for manifest, names in named:
                for name in names:
                    index[name.decisive] = manifest
                if not names and manifest not in index.values():
                    index[manifest] = manifest
        return [image for manifest, _ in named if (image := self._image(manifest)) is not None]

    @contextlib.contextmanager
    def placing(self, digests: Collection[str]) -> Generator[None]:
        """Note on the disk what the body places under these digests, until it has ended well."""
        descriptor, name = tempfile.mkstemp(dir=self._placing)
        note = Path(name)
        with os.fdopen(descriptor, "w") as file:
            json.dump(sorted(digests), file)
        atomicfile.flush(note)
        atomicfile.flush(self._placing)
        yield
        note.unlink()

    def recover(self) -> None:
        """Remove what failed loads and pulls left, unless a load or pull is under way."""
        notes = [*self._placing.iterdir()]
        self._collect(only={digest for note in notes for digest in read_note(note)}, done=notes)

    def remove(self, text: str) -> None:
        """Forget a name, or an image with all its names; what nothing uses any more goes. Nothing there is no error."""
        meant = self._meant(text)
        if not meant:
            return
        with self._changing_names() as index:
            for name in meant:
                index.pop(name, None)
        self._collect()

    def _meant(self, text: str) -> set[str]:
        """The names that go: this one, those of a digest's repository, or all for an id."""
        names = self._read_names()
        if not text.startswith("sha256:") and (name := decisive_name(text)) in names:
            if "@" in name:
                return self._of_repository(names[name], name)
            # also that of an image which cannot be read; a repository's last tag takes its digests with it
            others = self._of_repository(names[name], name) - {name}
            return {name} if any("@" not in other for other in others) else {name, *others}
        image = self.find(text)
        if image is None:
            return set()
        by_digest = "@" in text
        return self._of_repository(image.digest, decisive_name(text)) if by_digest else {*image.names}

    def _of_repository(self, manifest: str, name: str) -> set[str]:
        """The names of an image that are of the same repository as ``name``."""
        repository = parse(name).name
        return {
            other
            for other, of in self._read_names().items()
            if of == manifest and not other.startswith("sha256:") and parse(other).name == repository
        }

    def _collect(self, only: set[str] | None = None, done: Collection[Path] = ()) -> None:
        """Remove what no image needs, all or of ``only``, unless a load or pull is under way. The names
        are written by then: being killed here costs space, and nothing else. ``done``: notes that go then."""
        with self._locked(), self._adding.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._sweep({*self._read_names().values(), *(read_pin(pin) for pin in self._pins.glob("*/*"))}, only)
            for note in done:
                note.unlink(missing_ok=True)
        for path in self._trash.iterdir():  # outside of the locks: it may take long
            with contextlib.suppress(OSError):  # another runtime is at it, or the next sweep has to do
                remove_tree(path)

    def _sweep(self, manifests: set[str], only: set[str] | None) -> None:
        used, used_layers = set(manifests), set[str]()
        for digest in manifests:
            image = self._image(digest)
            if image is None:
                continue  # it has to be brought in again, whatever of it is left
            used |= {image.id, *(layer["digest"] for layer in self._description(digest)["layers"])}
            used_layers |= set(image.diff_ids)
        trash = Path(tempfile.mkdtemp(dir=self._trash))
        kept_of = {self._blobs: used, self._layers: used_layers, self._temporary: set[str](), self._on_host: used}
        for folder, kept in kept_of.items():
            names = file_names(kept)
            for entry in folder.iterdir() if only is None or folder is self._temporary else among(folder, only):
                if entry.name not in names:
                    entry.rename(trash / f"{folder.name}-{entry.name}")

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _changing_names(self) -> Generator[dict[str, str]]:
        with self._locked():
            index = dict(self._read_names())
            yield index
            atomicfile.write(self._index, json.dumps(index, indent=1, sort_keys=True), durable=True)
