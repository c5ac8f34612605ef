"""The instructions that change files: COPY, ADD, WORKDIR and RUN, each a layer, or one that is remembered."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.runtime.images import layers
from kubelab.runtime.rootfs import mount as rootfs
from kubelab.runtime.build import archives, instructions, mounts, sources, stubs
from kubelab.runtime.build.bases import short
from kubelab.runtime.build.caches import CacheMounts, LayerCache, key_of
from kubelab.runtime.build.draft import Draft
from kubelab.runtime.build.errors import MachineError, SyntaxFault
from kubelab.runtime.build.lines import MAX_BYTES
from kubelab.runtime.build.mounts import Mount
from kubelab.runtime.build.running import MAX_SECRET, Origin, Runner, Step, command_of, mount_targets
from kubelab.runtime.build.words import Lexer
from kubelab.runtime.host.base import Host
from kubelab.runtime.rootfs.inroot import Root
from kubelab.runtime.launcher.client import Launcher, read_all
from kubelab.runtime.images.store import LAYER_TYPE, Store
from kubelab.runtime.threads import in_thread

_ADDRESS = re.compile(r"(?:https?|ftp)://", re.IGNORECASE)
_GIT = re.compile(r"git@|git://|ssh://|https?://.*\.git(?:[#/?].*)?$|github\.com/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What steps are done with."""

    store: Store
    host: Host
    launcher: Launcher
    runner: Runner
    remembered: LayerCache
    cache_mounts: CacheMounts


