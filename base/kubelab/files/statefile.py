"""State files of a cluster and its processes.

A power cut, a full disk, an editor or another version may have left anything there. :func:`read` returns the parsed
content, or raises one sentence with the path and the remedy. :func:`read_or_forget` is for data that the program can
rebuild: it renames a broken file to ``NAME.broken`` and treats it as missing. :func:`write` writes such a file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from kubelab.files import atomicfile

T = TypeVar("T")
Kind = type | tuple[type, ...]
Parse = Callable[[str], T]  # raises one of these for a broken text
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, yaml.YAMLError)


class BrokenFile(Exception):
    """A file does not say what it should; the message names it, why, and what to do."""


def read(path: Path, parse: Parse[T], *, remedy: str) -> T | None:
    """Return a file's parsed content, None where there is no file. BrokenFile, which names the ``remedy``."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as err:
        raise BrokenFile(f"{path}: {_why(path, err)}; {remedy}") from err


def read_or_forget(path: Path, parse: Parse[T], report: Callable[[str], object]) -> T | None:
    """The same for data that the program can rebuild. ``report`` gets a sentence about a broken file. OSError when the
    file cannot be put aside."""
    try:
        return read(path, parse, remedy=f"it is put aside as {_aside(path).name}, and written anew")
    except BrokenFile as err:
        report(str(err))
    make_way(_aside(path))
    path.rename(_aside(path))
    return None


def write(path: Path, content: str, *, owner: tuple[int, int] | None = None) -> None:
    """Write what comes again by itself: a folder in the file's place is removed. Not for a power cut. OSError."""
    try:
        atomicfile.write(path, content, owner=owner)
    except IsADirectoryError:
        make_way(path)
        atomicfile.write(path, content, owner=owner)


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object."""
    return _dictionary(json.loads(text), "a JSON object")


def json_with(**kinds: Kind) -> Callable[[str], dict[str, Any]]:
    """Parse a JSON object with at least these keys, of these types."""

    def parse(text: str) -> dict[str, Any]:
        return _checked(json_object(text), kinds)

    return parse


def json_list(of: Callable[..., T], **kinds: Kind) -> Callable[[str], list[T]]:
    """Parse a JSON list of objects with these keys, of these types: the arguments of ``of``."""

    def parse(text: str) -> list[T]:
        value: object = json.loads(text)
        if not isinstance(value, list):
            raise TypeError("expected a JSON list")
        return [of(**{key: _checked(one, kinds)[key] for key in kinds}) for one in cast(list[dict[str, Any]], value)]

    return parse


def _checked(body: dict[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    for key, kind in kinds.items():
        if not isinstance(body[key], kind):
            raise TypeError(f"{key} is a {type(body[key]).__name__}")
    return body


def texts(text: str) -> dict[str, str]:
    """Parse a JSON object whose values are texts."""
    body = json_object(text)
    if not all(isinstance(value, str) for value in body.values()):
        raise TypeError("expected texts")
    return body


def mapping(text: str) -> Mapping[str, Any]:
    """Parse a YAML mapping."""
    return _dictionary(yaml.safe_load(text), "a mapping")


def _dictionary(value: object, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected {expected}")
    return cast(dict[str, Any], value)


def in_words(err: Exception) -> str:
    """Say what failed; of a file that cannot be used, its path, why, and what to do."""
    if not isinstance(err, OSError) or not err.filename or not err.strerror:
        return str(err)
    text = f"{err.filename}: {err.strerror.lower()}"
    return f"{text}; move it away: a file is written in its place" if isinstance(err, IsADirectoryError) else text


def _why(path: Path, err: Exception) -> str:
    match err:
        case OSError():
            return (err.strerror or str(err)).lower()
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _ if not path.stat().st_size:
            return "it is empty"
        case json.JSONDecodeError():
            return f"it is not JSON (line {err.lineno}, column {err.colno})"
        case yaml.MarkedYAMLError() if err.problem_mark:
            mark = err.problem_mark
            return f"it is not YAML (line {mark.line + 1}, column {mark.column + 1})"
        case KeyError():
            return f"it lacks {err.args[0]!r}"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return f"it does not say what it should ({err})"


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.broken")


def make_way(path: Path) -> None:
    """Remove the path: a file, a missing file, or a folder in a file's place. OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
