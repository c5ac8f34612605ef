"""Choosing the image that this machine runs among manifests and indexes, however deep they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubelab.runtime.oci import documents, platforms
from kubelab.runtime.oci.documents import Config, Descriptor, Index, Manifest
from kubelab.runtime.oci.limits import BadImage, Limits
from kubelab.runtime.oci.platforms import Platform

Fetch = Callable[[Descriptor], bytes | None]  # checked against the digest; None: it is not there


@dataclass(frozen=True, slots=True)
class Image:
    """What was chosen; ``rank`` 0 is this machine's own platform."""

    manifest: Manifest
    config: Config
    rank: int


class Picker:
    """Follows descriptors; what it passes by is noted, for the error of a caller that finds nothing."""

    def __init__(self, manifest: Fetch, config: Fetch, limits: Limits) -> None:
        self._manifest, self._config, self._limits = manifest, config, limits
        self.here = platforms.machine()
        self.foreign: list[Platform] = []
        self.missing: list[Descriptor] = []
        self.beside = 0  # attestations, signatures, charts
        self._fetched = 0

    def image(self, descriptor: Descriptor, depth: int = 0) -> Image | None:
        """The image of a descriptor that fits this machine best, if any; BadImage for what makes no sense."""
        if descriptor.beside_images:
            self.beside += 1
            return None
        if descriptor.platform is not None and self._is_foreign(descriptor.platform):
            return None
        content = self._fetch(self._manifest, descriptor)
        if content is None:
            return None
        manifest = documents.manifest(content, descriptor.digest, self._limits)
        return self._best(manifest, depth) if isinstance(manifest, Index) else self._image(manifest, descriptor.digest)

    def _best(self, index: Index, depth: int) -> Image | None:
        if depth >= self._limits.nesting:
            raise BadImage(f"more than {self._limits.nesting} indexes in each other")
        best: Image | None = None
        for entry in index.manifests:
            image = self.image(entry, depth + 1)
            if image is not None and (best is None or image.rank < best.rank):
                best = image
            if best is not None and best.rank == 0:
                break
        return best

    def _image(self, manifest: Manifest, what: str) -> Image | None:
        if manifest.artifact:
            self.beside += 1
            return None
        content = self._fetch(self._config, manifest.config)
        if content is None:
            return None
        config = documents.config(content, manifest.config.digest, self._limits)
        rank = platforms.rank(config.platform, self.here)
        if rank is None:
            self._is_foreign(config.platform)
            return None
        if len(manifest.layers) != len(config.diff_ids):
            raise BadImage(
                f"{what}: {len(config.diff_ids)} layers expected, {len(manifest.layers)} are in the manifest"
            )
        return Image(manifest, config, rank)

    def _is_foreign(self, platform: Platform) -> bool:
        if platforms.rank(platform, self.here) is not None:
            return False
        self.foreign.append(platform)
        return True

    def _fetch(self, fetch: Fetch, descriptor: Descriptor) -> bytes | None:
        self._fetched += 1
        if self._fetched > self._limits.images:
            raise BadImage(f"more than {self._limits.images} manifests")
        content = fetch(descriptor)
        if content is None:
            self.missing.append(descriptor)
        return content
