"""Where manifests come from: files, folders, addresses and standard input. All is read before anything is used.

This blocks: it is for command lines, before their event loop starts.
"""

from __future__ import annotations

import glob
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from kubelab.apimachinery.manifest.decode import Document, decode
from kubelab.apimachinery.manifest.problems import ManifestError, NoManifest, Problem, Stage

EXTENSIONS = (".json", ".yaml", ".yml")
STDIN = "STDIN"
URL_SECONDS = 30.0
MAX_URL_BYTES = 64 * 1024 * 1024


def read_all(
    names: Sequence[str], *, recursive: bool = False, stdin: Callable[[], bytes] | None = None
) -> list[Document]:
    """Read every object of every file. Raises ManifestError with all that is wrong in all of them, or NoManifest."""
    found: list[Problem] = []
    documents: list[Document] = []
    for source, data in _texts(names, recursive, stdin or sys.stdin.buffer.read):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as err:
            line = data.count(b"\n", 0, err.start) + 1
            found.append(Problem(Stage.PARSE, source, line, f"line {line}: not UTF-8 text", expected="UTF-8"))
            continue
        try:
            documents += decode(text, source)
        except ManifestError as err:
            found += err.problems
    if found:
        raise ManifestError(found)
    return documents


def _texts(names: Iterable[str], recursive: bool, stdin: Callable[[], bytes]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name == "-":
            yield STDIN, stdin()
        elif name.startswith(("http://", "https://")):
            yield name, _fetch(name)
        else:
            for path in _files(name, recursive):
                try:
                    yield str(path), path.read_bytes()
                except OSError as err:
                    raise NoManifest(f'the path "{path}" cannot be accessed: {err.strerror}') from err


def _files(name: str, recursive: bool) -> list[Path]:
    path = Path(name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as err:
        raise NoManifest(f'the path "{name}" cannot be accessed: {err}') from err
    if not exists:
        if matching := _matching(name):
            return [file for found in matching for file in _files(found, recursive)]
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
            data: bytes = answer.read(MAX_URL_BYTES + 1)
    except urllib.error.HTTPError as err:
        told = f"server reported {err.code} {err.reason}, status code={err.code}"
        err.close()
        raise NoManifest(f'unable to read URL "{url}", {told}') from err
    except (OSError, ValueError) as err:
        raise NoManifest(f'unable to read URL "{url}": {getattr(err, "reason", err)}') from err
    if len(data) > MAX_URL_BYTES:
        raise NoManifest(f'unable to read URL "{url}": it is larger than {MAX_URL_BYTES} bytes')
    return data
