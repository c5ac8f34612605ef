"""What FROM and ``--from`` name: the machine itself, nothing, or an image."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubelab.apimachinery import references
from kubelab.runtime.pods import spec
from kubelab.runtime.build import hostbases, platforms
from kubelab.runtime.build.caches import key_of
from kubelab.runtime.build.draft import Draft
from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.errors import CRIError
from kubelab.runtime.host.base import Host
from kubelab.runtime.oci.platforms import Platform, machine, no_match, rank
from kubelab.runtime.images.store import Image, Store

HOST, SCRATCH = "host", "scratch"


@dataclass(frozen=True, slots=True)
class Bases:
    """``instead`` says what stands in for an image (``node`` → ``host``); ``pull`` brings in one that is not here."""

    store: Store
    host: Host
    instead: Mapping[str, str]
    pull: Callable[[str], Awaitable[Any]] | None = None

    async def draft(self, reference: str, platform: str) -> tuple[Draft, str]:
        """The base of that name to build on, and its short id; SyntaxFault."""
        platforms.check(platform)
        name = self._instead_of(reference)
        if name == HOST:
            draft = Draft(on_host=True, chain=key_of("from", HOST, self.host.skeleton.name))
            draft.environment["PATH"] = spec.DEFAULT_PATH.partition("=")[2]
            return draft, HOST
        if name == SCRATCH:
            return Draft(chain=key_of("from", SCRATCH)), SCRATCH
        image = await self._image(reference, name)
        manifest = await asyncio.to_thread(self.store.blob(image.digest).read_bytes)
        return _draft_of(image, json.loads(manifest)), short(image.id)

    def additions(self, reference: str) -> tuple[str, ...]:
        """The instructions that come before the Dockerfile's own, where ``host`` stands in for an official image."""
        return hostbases.steps(reference) if self._instead_of(reference) == HOST else ()

    async def is_missing(self, reference: str) -> bool:
        """Whether it has to be brought in from a registry first; SyntaxFault."""
        name = self._instead_of(reference)
        return self.pull is not None and name not in (HOST, SCRATCH) and await self._find(name) is None

    def _instead_of(self, reference: str) -> str:
        """``--base python:3=host`` is meant for ``docker.io/library/python:3`` too."""
        if reference in self.instead:
            return self.instead[reference]
        whole = _whole(reference)
        return next((to for name, to in self.instead.items() if whole and _whole(name) == whole), reference)

    async def _image(self, reference: str, name: str) -> Image:
        image = await self._find(name)
        why = ""
        if image is None and self.pull is not None:
            try:
                await self.pull(name)
            except CRIError as err:
                why = f", and pulling it failed: {err.message}"
            image = await self._find(name)
        if image is None:
            raise SyntaxFault(
                f"the image {name} is not here{why}. Bring it in with `docker save {name} | kubelab image "
                f"load -`, or let this machine's own programs stand in for it: `kubelab image build --base {reference}=host …`"
            )
        made_for = Platform(*(str(image.config.get(key) or "") for key in ("os", "architecture", "variant")))
        if rank(made_for, machine()) is None:
            raise SyntaxFault(f"{name}: {no_match([made_for], machine())}")
        return image

    async def _find(self, name: str) -> Image | None:
        try:
            return await asyncio.to_thread(self.store.find, name)
        except references.BadReference as err:
            raise SyntaxFault(f'failed to parse stage name "{name[:200]}": {err}') from err


def short(digest: str) -> str:
    """As docker shows an id."""
    return digest.removeprefix("sha256:")[:12]


def _whole(name: str) -> str:
    try:
        return str(references.parse(name))
    except references.BadReference:
        return ""


def _draft_of(image: Image, manifest: Mapping[str, Any]) -> Draft:
    draft = Draft(on_host=image.on_host, chain=key_of("from", image.id))
    draft.config = {**image.process, "Labels": dict(image.process.get("Labels") or {})}
    for text in draft.config.pop("Env", None) or ():
        key, _, value = text.partition("=")
        draft.environment[key] = value
    draft.layers, draft.diff_ids = list(manifest["layers"]), list(image.diff_ids)
    draft.author = str(image.config.get("author") or "")
    return draft
