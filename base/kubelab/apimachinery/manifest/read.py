"""Read manifests from files, folders, URLs and standard input. All of them are read before one is used.

This blocks: command lines call it before their event loop starts.
"""

from __future__ import annotations

import codecs
import glob
import os
import select
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from kubelab.apimachinery.manifest.decode import Document, decode
from kubelab.apimachinery.manifest.diagnostics import DecodeStage, Diagnostic, ManifestError, NoManifest

EXTENSIONS = (".json", ".yaml", ".yml")
STDIN = "STDIN"
URL_SECONDS = 30.0
MAX_BYTES = 64 * 1024 * 1024  # of one file, address or standard input
PIPE_SECONDS = 30.0  # without a byte
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def standard_input() -> bytes:
    """Read standard input, at most a byte more than is allowed."""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def read_all(
    names: Sequence[str],
    *,
    recursive: bool = False,
    stdin: Callable[[], bytes] | None = None,
    unknown: list[Diagnostic] | None = None,
) -> list[Document]:
    """Read every object of every file. Raises ManifestError with all that is wrong in all of them, or NoManifest.

    With a list ``unknown``, unknown fields are no errors: they are left out, and the list has them.
    """
    diagnostics: list[Diagnostic] = []
    documents: list[Document] = []
    for source, data in _texts(names, recursive, stdin or standard_input):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as err:
            line = data.count(b"\n", 0, err.start) + 1
            message = f"line {line}: not UTF-8 text"
            if data.startswith(_UTF_16):
                message += "; it is UTF-16, save it as UTF-8"
            diagnostics.append(Diagnostic(DecodeStage.PARSE, source, line, message, expected="UTF-8"))
            continue
        try:
            documents += decode(text, source, unknown)
        except ManifestError as err:
            diagnostics += err.diagnostics
    if diagnostics:
        raise ManifestError(diagnostics)
    return documents


def _texts(names: Iterable[str], recursive: bool, stdin: Callable[[], bytes]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name == "-":
            yield STDIN, _bounded(STDIN, stdin())
        elif name.startswith(("http://", "https://")):
            yield name, _fetch(name)
        else:
            for path in _files(name, recursive):
                try:
                    data = _content(path)
                except OSError as err:
                    raise NoManifest(f'the path "{path}" cannot be accessed: {err.strerror}') from err
                yield str(path), _bounded(str(path), data)


def _bounded(name: str, data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise NoManifest(f'the path "{name}" cannot be read: it is larger than {MAX_BYTES} bytes')
    return data


def _content(path: Path) -> bytes:
    """Read a file, at most a byte more than is allowed. A pipe, such as a shell's <(...), is read as long as its
    writer goes on."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.set_blocking(descriptor, True)
            return b"".join(_chunks(file.read))
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)

        def read(size: int) -> bytes | None:
            if not waiting.poll(PIPE_SECONDS * 1000):
                raise NoManifest(f'the path "{path}" is a pipe that nothing was written to for {PIPE_SECONDS:.0f}s')
            return file.read(size)

        return b"".join(_chunks(read))


def _chunks(read: Callable[[int], bytes | None]) -> Iterator[bytes]:
    remaining = MAX_BYTES + 1
    while remaining and (data := read(min(remaining, 1024 * 1024))):
        remaining -= len(data)
        yield data


def _files(name: str, recursive: bool) -> list[Path]:
    path = Path(name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as err:
        raise NoManifest(f'the path "{name}" cannot be accessed: {err}') from err
    if not exists:
        if matching := _matching(name):
            return [file for match in matching for file in _files(match, recursive)]
        raise NoManifest(f'the path "{name}" does not exist')
    if not is_folder:
        return [path]
    inside = path.rglob("*") if recursive else path.glob("*")
    files = sorted(p for p in inside if p.suffix in EXTENSIONS and p.is_file())
    if not files:
        raise NoManifest(f"error reading [{name}]: recognized file extensions are [{' '.join(EXTENSIONS)}]")
    return files


def _matching(pattern: str) -> list[str]:
    """Expand a pattern that no shell has expanded, as kubectl does; nothing where it is none, or matches nothing."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else []  # noqa: PTH207 — a Path would take "./" away


def _fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "*/*", "User-Agent": "kctl"})
    try:
        with urllib.request.urlopen(request, timeout=URL_SECONDS) as answer:
            data: bytes = answer.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as err:
        reason = f"server reported {err.code} {err.reason}, status code={err.code}"
        err.close()
        raise NoManifest(f'unable to read URL "{url}", {reason}') from err
    except (OSError, ValueError) as err:
        raise NoManifest(f'unable to read URL "{url}": {getattr(err, "reason", err)}') from err
    if len(data) > MAX_BYTES:
        raise NoManifest(f'unable to read URL "{url}": it is larger than {MAX_BYTES} bytes')
    return data
