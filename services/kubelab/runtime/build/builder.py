"""Building an image from a Dockerfile and a context: stage by stage, one layer for each instruction that changes files.

A step whose instruction, parent and files are those of a build before is not run again: its layer is remembered
(:mod:`kubelab.runtime.build.caches`). Several builds share nothing but the store and the caches.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubelab.apimachinery import references
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.references import Reference
from kubelab.runtime.build import instructions as say
from kubelab.runtime.build import outbound, platforms, stages
from kubelab.runtime.build.bases import Bases
from kubelab.runtime.build.caches import CacheMounts, LayerCache
from kubelab.runtime.build.draft import PROXIES, Draft
from kubelab.runtime.build.errors import BuildError, MachineError, SyntaxFault, located, shortened
from kubelab.runtime.build.running import Runner
from kubelab.runtime.build.stages import Dockerfile, Stage
from kubelab.runtime.build.steps import Steps, Workshop
from kubelab.runtime.build.tasks import OURS, explain
from kubelab.runtime.config import RuntimeConfig
from kubelab.runtime.errors import CRIError
from kubelab.runtime.host.base import Host
from kubelab.runtime.oci.platforms import machine
from kubelab.runtime.launcher.client import Launcher
from kubelab.runtime.images.store import Store

NETWORKS = ("", "default", "none", "host")
ALLOW_HOST_NETWORK = "network.host"
NO_WAY_OUT = (
    f"[Note] RUN has the node's network, which does not lead out of this machine. A step that downloads something needs "
    f"the program {outbound.PROGRAM} (its package has that name too), or: kubelab image build --network host"
)
Pull = Callable[[str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Built:
    """The image is there."""

    image_id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. ``bases`` says what stands in for an image (``node`` → ``host``); ``allow`` are BuildKit's
    entitlements; ``network`` is what RUN has that does not say it."""

    dockerfile: str
    path: str
    tags: Sequence[str] = ()
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    bases: Mapping[str, str] = field(default_factory=dict[str, str])
    target: str = ""
    platform: str = ""
    network: str = ""
    allow: Sequence[str] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    fresh: bool = False


class Builder:
    """Builds images into a store."""

    def __init__(
        self, config: RuntimeConfig, store: Store, host: Host, launcher: Launcher, clock: Clock, pull: Pull | None = None
    ) -> None:
        folder = config.store_dir / "build-cache"
        folder.mkdir(exist_ok=True)
        self._workshop = Workshop(
            store=store,
            host=host,
            launcher=launcher,
            runner=Runner(config.state_dir / "crun", host, launcher, clock),
            remembered=LayerCache(folder, store),
            cache_mounts=CacheMounts(folder / "mounts"),
        )
        self._pull = pull

    async def build(self, plan: Plan, context: Path) -> AsyncGenerator[str | Built]:
        """Yield what people read, line by line, and at last what was built. BuildError."""
        tags = _check(plan)
        dockerfile = await asyncio.to_thread(stages.read, plan.dockerfile, plan.path)
        with await asyncio.to_thread(self._workshop.store.adding):
            one = _Build(self._workshop, plan, dockerfile, context, self._pull)
            async with aclosing(one.run(tags)) as steps:
                async for message in steps:
                    yield message


