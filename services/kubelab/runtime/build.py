"""Building an image from a Dockerfile and a context, one layer for each instruction that changes files.

A step whose instruction, parent and files are those of a build before is not run again: its layer is remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import stat
import tarfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from kubelab.apimachinery import references
from kubelab.apimachinery.clock import Clock
from kubelab.runtime import copying, dockerfile, rootfs, spec, state
from kubelab.runtime.config import RuntimeConfig
from kubelab.runtime.dockerfile import DockerfileError, Instruction
from kubelab.runtime.faults import Fault
from kubelab.runtime.hostbase import Host
from kubelab.runtime.processes import Launcher, Watch
from kubelab.runtime.signals import send
from kubelab.runtime.store import LAYER_TYPE, Store
from kubelab.runtime.syscalls import start_time
from kubelab.runtime.threads import in_thread

HOST, SCRATCH = "host", "scratch"
FOLLOW_SECONDS = 0.1  # between two looks at what a RUN has printed
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class BuildError(Exception):
    """The build failed; the message names the step."""


@dataclass(frozen=True, slots=True)
class Built:
    """The image is there."""

    image_id: str


@dataclass(slots=True)
class Plan:
    """What is asked for: ``bases`` says what stands in for an image (``node`` → ``host``)."""

    dockerfile: str
    path: str
    tags: list[str]
    arguments: Mapping[str, str]
    bases: Mapping[str, str]


@dataclass(slots=True)
class Draft:
    """The image as far as it is built."""

    config: dict[str, Any]
    layers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    diff_ids: list[str] = field(default_factory=list[str])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    outer: dict[str, str] = field(default_factory=dict[str, str])  # ARGs before FROM: unseen until declared again
    own_cmd: bool = False  # this Dockerfile says CMD itself
    on_host: bool = False  # the host's system folders lie below the layers
    chain: str = ""  # what the layers so far came from: the cache's key

    @property
    def variables(self) -> dict[str, str]:
        return {**self.arguments, **self.environment}


class Builder:
    """One build at a time shares nothing with another but the store."""

    def __init__(self, config: RuntimeConfig, store: Store, host: Host, launcher: Launcher, clock: Clock) -> None:
        self._config, self._store, self._host = config, store, host
        self._launcher, self._clock = launcher, clock
        self._cache = store.root / "build-cache"
        self._cache.mkdir(exist_ok=True)

    async def build(self, plan: Plan, context: Path) -> AsyncGenerator[str | Built]:
        """Yield what people read, line by line, and at last what was built. BuildError, DockerfileError."""
        tags = [_reference(tag) for tag in plan.tags]
        instructions = dockerfile.parse(plan.dockerfile, plan.path)
        with await asyncio.to_thread(self._store.adding):
            async with contextlib.aclosing(self._steps(plan, context, instructions, tags)) as steps:
                async for told in steps:
                    yield told

    async def _steps(
        self, plan: Plan, context: Path, instructions: list[Instruction], tags: list[references.Reference]
    ) -> AsyncGenerator[str | Built]:
        draft = Draft({})
        for number, instruction in enumerate(instructions, start=1):
            yield f"Step {number}/{len(instructions)} : {instruction}"
            try:
                async with contextlib.aclosing(self._step(draft, instruction, plan, context)) as lines:
                    async for line in lines:
                        yield line
            except DockerfileError:
                raise
            except (Fault, OSError, ValueError) as err:
                raise BuildError(f"{plan.path}:{instruction.line}: {instruction.name}: {err}") from err
        yield Built(await asyncio.to_thread(self._finish, draft, tags))

    def _finish(self, draft: Draft, tags: list[references.Reference]) -> str:
        config = {
            "created": "1970-01-01T00:00:00Z",  # equal files make an equal image
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {**draft.config, "Env": [f"{k}={v}" for k, v in draft.environment.items()]},
            "rootfs": {"type": "layers", "diff_ids": draft.diff_ids},
        }
        content = json.dumps(config, sort_keys=True).encode()
        return self._store.add_image(content, draft.layers, tags, on_host=draft.on_host).id

    async def _step(self, draft: Draft, instruction: Instruction, plan: Plan, context: Path) -> AsyncGenerator[str]:
        config, variables = draft.config, draft.variables

        def expanded(text: str) -> str:
            return dockerfile.expand(text, variables, instruction, plan.path)

        match instruction.name:
            case "FROM":
                yield await asyncio.to_thread(self._from, draft, instruction, plan)
            case "ARG":
                self._declare(draft, dockerfile.arguments(instruction, plan.path, variables), plan)
            case "ENV":
                draft.environment.update(dockerfile.pairs(instruction, plan.path, variables))
            case "LABEL":
                config["Labels"].update(dockerfile.pairs(instruction, plan.path, variables))
            case "WORKDIR":
                config["WorkingDir"] = _joined(config.get("WorkingDir") or "/", expanded(instruction.text))
            case "USER":
                config["User"] = expanded(instruction.text)
            case "EXPOSE":
                for port in expanded(instruction.text).split():
                    config.setdefault("ExposedPorts", {})[port if "/" in port else f"{port}/tcp"] = {}
            case "ENTRYPOINT":
                config["Entrypoint"] = instruction.command()
                if not draft.own_cmd:  # the base image's belonged to the base image's entrypoint
                    config.pop("Cmd", None)
            case "CMD":
                config["Cmd"] = instruction.command()
                draft.own_cmd = True
            case "RUN":
                async with contextlib.aclosing(self._run(draft, instruction)) as lines:
                    async for line in lines:
                        yield line
            case _:
                yield await self._copy(draft, instruction, plan, context)

    @staticmethod
    def _declare(draft: Draft, declared: Mapping[str, str | None], plan: Plan) -> None:
        """ARG: what the builder was given, else the default, else what an ARG before FROM has; else it is not set."""
        for name, default in declared.items():
            value = plan.arguments.get(name, draft.outer.get(name) if default is None else default)
            if value is not None:
                draft.arguments[name] = value

    def _from(self, draft: Draft, instruction: Instruction, plan: Plan) -> str:
        asked = dockerfile.expand(dockerfile.words(instruction.text)[0], draft.arguments, instruction, plan.path)
        draft.outer, draft.arguments = draft.arguments, {}
        name = plan.bases.get(asked, asked)
        draft.config = {"Labels": {}}
        draft.chain = _hash("from", name)
        if name == HOST:
            draft.on_host = True
            draft.environment["PATH"] = spec.DEFAULT_PATH.partition("=")[2]
            return " ---> host"
        if name == SCRATCH:
            return " ---> scratch"
        image = self._store.find(name)
        if image is None:
            raise DockerfileError(
                f"{plan.path}:{instruction.line}: FROM {asked}: the image {name} is not here. Bring it in with "
                f"`docker save {name} | kubelab image load -`, or let this machine's own programs stand in for it: "
                f"`kubelab image build --base {asked}=host …`"
            )
        manifest = json.loads(self._store.blob(image.digest).read_text())
        draft.config = {**image.process, "Labels": dict(image.process.get("Labels") or {})}
        for text in draft.config.pop("Env", None) or ():
            key, _, value = text.partition("=")
            draft.environment[key] = value
        draft.layers, draft.diff_ids, draft.on_host = list(manifest["layers"]), list(image.diff_ids), image.on_host
        draft.chain = _hash("from", image.id)
        return f" ---> {image.id.removeprefix('sha256:')[:12]}"

    # --- steps that change files

    async def _copy(self, draft: Draft, instruction: Instruction, plan: Plan, context: Path) -> str:
        sources, target = dockerfile.sources_and_target(instruction, plan.path, draft.variables)
        if target.rpartition("/")[2] in (".", ".."):
            target += "/"  # a folder, also when it is not there yet: WORKDIR /app, COPY main.py .
        if not target.startswith("/"):
            target = f"{(draft.config.get('WorkingDir') or '/').rstrip('/')}/{target}"
        found = await asyncio.to_thread(_find, context, sources, instruction, plan.path)
        if len(found.paths) > 1 and not target.endswith("/"):
            told = f"When using {instruction.name} with more than one source file, the destination must end with a /"
            raise DockerfileError(f"{plan.path}:{instruction.line}: {told}")
        key = _hash(draft.chain, instruction.name, target, found.digest, *map(str, sorted(found.archives)))
        if self._from_cache(draft, key):
            return " ---> Using cache"
        async with in_thread(self._store.scratch()) as folder:
            copies = [[str(source), target, source in found.archives] for source in found.paths]
            request = {"do": "task", "copies": copies, **self._root(draft, folder)}
            await self._launcher.ask(request, seconds=300)
            return await self._keep(draft, key, folder)

    async def _run(self, draft: Draft, instruction: Instruction) -> AsyncGenerator[str]:
        variables = "".join(f"{k}={v}\0" for k, v in sorted(draft.variables.items()))
        key = _hash(draft.chain, "RUN", instruction.text, variables, draft.config.get("User") or "")
        if self._from_cache(draft, key):
            yield " ---> Using cache"
            return
        async with in_thread(self._store.scratch()) as folder:
            request = self._root(draft, folder)
            image = {**draft.config, "Env": [f"{k}={v}" for k, v in draft.variables.items()], "Entrypoint": None}
            bundle = spec.build_step(
                instruction.command(),
                image,
                root=folder / "rootfs",
                host=self._host if draft.on_host else None,
            )
            (folder / "config.json").write_text(json.dumps(bundle))
            log = folder / "log"
            request = {**request, "do": "monitor", "dir": str(folder), "log_path": str(log)}
            running = asyncio.ensure_future(self._execute(request))
            try:
                async with contextlib.aclosing(self._printed(log, running)) as lines:
                    async for line in lines:
                        yield line
                running.result()
            finally:
                running.cancel()
                await asyncio.wait([running])
            ended = state.read_json(folder / "exit.json") or {"exit_code": state.UNKNOWN_EXIT}
            if ended["exit_code"] != 0:
                shown = " ".join(instruction.command())
                raise Fault(f"The command '{shown}' returned a non-zero code: {ended['exit_code']}")
            yield await self._keep(draft, key, folder)

    async def _printed(self, log: Path, running: asyncio.Future[None]) -> AsyncGenerator[str]:
        """The lines of a log in the CRI's format, as they come; ends with what writes them."""
        position, over = 0, False
        while not over:
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(FOLLOW_SECONDS):
                    await asyncio.wait([running])
            over = running.done()  # looked at first: all that it has printed is there to be read
            lines, position = await asyncio.to_thread(_lines_after, log, position)
            for line in lines:
                yield line.split(" ", 3)[3]

    async def _execute(self, request: Mapping[str, Any]) -> None:
        """Run a container to its end, and end it when whoever wanted it has gone."""
        name, crun_root = f"build-{secrets.token_hex(12)}", self._config.state_dir / "crun"
        own = {"id": name, "crun": self._host.crun, "crun_root": str(crun_root)}
        asking = asyncio.ensure_future(self._launcher.ask({**request, **own}))
        try:
            started = await asyncio.shield(asking)
            await self._ended(started)
        except asyncio.CancelledError:
            await asyncio.wait([asking])
            if asking.exception() is None:
                send(asking.result()["pid"], signal.SIGKILL)
                await self._ended(asking.result())
            raise
        finally:
            shutil.rmtree(crun_root / name, ignore_errors=True)  # two small files

    @staticmethod
    async def _ended(started: Mapping[str, Any]) -> None:
        watch = Watch(started["monitor"], lambda: None)
        try:
            if start_time(started["monitor"]) == started["monitor_start"]:
                await watch.over.wait()
        finally:
            watch.close()

    def _root(self, draft: Draft, folder: Path) -> dict[str, Any]:
        root = folder / "rootfs"
        root.mkdir()
        layers = [self._store.layer(diff_id) for diff_id in draft.diff_ids]
        host = self._host if draft.on_host else None
        return {"rootfs": rootfs.layout(root, layers, host, folder).as_request()}

    async def _keep(self, draft: Draft, key: str, folder: Path) -> str:
        def keep() -> tuple[str, str, int]:
            root = rootfs.written(folder)
            for name in ("etc/resolv.conf", "etc/hosts"):  # mount points of RUN, not its files
                path = root / name
                if path.is_file() and path.stat().st_size == 0:
                    path.unlink()
            return self._store.adopt_layer(root)

        diff_id, digest, size = await asyncio.to_thread(keep)
        layer = {"mediaType": LAYER_TYPE, "digest": digest, "size": size}
        state.write_json(self._cache / f"{key}.json", {"diff_id": diff_id, "layer": layer})
        self._append(draft, key, diff_id, layer)
        return f" ---> {diff_id.removeprefix('sha256:')[:12]}"

    def _from_cache(self, draft: Draft, key: str) -> bool:
        known = state.read_json(self._cache / f"{key}.json")
        if known is None or not self._store.has_layer(known["diff_id"]):
            return False
        if not self._store.blob(known["layer"]["digest"]).exists():
            return False
        self._append(draft, key, known["diff_id"], known["layer"])
        return True

    @staticmethod
    def _append(draft: Draft, key: str, diff_id: str, layer: dict[str, Any]) -> None:
        draft.layers.append(layer)
        draft.diff_ids.append(diff_id)
        draft.chain = key


