"""A whole Dockerfile: its stages, what each needs of others, and which are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubelab.runtime.build import lines, mounts
from kubelab.runtime.build.errors import BuildError, DockerfileError, SyntaxFault, located
from kubelab.runtime.build.instructions import Arg, Copy, From, Instruction, OnBuild, Run, parse
from kubelab.runtime.build.words import Lexer


@dataclass(slots=True)
class Stage:
    """One FROM and what follows it. ``base`` has its variables put in; ``parent`` is the stage that it builds on."""

    index: int
    first: From
    base: str = ""
    platform: str = ""
    parent: Stage | None = None
    body: list[Instruction] = field(default_factory=list[Instruction])

    @property
    def name(self) -> str:
        return self.first.name or str(self.index)


@dataclass(slots=True)
class Dockerfile:
    """What a file says. ``arguments`` are the ARGs before the first FROM."""

    path: str
    escape: str
    notes: list[str]
    arguments: list[Arg]
    stages: list[Stage]

    @property
    def lexer(self) -> Lexer:
        return Lexer(escape=self.escape)

    def global_values(self, given: Mapping[str, str], platform: Mapping[str, str]) -> dict[str, str]:
        """The ARGs before the first FROM, as the builder was told or by their defaults; DockerfileError."""
        values = dict(platform)
        for argument in self.arguments:
            with located(self.path, argument.line.number):
                for name, default in argument.declared:
                    if name in given:
                        values[name] = given[name]
                    elif default is not None:
                        values[name] = self.lexer.word(default, values)
        return values

    def resolve(self, values: Mapping[str, str]) -> None:
        """Put variables into every FROM, and find the stages that others build on; DockerfileError."""
        by_name: dict[str, Stage] = {}
        for stage in self.stages:
            with located(self.path, stage.first.line.number):
                stage.base = self.lexer.word(stage.first.base, values)
                stage.platform = self.lexer.word(stage.first.platform, values)
                if not stage.base:
                    raise SyntaxFault(f"base name ({stage.first.base}) should not be blank")
            stage.parent = by_name.get(stage.base.lower())
            if stage.first.name:
                by_name[stage.first.name] = stage

    def target(self, name: str) -> Stage:
        """The stage that ``--target`` names, or the last one; BuildError."""
        if not name:
            return self.stages[-1]
        stage = self.find(name, len(self.stages))
        if stage is None:
            raise BuildError(f'{self.path}: target stage "{name}" could not be found')
        return stage

    def find(self, name: str, before: int) -> Stage | None:
        """The stage of this name or number among the first ``before``; the last one where several have the name."""
        earlier = self.stages[:before]
        named = [stage for stage in earlier if stage.first.name == name.lower()]
        if named:
            return named[-1]
        return earlier[int(name)] if name.isascii() and name.isdecimal() and int(name[:9]) < before else None

    def needed(self, target: Stage) -> list[Stage]:
        """The stages that the target needs, itself included, in the file's order; DockerfileError."""
        needed = {target.index}
        for stage in reversed(self.stages[: target.index + 1]):
            if stage.index in needed:
                needed |= {other.index for other in self._needs(stage)}
        return [self.stages[index] for index in sorted(needed)]

    def _needs(self, stage: Stage) -> list[Stage]:
        stages = [stage.parent] if stage.parent else []
        for instruction in stage.body:
            for name in sources(instruction, self.path):
                if (other := self.source(name, stage, instruction)) is not None:
                    stages.append(other)
        return stages

    def source(self, name: str, stage: Stage, instruction: Instruction) -> Stage | None:
        """The stage that ``from=NAME`` means in ``stage``; None: an image; DockerfileError for a number that is none."""
        other = self.find(name, stage.index)
        if other is None and name.isascii() and name.isdecimal():
            raise DockerfileError(f"{self.path}:{instruction.line.number}: invalid stage index {name[:9]}")
        return other


def sources(instruction: Instruction, path: str) -> list[str]:
    """The stages and images, by name, that an instruction takes files from; DockerfileError."""
    with located(path, instruction.line.number):
        if isinstance(instruction, Copy):
            if "$" in instruction.source_stage:
                raise SyntaxFault("'from' doesn't support variable expansion, define alias stage instead")
            return [instruction.source_stage] if instruction.source_stage else []
        if isinstance(instruction, Run):
            return [stage for text in instruction.mounts if (stage := mounts.stage_of(text))]
    return []


def read(text: str, path: str) -> Dockerfile:
    """Read a Dockerfile; DockerfileError."""
    parsed = lines.read(text, path)
    dockerfile = Dockerfile(path, parsed.escape, parsed.notes, [], [])
    for line in parsed.lines:
        with located(path, line.number):
            instruction = parse(line, parsed.escape)
            if isinstance(instruction, OnBuild):
                trigger(instruction.trigger)
        if isinstance(instruction, From):
            dockerfile.stages.append(Stage(len(dockerfile.stages), instruction))
        elif dockerfile.stages:
            dockerfile.stages[-1].body.append(instruction)
        elif isinstance(instruction, Arg):
            dockerfile.arguments.append(instruction)
        else:
            message = f"expected FROM, got {line.name}: no build stage in current context"
            raise DockerfileError(f"{path}:{line.number}: {message}")
    if not dockerfile.stages:
        raise DockerfileError(f"{path}: dockerfile contains no stages to build")
    return dockerfile


def trigger(text: str) -> Instruction:
    """What an ONBUILD trigger says; SyntaxFault."""
    try:
        parsed = lines.read(text, "ONBUILD").lines
    except DockerfileError as err:
        raise SyntaxFault(str(err)) from err
    if len(parsed) != 1:
        raise SyntaxFault("onbuild trigger should be a single expression")
    if parsed[0].name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise SyntaxFault(f"{parsed[0].name} isn't allowed as an ONBUILD trigger")
    return parse(parsed[0], "\\")
