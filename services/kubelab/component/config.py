"""A component's configuration: a dataclass, filled from its defaults, then a YAML file, then flags.

Keys in the file are camelCase (``bindAddress``), flags are the field's name with dashes (``--bind-address``, and
``--tls-ca`` for a field of a nested dataclass). A field's metadata may say otherwise: ``{"yaml": "podCIDR"}``.
Each error is a :class:`ConfigError` that names the file (or the flag), the key, the value and what was expected.
"""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar, cast, get_args, get_origin

import yaml

from kubelab.apimachinery import durations
from kubelab.apimachinery.version import GIT_VERSION

# libyaml's, where it is there: ten times as quick, and every component reads a file while the cluster starts.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the most that a setting may be: ``Annotated[int, Range(1, 65535)]``."""

    least: float
    most: float

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most  # not-a-number is in no range

    def __str__(self) -> str:
        return f"from {self.least:g} to {self.most:g}"


WEEK = 7 * 24 * 3600.0
Duration = Annotated[float, Range(0, WEEK)]
"""Seconds; 0 may mean at once, or never."""
Period = Annotated[float, Range(0.001, WEEK)]
"""Seconds between two times of something that is done again and again, or that something may last."""
Parallelism = Annotated[int, Range(1, 10_000)]
"""A number of things that run at the same time."""


class ConfigError(Exception):
    """The configuration cannot be used; the message says which value of which key of which file, and why."""


class HelpShown(Exception):
    """The user asked for help or for the version, and has it."""


@dataclass(frozen=True, kw_only=True)
class TLS:
    """Three PEM files: the authority to trust, this process's certificate and its key (mutual TLS)."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(kw_only=True)
class BaseConfig:
    """The settings of every component. Each component derives its own from it."""

    name: str = ""  # scheduler@cp-1; by default the component at this host
    kubeconfig: Path | None = None  # how to reach the api-server
    bind_address: str = ""  # host:port of the gRPC server
    metrics_address: str = ""  # host:port of /metrics, /livez and /readyz over HTTPS; "" or port 0: off
    tls: TLS | None = None  # for both servers
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"


C = TypeVar("C", bound=BaseConfig)


def load(kind: type[C], argv: Sequence[str], *, prog: str) -> C:
    """Read ``argv`` (and the file that ``--config`` names). Raises ConfigError, or HelpShown after ``--help``."""
    parser = _Parser(prog=prog, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--config", metavar="FILE", help="YAML file; flags win over it", default=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=GIT_VERSION)
    flags = _flags(kind)
    for flag, (path, hint) in flags.items():
        parser.add_argument(
            f"--{flag}", dest="/".join(path), metavar=_expected(hint).upper(), default=argparse.SUPPRESS, help=" "
        )
    try:
        parsed = vars(parser.parse_args([*argv]))
    except SystemExit as ended:  # --help and --version print and leave
        raise HelpShown from ended
    file = parsed.pop("config", None)
    document: dict[str, Any] = read_file(Path(file)) if file else {}
    values = _from_mapping(kind, document, file or "", ())
    for name, text in parsed.items():
        path = tuple(name.split("/"))
        flag = "-".join(path).replace("_", "-")
        hint = flags[flag][1]
        _put(values, path, _from_text(hint, text, f"--{flag}"))
    return _build(kind, values, file or "command line", ())


def check(kind: type[BaseConfig], settings: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError for a key or a value that ``kind`` would not take; ``where`` stands for the file."""
    _build(kind, _from_mapping(kind, settings, where, ()), where, ())


