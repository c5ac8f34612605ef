"""A Dockerfile's text: directives, continued lines, comments, here-documents.

As BuildKit reads it (github.com/moby/buildkit, frontend/dockerfile/parser). Nothing here knows what an instruction
means, except which may have here-documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from kubelab.runtime.build.errors import DockerfileError, SyntaxFault, located, shortened
from kubelab.runtime.build.words import Lexer

MAX_BYTES = 1 << 20  # of a Dockerfile
MAX_LINE = 65535  # characters, BuildKit's own limit
WITH_DOCUMENTS = ("RUN", "COPY", "ADD")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("syntax", "escape", "check")
_DOCUMENT = re.compile(r"(\d*)<<(-?)[ \t]*([^<]*)$")
_TABS = re.compile(r"^\t+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HereDocument:
    """``<<NAME`` and the lines up to NAME. ``expand``: variables are put in, for NAME has no quotes; ``chomp``: it is
    ``<<-NAME``, tabs at the beginning of lines do not count."""

    name: str
    content: str
    expand: bool = True
    chomp: bool = False

    @property
    def text(self) -> str:
        return _TABS.sub("", self.content) if self.chomp else self.content


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction: ``name`` in capitals, ``flags`` as ``--mount=…``, ``rest`` without them, continued lines joined."""

    number: int
    name: str
    flags: tuple[str, ...]
    rest: str
    documents: tuple[HereDocument, ...] = ()

    def __str__(self) -> str:
        return shortened(" ".join([self.name, *self.flags, self.rest]).rstrip(), 400)


@dataclass(slots=True)
class Text:
    """What was read: the instructions, and what the directives say."""

    lines: list[Line] = field(default_factory=list[Line])
    escape: str = "\\"
    directives: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])


def read(text: str, path: str) -> Text:
    """Read a Dockerfile; DockerfileError."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise DockerfileError(f"{path}: the Dockerfile is larger than {MAX_BYTES} bytes")
    parsed = Text()
    physical = _Physical(text, path)
    _read_directives(physical, parsed, path)
    for number, line in physical:
        if _is_comment(line) or not line.strip():
            continue
        joined = _continued(physical, line.lstrip(), parsed, path, number)
        if not joined.strip():
            continue
        with located(path, number):
            name, flags, rest = _command(joined)
            documents = _documents(physical, name, rest) if "<<" in rest else ()
        parsed.lines.append(Line(number, name, flags, rest, documents))
    if not parsed.lines:
        raise DockerfileError(f"{path}: file with no instructions")
    return parsed


class _Physical:
    """The file's lines, numbered from 1. CRLF ends a line as LF does; a byte order mark is no text."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = text.removeprefix("\ufeff").split("\n")
        if self._lines and not self._lines[-1]:
            self._lines.pop()
        self._path, self._at = path, 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        while self._at < len(self._lines):
            yield self._at + 1, self.take()

    def peek(self) -> str | None:
        return self._lines[self._at].rstrip("\r") if self._at < len(self._lines) else None

    def take(self) -> str:
        """The next line without its end."""
        return self.take_raw().rstrip("\r")

    def take_raw(self) -> str:
        line = self._lines[self._at]
        self._at += 1
        if len(line) > MAX_LINE:
            raise DockerfileError(
                f"{self._path}:{self._at}: dockerfile line greater than max allowed size of {MAX_LINE}"
            )
        if "\0" in line:
            raise DockerfileError(f"{self._path}:{self._at}: the line has a NUL byte: this is no text")
        return line


def _read_directives(physical: _Physical, result: Text, path: str) -> None:
    """``# escape=`` and the like, which come before everything else, comments too."""
    number = 0
    while (line := physical.peek()) is not None:
        directive = _DIRECTIVE.match(line.lstrip())
        name = directive[1].lower() if directive else ""
        if directive is None or name not in _DIRECTIVES:
            return
        physical.take()
        number += 1
        if name in result.directives:
            raise DockerfileError(f"{path}:{number}: only one {name} parser directive can be used")
        result.directives[name] = directive[2]
        if name == "escape":
            if directive[2] not in ("\\", "`"):
                message = f"invalid escape token '{directive[2]}' does not match ` or \\"
                raise DockerfileError(f"{path}:{number}: {message}")
            result.escape = directive[2]
        else:
            result.notes.append(f"{path}:{number}: # {name}={directive[2]} has no effect in `kubelab image build`")


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _continued(physical: _Physical, line: str, result: Text, path: str, number: int) -> str:
    """The line with those that continue it; comments and empty lines between them do not count."""
    line, goes_on = _without_escape(line, result.escape)
    parts, empty = [line], False
    while goes_on and physical.peek() is not None:
        line = physical.take()
        if _is_comment(line):
            continue
        if not line.strip():
            empty = True
            continue
        line, goes_on = _without_escape(line, result.escape)
        parts.append(line)
    if empty:
        result.notes.append(f"{path}:{number}: Empty continuation line found in: {shortened(''.join(parts), 200)}")
    return "".join(parts)


