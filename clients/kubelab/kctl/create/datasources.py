"""Where ``kctl create configmap`` and ``kctl create secret`` take keys and values from: literals, files, folders and
env files (kubectl ``pkg/cmd/util`` ParseLiteralSource, ParseFileSource and env_file.go)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubelab.apimachinery import names
from kubelab.kctl.session import Failed

_BOM = b"\xef\xbb\xbf"


def literals(sources: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Read ``key=value``. Raises Failed."""
    for source in sources:
        key, separator, value = source.partition("=")
        if not separator or not key:
            raise Failed(f"error: invalid literal source {source}, expected key=value")
        yield key, value.encode(errors="surrogateescape")


def files(sources: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Read ``file``, ``key=file`` and folders, of which only regular files count. Raises Failed."""
    for source in sources:
        key, path = _parse_file_source(source)
        if _is_folder(path):
            if "=" in source:
                raise Failed("error: cannot give a key name for a directory path")
            for file in sorted(path.iterdir()):
                if file.is_file() and not file.is_symlink():
                    yield file.name, _content(file)
        else:
            yield key, _content(path)


def env_files(sources: Sequence[str], *, of: str) -> Iterator[tuple[str, bytes]]:
    """Read lines ``key=value``; a line without ``=`` takes the value of this process's environment. ``of`` is what the
    file is for: ``config`` or ``secret``. Raises Failed."""
    for source in sources:
        path = Path(source)
        if _is_folder(path):
            raise Failed(f"error: env {of} file cannot be a directory")
        for number, line in enumerate(_content(path).splitlines()):
            pair = _env_line(line.removeprefix(_BOM) if number == 0 else line, source, number + 1)
            if pair is not None:
                yield pair


def _parse_file_source(source: str) -> tuple[str, Path]:
    count = source.count("=")
    if count > 1:
        raise Failed("error: key names or file paths cannot contain '='")
    if not count:
        return os.path.basename(source.rstrip("/")), Path(source)  # noqa: PTH119 — Go's path.Base
    key, _, path = source.partition("=")
    if not key:
        raise Failed(f"error: key name for file path {path} missing")
    if not path:
        raise Failed(f"error: file path for key name {key} missing")
    return key, Path(path)


def _is_folder(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError) as err:
        raise _unreadable(path, err) from err
    return path.is_dir()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise _unreadable(path, err) from err


def _unreadable(path: Path, err: OSError | ValueError) -> Failed:
    why = err.strerror if isinstance(err, OSError) else None
    return Failed(f"error: error reading {path}: {why.lower() if why else err}")


def _env_line(line: bytes, source: str, number: int) -> tuple[str, bytes] | None:
    try:
        text = line.decode()
    except UnicodeDecodeError as err:
        shown = " ".join(str(byte) for byte in line)
        raise Failed(f"error: env file {source} contains invalid utf8 bytes at line {number}: [{shown}]") from err
    text = text.lstrip()
    if not text or text.startswith("#"):
        return None
    key, separator, value = text.partition("=")
    if problems := names.strict_env_var_name(key):
        raise Failed(f'error: "{key}" is not a valid key name: {";".join(problems)}')
    return key, (value if separator else os.environ.get(key, "")).encode(errors="surrogateescape")