class _Build:
    """One build on its way: the stages that are done."""

    def __init__(
        self, workshop: Workshop, plan: Plan, dockerfile: Dockerfile, context: Path, pull: Pull | None
    ) -> None:
        self._workshop, self._plan, self._dockerfile = workshop, plan, dockerfile
        self._bases = Bases(workshop.store, workshop.host, plan.bases, pull)
        self._steps = Steps(workshop, context, dict(plan.secrets), fresh=plan.fresh)
        self._globals: dict[str, str] = {}
        self._done: dict[int, Draft] = {}
        self._images: dict[str, Draft] = {}
        self._number = self._total = 0

    async def run(self, tags: list[Reference]) -> AsyncGenerator[str | Built]:
        dockerfile = self._dockerfile
        for note in dockerfile.notes:
            yield f"[Warning] {note}"
        self._globals = dockerfile.global_values(self._plan.arguments, platforms.arguments())
        dockerfile.resolve(self._globals)
        target = dockerfile.target(self._plan.target)
        needed = dockerfile.needed(target)
        self._total = len(dockerfile.arguments) + sum(1 + len(stage.body) for stage in needed)
        for argument in dockerfile.arguments:
            yield self._headline(argument)
        for stage in needed:
            async with aclosing(self._stage(stage)) as lines:
                async for line in lines:
                    yield line
        if unused := sorted(self._plan.arguments.keys() - self._declared() - PROXIES):
            yield f"[Warning] One or more build-args [{', '.join(unused)}] were not consumed"
        yield Built(await asyncio.to_thread(self._finish, self._done[target.index], tags))

    def _headline(self, instruction: say.Instruction) -> str:
        self._number += 1
        return f"Step {self._number}/{self._total} : {instruction.line}"

    def _declared(self) -> set[str]:
        bodies = [self._dockerfile.arguments, *(stage.body for stage in self._dockerfile.stages)]
        every = [one for body in bodies for one in body if isinstance(one, say.Arg)]
        return {name for one in every for name, _ in one.declared}

    async def _stage(self, stage: Stage) -> AsyncGenerator[str]:
        yield self._headline(stage.first)
        with located(self._plan.path, stage.first.line.number, f"FROM {stage.base[:200]}"):
            if stage.parent:
                draft, shown = self._done[stage.parent.index].child(), stage.parent.name
                platforms.check(stage.platform)
            else:
                if await self._bases.is_missing(stage.base):
                    yield f"Pulling {stage.base}"
                draft, shown = await self._bases.draft(stage.base, stage.platform)
        yield f" ---> {shown}"
        draft.lexer, draft.globals, draft.given = self._dockerfile.lexer, self._globals, self._plan.arguments
        self._done[stage.index] = draft
        additions = () if stage.parent else self._bases.additions(stage.base)
        if additions:
            yield f"# {stage.base}: this machine's own programs, completed by {len(additions)} steps"
            async with aclosing(self._triggers(draft, stage, additions)) as lines:
                async for line in lines:
                    yield line
        if triggers := draft.config.pop("OnBuild", None):
            yield f"# Executing {len(triggers)} build trigger{'s' if len(triggers) > 1 else ''}"
            async with aclosing(self._triggers(draft, stage, triggers)) as lines:
                async for line in lines:
                    yield line
        for instruction in stage.body:
            yield self._headline(instruction)
            async with aclosing(self._step(draft, stage, instruction, instruction.line.number)) as lines:
                async for line in lines:
                    yield line

    async def _triggers(self, draft: Draft, stage: Stage, triggers: Sequence[Any]) -> AsyncGenerator[str]:
        """Do what the base image asks builds on it to do."""
        number = stage.first.line.number
        for text in triggers:
            with located(self._plan.path, number, "a trigger of the base image"):
                instruction = stages.trigger(str(text))
            async with aclosing(self._step(draft, stage, instruction, number)) as lines:
                async for line in lines:
                    yield line

    async def _step(
        self, draft: Draft, stage: Stage, instruction: say.Instruction, number: int
    ) -> AsyncGenerator[str]:
        """Carry out one instruction; an error names its line."""
        what = shortened(str(instruction.line), 120)
        try:
            with located(self._plan.path, number, what):
                if draft.change(instruction):
                    return
                async with aclosing(self._work(draft, stage, instruction)) as lines:
                    async for line in lines:
                        yield line
        except BuildError as err:
            if isinstance(err, MachineError):
                raise MachineError(f"{self._plan.path}:{number}: {what}: {err}") from err
            raise
        except CRIError as err:
            if isinstance(instruction, say.Run) and self._has_no_way_out(instruction):
                yield NO_WAY_OUT
            raise BuildError(f"{self._plan.path}:{number}: {what}: {err}") from err
        except OSError as err:
            kind = MachineError if err.errno in OURS else BuildError
            raise kind(f"{self._plan.path}:{number}: {what}: {explain(err)}") from err

    async def _work(self, draft: Draft, stage: Stage, instruction: say.Instruction) -> AsyncGenerator[str]:
        origins = {name: await self._origin(name, stage, instruction) for name in self._sources(instruction)}
        match instruction:
            case say.Copy():
                lines = self._steps.copy(draft, instruction, origins.get(instruction.source_stage))
            case say.Workdir():
                lines = self._steps.workdir(draft, instruction)
            case say.Run():
                lines = self._steps.run(draft, instruction, origins, self._network(instruction))
            case _:
                raise SyntaxFault(f"{instruction.line.name} is not allowed here")
        async with aclosing(lines) as messages:
            async for line in messages:
                yield line

    def _sources(self, instruction: say.Instruction) -> list[str]:
        return stages.sources(instruction, self._plan.path)

    async def _origin(self, name: str, stage: Stage, instruction: say.Instruction) -> Draft:
        """The files that ``from=NAME`` means: of another stage, or of an image."""
        other = self._dockerfile.source(name, stage, instruction)
        if other is None:
            if name not in self._images:
                self._images[name], _ = await self._bases.draft(name, "")
            return self._images[name]
        if other.index not in self._done:
            raise SyntaxFault(f"the stage {other.name} is not built")
        return self._done[other.index]

    def _network(self, instruction: say.Run) -> str:
        network = self._plan.network or "default"
        if instruction.network == "default":
            return network
        if instruction.network == "host" and network != "host" and ALLOW_HOST_NETWORK not in self._plan.allow:
            raise SyntaxFault(
                f"{ALLOW_HOST_NETWORK} is not allowed: give `kubelab image build --allow {ALLOW_HOST_NETWORK}` "
                f"to let RUN have the machine's own network"
            )
        return instruction.network

    def _has_no_way_out(self, instruction: say.Run) -> bool:
        """Whether a step that failed had the network of a node that is cut off from the machine's."""
        return self._network(instruction) == "default" and outbound.is_needed() and not outbound.is_possible()

    def _finish(self, draft: Draft, tags: list[Reference]) -> str:
        platform = machine()
        config: dict[str, Any] = {
            "created": "1970-01-01T00:00:00Z",  # equal files make an equal image
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {**draft.config, "Env": [f"{k}={v}" for k, v in draft.environment.items()]},
            "rootfs": {"type": "layers", "diff_ids": draft.diff_ids},
        }
        if draft.author:
            config["author"] = draft.author
        content = json.dumps(config, sort_keys=True).encode()
        return self._workshop.store.add_image(content, draft.layers, tags, on_host=draft.on_host).id


def _check(plan: Plan) -> list[Reference]:
    """The names of the image; BuildError for what no Dockerfile could mend."""
    for name, value in plan.arguments.items():
        if not name or "=" in name or "\0" in name + value:
            raise BuildError(f"--build-arg: expected NAME=VALUE, got {name[:60]!r}")
    if plan.network not in NETWORKS:
        raise BuildError(f"--network: expected default, none or host, got {plan.network[:60]!r}")
    if unknown := next((one for one in plan.allow if one != ALLOW_HOST_NETWORK), None):
        raise BuildError(f"--allow: only {ALLOW_HOST_NETWORK} can be allowed, got {unknown[:60]!r}")
    try:
        platforms.check(plan.platform)
    except SyntaxFault as err:
        raise BuildError(f"--platform: {err}") from err
    return [_reference(tag) for tag in plan.tags]


def _reference(tag: str) -> Reference:
    try:
        return references.parse(tag)
    except references.BadReference as err:
        raise BuildError(f'invalid argument "{tag[:200]}" for "-t, --tag" flag: {err}') from err
