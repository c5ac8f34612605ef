"""What can be wrong with a manifest. Everything that is wrong is told at once, each with its file and line."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Stage(enum.Enum):
    """How far the reader came before it stumbled."""

    PARSE = "parse"  # no YAML and no JSON
    RECOGNIZE = "recognize"  # no kind that is known
    VALIDATE = "validate"  # a field that is wrong


MAX_PROBLEMS = 100  # of one text; it is not read any further then


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    ``line`` counts from 1 and is 0 where there is none; ``path`` is such as ``spec.containers[0].ports[0].name``,
    empty for the whole document; ``value`` is what was found, as JSON, and ``expected`` what belongs there.
    """

    stage: Stage
    source: str
    line: int
    message: str
    path: str = ""
    value: str = ""
    expected: str = ""

    @property
    def where(self) -> str:
        """``pod.yml:8``."""
        return f"{self.source}:{self.line}" if self.line else self.source

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ManifestError(Exception):
    """Manifests that cannot be used. ``problems`` has all that is wrong, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(describe(self.problems))


class Problems(list[Problem]):
    """The problems of one text as they are found. At the last that is told, ``append`` raises ManifestError."""

    def append(self, problem: Problem, /) -> None:
        super().append(problem)
        if len(self) >= MAX_PROBLEMS:
            told = f"too many errors: only the first {MAX_PROBLEMS} are shown"
            raise ManifestError([*self, Problem(problem.stage, problem.source, problem.line, told)])


class NoManifest(Exception):
    """A file, folder or URL that cannot be read; the message says which and why."""


def unknown_field(source: str, line: int, path: str, hint: str = "") -> Problem:
    message = f'unknown field "{path}"' + (f', did you mean "{hint}"?' if hint else "")
    return Problem(Stage.VALIDATE, source, line, message, path, expected=hint)


def wrong_value(source: str, line: int, path: str, value: str, expected: str) -> Problem:
    message = f"{path or 'document'}: Invalid value: {value}: expected {expected}"
    return Problem(Stage.VALIDATE, source, line, message, path, value, expected)


def describe(problems: Sequence[Problem]) -> str:
    """Say it as kubectl does: one paragraph for each file and stage, bullets where there are several."""
    paragraphs: dict[tuple[Stage, str], list[Problem]] = {}
    for problem in problems:
        paragraphs.setdefault((problem.stage, problem.source), []).append(problem)
    told: list[str] = []
    for (stage, source), found in paragraphs.items():
        if stage is Stage.VALIDATE:
            start = f'error validating "{source}": error validating data:'
            if len(found) == 1:
                told.append(f"{start} {found[0]}")
            else:
                told.append("\n".join([start, *(f"* {problem}" for problem in found)]))
        elif stage is Stage.PARSE:
            told += [f"error parsing {source}: {p.message}" for p in found]
        else:
            told += [f"{p.message} ({p.where})" for p in found]
    return "\n".join(told)