class Steps:
    """The steps of one build over its context. ``fresh``: none is taken from the cache."""

    def __init__(self, workshop: Workshop, context: Path, secrets: dict[str, bytes], *, fresh: bool) -> None:
        self._workshop, self._context, self._secrets, self._fresh = workshop, context, secrets, fresh

    # --- COPY and ADD

    async def copy(
        self, draft: Draft, instruction: instructions.Copy, origin: Draft | None
    ) -> AsyncGenerator[str]:
        """COPY and ADD: from the build context, or from another stage or image. SyntaxFault, MachineError."""
        patterns = [draft.word(word) for word in instruction.sources]
        for word in patterns:
            _check_source(instruction, word)
        owner = draft.word(instruction.chown)
        target, mode = _target(draft, draft.word(instruction.target)), _mode(draft.word(instruction.chmod))
        task: dict[str, Any] = {"name": instruction.line.name, "target": target, "owner": owner, "mode": mode}
        documents = [(document.name, _content(draft, document)) for document in instruction.documents]
        matches: list[sources.Found] = []
        digest = ""
        if origin is None:
            matches, digest = await asyncio.to_thread(self._look_up, patterns)
        # a link does not care what is below it, unless it has to look up a name there
        alone = instruction.link and (not owner or re.fullmatch(r"\d+(:\d+)?", owner) is not None)
        from_stage = origin.chain if origin else ""
        key = key_of("" if alone else draft.chain, json.dumps(task), json.dumps(documents), from_stage, digest,
                     *(patterns if origin else ()))  # fmt: skip
        if self._from_cache(draft, key):
            yield " ---> Using cache"
            return
        async with in_thread(self._workshop.store.scratch()) as folder:
            origins: list[Origin] = [self._layout(origin, folder / "from") if origin else str(self._context)]
            if origin:
                copies = [{"from": 0, "pattern": word, "keep_owner": True, "keep_links": False} for word in patterns]
            else:
                copies = await asyncio.to_thread(self._copies, matches, origins, folder, instruction.unpack)
            copies += await asyncio.to_thread(_write_documents, documents, origins, folder)
            await self._task({**task, "copies": copies}, draft, folder, origins, alone=alone)
            yield await self._keep(draft, key, folder)

    def _look_up(self, patterns: list[str]) -> tuple[list[sources.Found], str]:
        with Root.at(self._context) as root:
            matches = [one for pattern in patterns for one in sources.find(root, pattern)]
            return matches, sources.digest(root, matches)

    def _copies(
        self, matches: list[sources.Found], origins: list[Origin], folder: Path, unpack: bool
    ) -> list[dict[str, Any]]:
        """What is copied of the context. Of ADD the archives are unpacked first, in a folder of their own."""
        copies: list[dict[str, Any]] = []
        with Root.at(self._context) as root:
            for number, one in enumerate(matches):
                copy = {"from": 0, "path": one.path, "name": one.name, "keep_owner": False, "keep_links": False}
                if unpack and archives.is_archive(root, one.path):
                    unpacked = folder / f"archive-{number}"
                    archives.unpack(root, one.path, unpacked)
                    origins.append(str(unpacked))
                    copy |= {"from": len(origins) - 1, "path": "/", "keep_owner": True, "keep_links": True}
                copies.append(copy)
        return copies

    # --- WORKDIR

    async def workdir(self, draft: Draft, instruction: instructions.Workdir) -> AsyncGenerator[str]:
        """WORKDIR: the folder is made, and belongs to USER. SyntaxFault, MachineError."""
        requested = draft.word(instruction.path)
        if not requested:
            raise SyntaxFault("WORKDIR: the path is empty")
        path = draft.in_workdir(requested).rstrip("/") or "/"
        draft.config["WorkingDir"] = path
        if path == "/":
            return
        owner = draft.config.get("User") or ""
        key = key_of(draft.chain, "WORKDIR", path, owner)
        if self._from_cache(draft, key):
            yield " ---> Using cache"
            return
        async with in_thread(self._workshop.store.scratch()) as folder:
            await self._task({"folder": path, "owner": owner}, draft, folder, [])
            yield await self._keep(draft, key, folder)

    # --- RUN

    async def run(
        self, draft: Draft, instruction: instructions.Run, origins: dict[str, Draft], network: str
    ) -> AsyncGenerator[str]:
        """RUN: yields what it prints. ``origins`` are the stages and images that its mounts come from."""
        arguments, script = command_of(instruction, draft.shell)
        requested = [mounts.parse(text, draft.word) for text in instruction.mounts]
        placed = [(mount, self._mount_target(draft, mount)) for mount in requested]
        variables, uncounted = draft.run_variables()
        counted = {name: value for name, value in variables.items() if name not in uncounted}
        digests = await asyncio.to_thread(self._seen_by, requested, origins)
        key = key_of(
            draft.chain, "RUN", json.dumps(arguments), json.dumps(script), json.dumps(counted, sort_keys=True),
            draft.config.get("User") or "", draft.workdir, network, repr(placed), *digests,
        )  # fmt: skip
        if self._from_cache(draft, key):
            yield " ---> Using cache"
            return
        async with in_thread(self._workshop.store.scratch()) as folder, AsyncExitStack() as held:
            ready: list[tuple[Mount, str, Origin | bytes | None]] = []
            for number, (mount, target) in enumerate(placed):
                origin: Origin | bytes | None = None
                if mount.kind == "cache":
                    origin = str(await held.enter_async_context(self._workshop.cache_mounts.use(mount, target)))
                elif mount.kind == "bind":
                    origin = self._bound(mount, origins, folder / f"mount-{number}")
                elif mount.kind == "secret":
                    origin = self._secret(mount)
                    if origin is None:
                        continue
                ready.append((mount, target, origin))
            if sum(len(origin) for _, _, origin in ready if isinstance(origin, bytes)) > MAX_SECRET:
                raise SyntaxFault(f"the secrets of a step are larger than {MAX_SECRET} bytes")
            layout = self._layout(draft, folder)
            steps = self._workshop.runner.run(Step(arguments, script, ready, network), draft, layout, folder)
            async with aclosing(steps) as lines:
                async for line in lines:
                    yield line
            yield await self._keep(draft, key, folder, mount_targets(ready))

    def _mount_target(self, draft: Draft, mount: Mount) -> str:
        if mount.kind == "secret":
            if mount.environment and not mount.target:
                return ""
            return draft.in_workdir(mount.target or f"/run/secrets/{_secret_id(mount)}").rstrip("/")
        target = draft.in_workdir(mount.target).rstrip("/")
        if not target:
            raise SyntaxFault('invalid mount target "/"')
        return target

    def _seen_by(self, requested: list[Mount], origins: dict[str, Draft]) -> list[str]:
        """What a step's bind mounts show, for the cache."""
        digests: list[str] = []
        for mount in requested:
            if mount.kind != "bind":
                continue
            if mount.stage:
                digests.append(origins[mount.stage].chain)
                continue
            with Root.at(self._context) as root:
                source = root.resolve(mount.source)
                if not root.exists(source):
                    raise SyntaxFault(f'"{mount.source}": not found')
                digests.append(sources.digest(root, [sources.Found(source, "")]))
        return digests

    def _bound(self, mount: Mount, origins: dict[str, Draft], folder: Path) -> Origin:
        """Where a bind mount comes from. What is written to one that may be written goes into ``folder``."""
        if mount.stage:
            return self._layout(origins[mount.stage], folder)
        if mount.read_only:
            return str(self._context)
        return rootfs.layout(_made(folder / "rootfs"), [self._context], None, folder).as_request()

    def _secret(self, mount: Mount) -> bytes | None:
        secret = self._secrets.get(_secret_id(mount))
        if secret is None and mount.required:
            raise SyntaxFault(f"secret {_secret_id(mount)}: not found: give it with `--secret id=…,src=…`")
        return secret

    # --- what all have in common

    def _from_cache(self, draft: Draft, key: str) -> bool:
        return not self._fresh and self._workshop.remembered.use(draft, key)

    def _layout(self, draft: Draft, folder: Path) -> dict[str, Any]:
        layers = [self._workshop.store.layer(diff_id) for diff_id in draft.diff_ids]
        host = self._workshop.host if draft.on_host else None
        return rootfs.layout(_made(folder / "rootfs"), layers, host, folder).as_request()

    async def _task(
        self, task: dict[str, Any], draft: Draft, folder: Path, origins: list[Origin], *, alone: bool = False
    ) -> None:
        """Have a process change the files over the draft's layers; it is gone when this returns. SyntaxFault."""
        file = folder / "task.json"
        await asyncio.to_thread(file.write_text, json.dumps(task))
        layout = self._layout(Draft() if alone else draft, folder)
        request = {"do": "task", "task": str(file), "rootfs": layout, "sources": origins}
        alive, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(alive, False)
        try:
            try:
                answer = await self._workshop.launcher.ask(request, [theirs], seconds=None)
            finally:
                os.close(theirs)
                await asyncio.shield(read_all(alive))  # it ends soon after its caller is gone
        finally:
            os.close(alive)
        if failed := answer.get("failed"):
            raise MachineError(failed) if answer["ours"] else SyntaxFault(failed)

    async def _keep(self, draft: Draft, key: str, folder: Path, targets: list[str] | None = None) -> str:
        """Make what was written a layer, unless that is nothing; gives the line about it."""
        written = await asyncio.to_thread(self._written, draft, folder, targets or [])
        if written is None:
            self._workshop.remembered.keep(draft, key, None, None)
            return f" ---> {short(draft.diff_ids[-1]) if draft.diff_ids else 'no layer'}"
        diff_id, digest, size = written
        layer = {"mediaType": LAYER_TYPE, "digest": digest, "size": size}
        self._workshop.remembered.keep(draft, key, diff_id, layer)
        return f" ---> {short(diff_id)}"

    def _written(self, draft: Draft, folder: Path, targets: list[str]) -> tuple[str, str, int] | None:
        root = rootfs.written(folder)
        if targets:
            below = [self._workshop.store.layer(diff_id) for diff_id in draft.diff_ids]
            host = self._workshop.host if draft.on_host else None
            stubs.remove(root, below, targets, host)
        if stubs.is_empty(root):
            return None
        try:
            return self._workshop.store.adopt_layer(root)
        except layers.BadLayer as err:
            raise SyntaxFault(str(err)) from err
        except RecursionError as err:
            raise SyntaxFault("folders are nested too deep for a layer") from err


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _target(draft: Draft, text: str) -> str:
    """Where COPY copies to: absolute, with a ``/`` at the end where it has to be a folder."""
    if not text:
        raise SyntaxFault("the destination is empty")
    folder = text.endswith("/") or text.rpartition("/")[2] in (".", "..")
    path = draft.in_workdir(text).rstrip("/")
    return f"{path}/" if folder or not path else path


