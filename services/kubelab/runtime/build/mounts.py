"""``RUN --mount=…``: what is mounted while one command runs
(https://docs.docker.com/reference/dockerfile/#run---mount)."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass

from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.build.instructions import WAY_ROUND

TYPES = ("bind", "cache", "tmpfs", "secret")
SHARING = ("shared", "private", "locked")
MAX_ID = 2**32 - 2
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE)
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = {
    "bind": ("from", "source", "target", "readonly", "readwrite"),
    "cache": ("id", "from", "source", "target", "readonly", "readwrite", "sharing", "mode", "uid", "gid"),
    "tmpfs": ("target", "size", "readwrite"),
    "secret": ("id", "source", "target", "required", "mode", "uid", "gid", "env"),
}


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. ``target`` is as it is written, relative to WORKDIR; ``mode``, ``uid``, ``gid`` None: the default."""

    kind: str
    target: str = ""
    source: str = ""
    stage: str = ""  # of from=; "" is the build context
    name: str = ""  # a cache's or a secret's id
    read_only: bool = False
    sharing: str = "shared"
    required: bool = False
    environment: str = ""  # a secret as a variable
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None


def stage_of(text: str) -> str:
    """Where a mount comes from: the value of ``from=``, which has no variables; SyntaxFault."""
    fields = dict(_fields(text))
    stage = fields.get("from") or ""
    if re.search(r"\$.", stage):
        raise SyntaxFault("'from' doesn't support variable expansion, define alias stage instead")
    return stage


def parse(text: str, expand: Callable[[str], str]) -> Mount:
    """Read one ``--mount``; SyntaxFault."""
    options = [(key, expand(value) if value is not None else None) for key, value in _fields(text)]
    kind = next((value or "" for key, value in options if key == "type"), "bind").lower()
    if kind == "ssh":
        raise SyntaxFault(f"RUN --mount=type=ssh is not supported by `kubelab image build`. {WAY_ROUND}")
    if kind not in TYPES:
        raise SyntaxFault(f'unsupported mount type "{kind[:60]}"')
    values: dict[str, str] = {}
    for key, value in options:
        if key == "type":
            continue
        if key not in _KEYS[kind]:
            raise SyntaxFault(f"unexpected key '{key[:60]}' for mount type '{kind}'")
        if value is None and key not in ("readonly", "readwrite", "required"):
            raise SyntaxFault(f"invalid field '{key}' must be a key=value pair")
        values[key] = "true" if value is None else value
    return _checked(_mount(kind, values))


def _fields(text: str) -> list[tuple[str, str | None]]:
    """``type=cache,target=/x,ro``, with quotes as in CSV."""
    if "\n" in text or "\r" in text:
        raise SyntaxFault("failed to parse csv mounts: a line break")
    try:
        (fields,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as err:
        raise SyntaxFault(f"failed to parse csv mounts: {err}") from err
    pairs: list[tuple[str, str | None]] = []
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.lower()
        pairs.append((_ALIASES.get(key, key), value if equals else None))
    return pairs


def _mount(kind: str, values: dict[str, str]) -> Mount:
    writable = kind in ("cache", "tmpfs")
    read_only = not writable
    if "readonly" in values:
        read_only = _flag("readonly", values["readonly"])
    if "readwrite" in values:
        read_only = not _flag("readwrite", values["readwrite"])
    sharing = values.get("sharing", "shared").lower()
    if sharing not in SHARING:
        raise SyntaxFault(f'unsupported sharing value "{sharing[:60]}"')
    return Mount(
        kind=kind,
        target=values.get("target", ""),
        source=values.get("source", ""),
        stage=values.get("from", ""),
        name=values.get("id", ""),
        read_only=read_only,
        sharing=sharing,
        required=_flag("required", values.get("required", "false")),
        environment=values.get("env", ""),
        mode=_number("mode", values, 8, 0o7777),
        uid=_number("uid", values, 10, MAX_ID),
        gid=_number("gid", values, 10, MAX_ID),
        size=_size(values["size"]) if "size" in values else None,
    )


def _checked(mount: Mount) -> Mount:
    if mount.kind == "secret":
        if not (mount.source or mount.target or mount.name or mount.environment):
            raise SyntaxFault("invalid secret mount. one of source, target required")
        if mount.source and mount.name:
            raise SyntaxFault("both source and id can't be set")
    elif not mount.target:
        raise SyntaxFault(f"RUN --mount=type={mount.kind}: target is required")
    if mount.kind == "cache" and (mount.stage or mount.source):
        raise SyntaxFault("RUN --mount=type=cache with from or source is not supported by `kubelab image build`")
    return mount


def _flag(key: str, value: str) -> bool:
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise SyntaxFault(f"invalid value for {key}: {value[:60]}")


def _number(key: str, values: dict[str, str], base: int, most: int) -> int | None:
    if key not in values:
        return None
    text = values[key]
    if not re.fullmatch(r"[0-7]{1,12}" if base == 8 else r"\d{1,12}", text, re.ASCII) or int(text, base) > most:
        raise SyntaxFault(f"invalid value {text[:60]} for {key}")
    return int(text, base)


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text) if len(text) <= 30 else None
    if match is None:
        raise SyntaxFault(f"invalid value for size: {text[:60]}")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))