def _joined(folder: str, path: str) -> str:
    return os.path.normpath(PurePosixPath(folder, path))


def _reference(tag: str) -> references.Reference:
    try:
        return references.parse(tag)
    except references.BadReference as err:
        raise BuildError(f'invalid argument "{tag}" for "-t, --tag" flag: {err}') from err


@dataclass(frozen=True, slots=True)
class Found:
    """What COPY or ADD found in the context; ``archives`` among it are extracted."""

    paths: list[Path]
    archives: frozenset[Path]
    digest: str


def _find(context: Path, patterns: list[str], instruction: Instruction, path: str) -> Found:
    paths: list[Path] = []
    for pattern in patterns:
        matching = _matching(context, pattern)
        if not matching:
            told = f'{instruction.name} failed: file not found in build context: "{pattern}"'
            raise DockerfileError(f"{path}:{instruction.line}: {told}")
        paths += matching
    of_add = paths if instruction.name == "ADD" else []
    archives = frozenset(one for one in of_add if one.is_file() and tarfile.is_tarfile(one))  # by what is in them
    return Found(paths, archives, _digest_of(paths))


def _matching(context: Path, pattern: str) -> list[Path]:
    """Files of the context, never beyond it."""
    name = pattern.lstrip("/").rstrip("/")
    if ".." in Path(name).parts:
        raise DockerfileError(f"{pattern}: forbidden path outside the build context")
    if name in ("", "."):
        return [context]
    if any(c in name for c in "*?["):
        return sorted(context.glob(name))
    path = copying.resolve(context, name)
    return [path] if path.exists() else []


def _lines_after(log: Path, position: int) -> tuple[list[str], int]:
    """The whole lines after a position, and the position after them."""
    try:
        with log.open("rb") as file:
            file.seek(position)
            content = file.read()
    except FileNotFoundError:
        return [], position
    whole = content[: content.rfind(b"\n") + 1]
    return [line.decode(errors="replace") for line in whole.split(b"\n")[:-1]], position + len(whole)


def _digest_of(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for top in paths:
        for path in [top, *sorted(top.rglob("*"))] if top.is_dir() else [top]:
            status = path.lstat()
            digest.update(f"{path.relative_to(top.parent)}\0{stat.S_IMODE(status.st_mode)}\0".encode())
            if path.is_symlink():
                digest.update(str(path.readlink()).encode())
            elif path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