def read_file(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping."""
    try:
        document: object = yaml.load(path.read_text(), Loader=_LOADER)
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: {err}") from err
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, got {_shown(document)}")
    return cast(dict[str, Any], document)


def document_of(config: Any) -> dict[str, Any]:
    """Give a configuration as its file would have it, with every default."""
    return {f.metadata.get("yaml", camel(f.name)): _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return document_of(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in cast("Sequence[Any]", value)]
    return str(value) if isinstance(value, Path) else value


def camel(name: str) -> str:
    """``bind_address`` → ``bindAddress``."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _flags(kind: type[Any], path: tuple[str, ...] = ()) -> dict[str, tuple[tuple[str, ...], Any]]:
    by_name: dict[str, tuple[tuple[str, ...], Any]] = {}
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        here = (*path, field.name)
        nested = _nested(hints[field.name])
        if nested:
            by_name.update(_flags(nested, here))
        elif not any(_nested(item) for item in get_args(hints[field.name])):  # a list of mappings is the file's alone
            by_name["-".join(here).replace("_", "-")] = (here, hints[field.name])
    return by_name


def _nested(hint: Any) -> type[Any] | None:
    """Give the dataclass of a field that is one, or may be one."""
    return next((h for h in (hint, *_members(hint)) if isinstance(h, type) and dataclasses.is_dataclass(h)), None)


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else ()


def _from_mapping(kind: type[Any], document: Mapping[str, Any], file: str, path: tuple[str, ...]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {field.metadata.get("yaml", camel(field.name)): field for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in document.items():
        field = fields.get(key)
        where = ".".join((*path, str(key)))
        if field is None:
            raise ConfigError(f"{file}: unknown key {where!r}; expected one of {', '.join(sorted(fields))}")
        values[field.name] = _from_yaml(hints[field.name], value, file, (*path, str(key)))
    return values


def _from_yaml(hint: Any, value: Any, file: str, path: tuple[str, ...]) -> Any:
    nested = _nested(hint)
    if nested:
        if value is None and type(None) in _members(hint):
            return None
        if isinstance(value, dict):
            return _from_mapping(nested, cast(dict[str, Any], value), file, path)
        raise _wrong(file, ".".join(path), value, "a mapping")
    return _convert(hint, value, file, ".".join(path))


def _convert(hint: Any, value: Any, file: str, key: str) -> Any:
    """Give ``value`` as the field's type, or say what is wrong with it."""
    if get_origin(hint) is Annotated:
        plain, limits = get_args(hint)
        number = _number(plain, value)
        if number is None or number not in limits:
            raise _wrong(file, key, value, _expected(hint))
        return number
    members = _members(hint)
    origin = get_origin(hint)
    if members:
        if value is None and type(None) in members:
            return None
        return _convert(next(m for m in members if m is not type(None)), value, file, key)
    if origin is Literal:
        if value in get_args(hint):
            return value
    elif origin in (tuple, list) and isinstance(value, list):
        item = get_args(hint)[0]
        items = [_item(item, v, file, f"{key}[{n}]") for n, v in enumerate(cast(list[Any], value))]
        return tuple(items) if origin is tuple else items
    elif origin in (dict, Mapping) and isinstance(value, dict):
        item = get_args(hint)[1]
        return {str(k): _item(item, v, file, f"{key}.{k}") for k, v in cast(dict[Any, Any], value).items()}
    elif hint is bool:
        if isinstance(value, bool):
            return value
    elif hint in (int, float):
        number = _number(hint, value)
        if number is not None:
            return number
    elif hint in (str, Path) and isinstance(value, str):
        return hint(value)
    raise _wrong(file, key, value, _expected(hint))


def _number(hint: Any, value: Any) -> float | None:
    """Give a value as a number of the type; None when it is none. Texts may be durations, in seconds."""
    if hint is float and isinstance(value, str):
        try:
            return durations.parse_or_seconds(value)
        except durations.DurationError:
            return None
    if isinstance(value, bool) or not isinstance(value, int if hint is int else (int, float)):
        return None
    return value if hint is int else float(value)


def _item(hint: Any, value: Any, file: str, key: str) -> Any:
    nested = _nested(hint)
    if nested is None:
        return _convert(hint, value, file, key)
    if not isinstance(value, dict):
        raise _wrong(file, key, value, "a mapping")
    path = (key,)
    return _build(nested, _from_mapping(nested, cast(dict[str, Any], value), file, path), file, path)


def _from_text(hint: Any, text: str, flag: str) -> Any:
    """Read a flag: text is text, a list is separated by commas, everything else is written as in YAML."""
    plain = next((m for m in _members(hint) if m is not type(None)), hint)
    origin = get_origin(plain)
    if plain in (str, Path) or (origin is Literal and isinstance(get_args(plain)[0], str)):
        value: object = text
    elif origin in (tuple, list):
        value = [yaml.safe_load(part) if get_args(plain)[0] not in (str, Path) else part for part in text.split(",")]
    else:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
    return _convert(hint, value, "command line", flag)


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        inner = values.get(name)
        if inner is None:
            inner = values[name] = {}
        values = inner
    values[path[-1]] = value


def _build(kind: type[Any], values: Mapping[str, Any], file: str, path: tuple[str, ...]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    field_values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        nested = _nested(hints[field.name])
        here = (*path, field.metadata.get("yaml", camel(field.name)))
        if field.name in values:
            value = values[field.name]
            field_values[field.name] = (
                _build(nested, value, file, here) if nested and isinstance(value, dict) else value
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{file}: {'.'.join(here)}: required value, expected {_expected(hints[field.name])}")
    try:
        return kind(**field_values)
    except ValueError as err:  # a dataclass checks itself in __post_init__
        raise ConfigError(f"{file}: {'.'.join((*path, str(err)))}") from err


def _wrong(file: str, key: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"{file}: {key}: got {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _expected(hint: Any) -> str:
    members = [m for m in _members(hint) if m is not type(None)]
    if members:
        return _expected(members[0])
    origin = get_origin(hint)
    if origin is Annotated:
        inner, limits = get_args(hint)
        return f"{_expected(inner)} {limits}"
    if origin is Literal:
        return " | ".join(str(a) for a in get_args(hint))
    if origin in (tuple, list):
        return f"list of {_expected(get_args(hint)[0])}"
    if origin in (dict, Mapping):
        return f"mapping to {_expected(get_args(hint)[1])}"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return "mapping"
    words: dict[Any, str] = {bool: "true | false", int: "integer", float: "number", str: "text", Path: "file"}
    return words.get(hint, str(hint))
