"""Errors in a manifest. The reader collects all of them, each with its file and line, and reports them at once."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class DecodeStage(enum.Enum):
    """The step of decoding that failed."""

    PARSE = "parse"  # the text is neither YAML nor JSON
    RECOGNIZE = "recognize"  # the kind is unknown
    VALIDATE = "validate"  # a field is unknown or has a wrong value


MAX_DIAGNOSTICS = 100  # of one text; the reader stops there


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error.

    ``line`` counts from 1 and is 0 where there is none; ``path`` names the field (``spec.containers[0].ports[0].name``)
    and is empty for the whole document; ``value`` is the value in the file, as JSON; ``expected`` what belongs there.
    """

    stage: DecodeStage
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
    """The manifests have errors: ``diagnostics``, in the order of the files."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__(describe(self.diagnostics))


class Diagnostics(list[Diagnostic]):
    """The errors of one text. ``append`` raises ManifestError with all of them when there are MAX_DIAGNOSTICS."""

    def append(self, diagnostic: Diagnostic, /) -> None:
        super().append(diagnostic)
        if len(self) >= MAX_DIAGNOSTICS:
            message = f"too many errors: only the first {MAX_DIAGNOSTICS} are shown"
            raise ManifestError([*self, Diagnostic(diagnostic.stage, diagnostic.source, diagnostic.line, message)])


class NoManifest(Exception):
    """A file, folder or URL cannot be read; the message says which and why."""


def unknown_field(source: str, line: int, path: str, hint: str = "") -> Diagnostic:
    message = f'unknown field "{path}"' + (f', did you mean "{hint}"?' if hint else "")
    return Diagnostic(DecodeStage.VALIDATE, source, line, message, path, expected=hint)


def wrong_value(source: str, line: int, path: str, value: str, expected: str) -> Diagnostic:
    message = f"{path or 'document'}: Invalid value: {value}: expected {expected}"
    return Diagnostic(DecodeStage.VALIDATE, source, line, message, path, value, expected)


def describe(diagnostics: Sequence[Diagnostic]) -> str:
    """Format the errors as kubectl does: one paragraph for each file and stage, bullets where there are several."""
    paragraphs: dict[tuple[DecodeStage, str], list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        paragraphs.setdefault((diagnostic.stage, diagnostic.source), []).append(diagnostic)
    texts: list[str] = []
    for (stage, source), group in paragraphs.items():
        if stage is DecodeStage.VALIDATE:
            start = f'error validating "{source}": error validating data:'
            if len(group) == 1:
                texts.append(f"{start} {group[0]}")
            else:
                texts.append("\n".join([start, *(f"* {diagnostic}" for diagnostic in group)]))
        elif stage is DecodeStage.PARSE:
            texts += [f"error parsing {source}: {p.message}" for p in group]
        else:
            texts += [f"{p.message} ({p.where})" for p in group]
    return "\n".join(texts)