def _without_escape(line: str, escape: str) -> tuple[str, bool]:
    """The line without the escape that continues it; one after another one is that character."""
    bare = line.rstrip(" \t")
    if bare.endswith(escape) and not bare[:-1].endswith(escape):
        return bare[:-1], True
    return line, False


def _command(line: str) -> tuple[str, tuple[str, ...], str]:
    name, *others = line.strip().split(maxsplit=1)
    flags, rest = _flags(others[0]) if others else ([], "")
    return name.upper(), tuple(flags), rest.strip()


def _flags(text: str) -> tuple[list[str], str]:
    """The ``--flags`` that an instruction begins with, and what comes after them."""
    flags: list[str] = []
    at = 0
    while True:
        while text[at : at + 1].isspace():
            at += 1
        if not text.startswith("--", at):
            return flags, text[at:]
        flag, at = _flag(text, at)
        if flag == "--":
            return flags, text[at:]
        flags.append(flag)


def _flag(text: str, at: int) -> tuple[str, int]:
    """One flag from ``at`` on without its quotes, and where it ends."""
    flag, quote = "", ""
    while at < len(text):
        char = text[at]
        at += 1
        if quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote and char.isspace():
            break
        elif char == "\\":
            flag += text[at : at + 1]
            at += 1
        else:
            flag += char
    return flag, at


def _documents(physical: _Physical, name: str, rest: str) -> tuple[HereDocument, ...]:
    inner = rest
    if name == "ONBUILD":
        name, _, inner = _command(rest)
    if name not in WITH_DOCUMENTS or json_list(inner) is not None:
        return ()
    return tuple(_filled(document, physical) for document in announced(inner))


def json_list(text: str) -> tuple[str, ...] | None:
    """The exec form, ``["node", "/app.js"]``; None for any other text; SyntaxFault for a list of other things."""
    if not text.startswith("["):
        return None
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list):
        return None
    listed = cast(list[object], value)
    if not all(isinstance(one, str) for one in listed):
        raise SyntaxFault("when using JSON array syntax, arrays must be comprised of strings only")
    texts = [cast(str, one).encode("utf-16", "surrogatepass").decode("utf-16", "replace") for one in listed]
    if any("\0" in one for one in texts):
        raise SyntaxFault("a text has a NUL byte")
    return tuple(texts)


def announced(text: str) -> list[HereDocument]:
    """The here-documents that an instruction announces, without content; SyntaxFault."""
    try:
        words = Lexer(raw_quotes=True, raw_escapes=True, keep_unset=True).words(text)
    except SyntaxFault:  # a shell may know better what it means
        return []
    return [document for word in words if (document := here_document(word))]


def here_document(word: str) -> HereDocument | None:
    """What ``<<NAME`` announces, None for another word; SyntaxFault for a quote that does not end."""
    match = _DOCUMENT.match(word)
    if match is None or not match[3]:
        return None
    bare = Lexer(keep_unset=True).words(match[3])
    raw = Lexer(keep_unset=True, raw_quotes=True).words(match[3])
    if len(bare) != 1 or len(raw) != 1:
        return None
    quoted = sum(map(raw[0].count, "'\"")) != sum(map(bare[0].count, "'\""))
    return HereDocument(bare[0], "", expand=not quoted, chomp=match[2] == "-")


def _filled(document: HereDocument, physical: _Physical) -> HereDocument:
    content: list[str] = []
    while physical.peek() is not None:
        line = physical.take_raw()
        end = line.rstrip("\r")
        if (end.lstrip("\t") if document.chomp else end) == document.name:
            return HereDocument(document.name, "".join(content), document.expand, document.chomp)
        content.append(line + "\n")
    raise SyntaxFault(f"unterminated heredoc: there is no line {document.name}")