def _mode(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-7]{1,6}", text, re.ASCII) or int(text, 8) > 0o7777:
        message = f"invalid chmod parameter: '{text[:60]}'. it should be octal string and between 0 and 07777"
        raise SyntaxFault(message)
    return int(text, 8)


def _check_source(instruction: instructions.Copy, text: str) -> None:
    git = _GIT.match(text) is not None
    if not git and not _ADDRESS.match(text):
        return
    what = "a git ref" if git else "a URL"
    if not instruction.unpack:
        raise SyntaxFault(f"source can't be {what} for COPY")
    advice = "clone it first" if git else "download it first"
    raise SyntaxFault(f"ADD of {what} is not supported by `kubelab image build`: {advice}, and COPY the files")


def _content(draft: Draft, document: Any) -> str:
    """A here-document's text; a NAME in quotes keeps variables as they are."""
    if not document.expand:
        return document.text
    return Lexer(quotes=False, limit=MAX_BYTES).word(document.text, draft.variables)


def _write_documents(documents: list[tuple[str, str]], origins: list[Origin], folder: Path) -> list[dict[str, Any]]:
    copies: list[dict[str, Any]] = []
    for number, (name, content) in enumerate(documents):
        place = _made(folder / f"document-{number}")
        (place / "content").write_text(content, newline="")
        (place / "content").chmod(0o644)
        origins.append(str(place))
        here = {"from": len(origins) - 1, "path": "/content", "name": name}
        copies.append({**here, "keep_owner": False, "keep_links": False})
    return copies


def _secret_id(mount: Mount) -> str:
    return mount.name or mount.source or mount.target.rpartition("/")[2] or mount.environment
