"""Parse text into nodes with line numbers: YAML (several documents) or JSON (several values).

Plain scalars mean what they mean to sigs.k8s.io/yaml, which Kubernetes reads manifests with: YAML 1.1 truth values
(``yes``, ``on``, ``y`` …) and octal numbers, but neither dates nor numbers of base 60.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import yaml

from kubelab.apimachinery.manifest.diagnostics import DecodeStage, Diagnostic, Diagnostics, ManifestError

Scalar = str | int | float | bool | None

TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"])
FALSE = frozenset(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"])
NULL = frozenset(("", "~", "null", "Null", "NULL"))
SPECIAL_FLOATS = {
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"([-+]?)0(?:b([01]+)|x([0-9a-fA-F]+)|o([0-7]+)|([0-7]+))")
_SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SPECIAL_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

PLAIN = "kubelab/plain"  # the tag of an unquoted scalar: what it means is decided here, not by PyYAML
MERGE = "<<"
MAX_DEPTH = 200  # far more than an object needs; keeps a hostile file from exhausting the stack
SHALLOW_CHARACTERS = 4000  # a shorter text cannot nest deeply enough to do harm
MAX_DIGITS = 400  # a longer number is text; Python writes no integer of more than 4300 digits
MAX_KEY = 1024  # characters of a mapping's key; YAML's own limit for a key without a question mark
MAX_NODES = 2_000_000  # of one document: what is read takes about a kilobyte for each
MAX_DOCUMENTS = 50_000  # of one text
TOO_MANY = f"more than {MAX_DOCUMENTS} documents in one text"
TOO_DEEP = "document is nested too deeply or too large"
ALIASED_NODES = 100_000  # more nodes than characters: so many may aliases add ("a billion laughs" adds more)

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is libyaml's and ten times as fast


class _Composer(_LOADER):
    """Composes nodes and leaves plain scalars unresolved."""

    def resolve(self, kind: type[yaml.Node], value: object, implicit: object) -> str:
        if kind is yaml.ScalarNode:
            return PLAIN if cast(tuple[bool, bool], implicit)[0] else "tag:yaml.org,2002:str"
        return "tag:yaml.org,2002:seq" if kind is yaml.SequenceNode else "tag:yaml.org,2002:map"


@dataclass(frozen=True, slots=True)
class YAMLNode:
    """A YAML node with the line it starts at. ``value`` is a scalar, a list of nodes, or (key, key's line, node)s.

    ``written`` is the file's text of a scalar that means no text: ``NO`` where ``value`` is False.
    """

    line: int
    value: Scalar | list[YAMLNode] | list[tuple[str, int, YAMLNode]]
    is_mapping: bool = False
    written: str = ""

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list) and not self.is_mapping

    def items(self) -> list[tuple[str, int, YAMLNode]]:
        """Give the entries of a mapping, in the order of the text."""
        return cast(list[tuple[str, int, "YAMLNode"]], self.value) if self.is_mapping else []

    def elements(self) -> list[YAMLNode]:
        """Give the elements of a list."""
        return cast(list["YAMLNode"], self.value) if self.is_list else []

    def get(self, key: str) -> YAMLNode | None:
        """Give the value of a key of a mapping; the first where it is there twice."""
        return next((node for name, _, node in self.items() if name == key), None)

    def shown(self) -> str:
        """Say what was found, as JSON, shortened."""
        return shortened(json.dumps(plain(self), ensure_ascii=False, default=str))


def shortened(text: str) -> str:
    """Cut what is too long for a message."""
    return text if len(text) <= 80 else text[:77] + "..."


def plain(node: YAMLNode) -> Any:
    """Give the node as Python's own types."""
    if node.is_mapping:
        return {key: plain(value) for key, _, value in node.items()}
    if node.is_list:
        return [plain(value) for value in node.elements()]
    return node.value


def parse(text: str, source: str) -> list[YAMLNode]:
    """Split a text into documents; empty ones are left out. Raises ManifestError for text that cannot be read.

    Duplicate keys are errors of the document, reported together with syntax errors.
    """
    diagnostics = Diagnostics()
    documents: list[YAMLNode] = []
    for n, (first_line, piece) in enumerate(_pieces(text)):
        try:
            if n >= MAX_DOCUMENTS:
                raise yaml.MarkedYAMLError(problem=f"{TOO_MANY}: line {first_line}")
            for root in _compose(piece):
                node = _Converter(source, first_line, diagnostics, len(piece)).convert(root, 0)
                if node.value is not None:
                    documents.append(node)
        except yaml.MarkedYAMLError as err:
            diagnostics.append(_syntax_error(err, source, first_line, text))
        except yaml.YAMLError as err:
            diagnostics.append(_unreadable(err, source, text))
    if diagnostics:
        raise ManifestError(diagnostics)
    return documents


def resolve(text: str) -> Scalar:
    """Say what an unquoted scalar means: None, bool, int, float or the text itself."""
    if text in NULL:
        return None
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    if text in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[text]
    bare = text.replace("_", "")
    if len(bare) >= MAX_DIGITS:
        return text
    if based := _BASED.fullmatch(bare):
        sign, *digits = based.groups()
        base, value = next((base, d) for base, d in zip((2, 16, 8, 8), digits, strict=True) if d is not None)
        return int(sign + value, base)
    if _INTEGER.fullmatch(bare):
        return int(bare)
    if _FLOAT.fullmatch(bare):
        return float(bare)
    return text


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut a stream of JSON values into one piece each, with the line it starts at; YAML is one piece."""
    stripped = text.lstrip("\ufeff \t\r\n")
    if not stripped.startswith("{"):
        yield 1, text.removeprefix("\ufeff")
        return
    pieces: list[tuple[int, str]] = []
    decoder = json.JSONDecoder()
    position = len(text) - len(stripped)
    line, counted = 1, 0
    try:
        while position < len(text) and len(pieces) <= MAX_DOCUMENTS:
            _, end = decoder.raw_decode(text, position)
            line += text.count("\n", counted, position)
            counted = position
            pieces.append((line, _as_yaml(text[position:end])))
            position = end
            while position < len(text) and text[position] in " \t\r\n":
                position += 1
    except (json.JSONDecodeError, RecursionError):
        yield 1, text  # flow-style YAML, or JSON with a mistake that the YAML parser will name
        return
    yield from pieces


def _as_yaml(text: str) -> str:
    """Write JSON so that YAML reads the same.

    YAML has no surrogate pairs: each becomes the one character it stands for. And what YAML takes for a line break or
    refuses is escaped; in JSON it can only stand inside quotes.
    """

    def join(match: re.Match[str]) -> str:
        high, low = (int(part, 16) for part in match.groups())
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    return _SPECIAL_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", _SURROGATES.sub(join, text))


def _check_depth(text: str) -> None:
    """Refuse what is nested too deeply or too large before nodes are made: libyaml recurses, and knows no limit."""
    if len(text) < SHALLOW_CHARACTERS:
        return
    composer = _Composer(text)
    depth = nodes = documents = 0
    try:
        while not isinstance(event := composer.get_event(), yaml.StreamEndEvent):
            nodes = 0 if isinstance(event, yaml.DocumentStartEvent) else nodes + 1
            documents += not nodes
            if documents > MAX_DOCUMENTS:
                raise yaml.MarkedYAMLError(problem=TOO_MANY, problem_mark=cast(Any, event).start_mark)
            if nodes > MAX_NODES:
                raise yaml.MarkedYAMLError(problem=TOO_DEEP, problem_mark=cast(Any, event).start_mark)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise yaml.MarkedYAMLError(problem=TOO_DEEP, problem_mark=cast(Any, event).start_mark)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    finally:
        composer.dispose()


def _compose(text: str) -> Iterator[yaml.Node]:
    _check_depth(text)
    composer = _Composer(text)
    try:
        while composer.check_node():
            yield composer.get_node()
    finally:
        composer.dispose()


def _syntax_error(err: yaml.MarkedYAMLError, source: str, first_line: int, text: str) -> Diagnostic:
    mark = err.problem_mark or err.context_mark
    line = mark.line + first_line if mark else 0
    what = err.problem or err.context or "not YAML"
    message = f"error converting YAML to JSON: yaml: line {line}: {what}"
    lines = text.splitlines()
    value = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return Diagnostic(DecodeStage.PARSE, source, line, message, value=shortened(value), expected="YAML or JSON")


def _unreadable(err: yaml.YAMLError, source: str, text: str) -> Diagnostic:
    """Say where the text has a character that no YAML may have; libyaml itself names no line."""
    character = _NOT_YAML.search(text)
    if character is None:
        return Diagnostic(
            DecodeStage.PARSE, source, 0, f"error converting YAML to JSON: yaml: {' '.join(str(err).split())}"
        )
    line = text.count("\n", 0, character.start()) + 1
    message = f"error converting YAML to JSON: yaml: line {line}: character U+{ord(character[0]):04X} is not allowed"
    return Diagnostic(
        DecodeStage.PARSE, source, line, message, value=f"U+{ord(character[0]):04X}", expected="YAML or JSON"
    )


class _Converter:
    """One document's nodes, from PyYAML's to ours: scalars resolved, keys made strings, merges and aliases followed."""

    def __init__(self, source: str, first_line: int, diagnostics: list[Diagnostic], characters: int) -> None:
        self._source, self._first_line, self._diagnostics = source, first_line, diagnostics
        self._remaining = characters + ALIASED_NODES

    def convert(self, node: yaml.Node, depth: int) -> YAMLNode:
        self._remaining -= 1
        if depth > MAX_DEPTH or self._remaining < 0:
            raise yaml.MarkedYAMLError(problem=TOO_DEEP, problem_mark=node.start_mark)
        line = self._line(node)
        if isinstance(node, yaml.ScalarNode):
            value = self._scalar(node)
            return YAMLNode(line, value, written="" if isinstance(value, str) else cast(str, node.value))
        if isinstance(node, yaml.SequenceNode):
            return YAMLNode(line, [self.convert(child, depth + 1) for child in cast(list[yaml.Node], node.value)])
        return YAMLNode(line, self._mapping(node, depth), is_mapping=True)

    def _mapping(self, node: yaml.Node, depth: int) -> list[tuple[str, int, YAMLNode]]:
        entries: dict[str, tuple[str, int, YAMLNode]] = {}
        merged: list[YAMLNode] = []
        for key_node, value_node in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
            line = self._line(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="invalid map key", problem_mark=key_node.start_mark)
            if key_node.tag == PLAIN and key_node.value == MERGE:
                value = self.convert(value_node, depth + 1)
                merged += [value] if value.is_mapping else value.elements()
                continue
            key = _key(self._scalar(key_node))
            if len(key) > MAX_KEY:
                message = f"map key is longer than {MAX_KEY} characters"
                raise yaml.MarkedYAMLError(problem=message, problem_mark=key_node.start_mark)
            if key in entries:
                self._duplicate(key, line, entries[key][1])
                continue
            entries[key] = (key, line, self.convert(value_node, depth + 1))
        for source in merged:
            for entry in source.items():
                entries.setdefault(entry[0], entry)
        return list(entries.values())

    def _duplicate(self, key: str, line: int, first: int) -> None:
        message = f'error converting YAML to JSON: yaml: line {line}: key "{key}" already set in map (line {first})'
        diagnostic = Diagnostic(
            DecodeStage.PARSE, self._source, line, message, path=key, value=key, expected="each key once"
        )
        if diagnostic not in self._diagnostics:  # a mapping with aliases is met several times
            self._diagnostics.append(diagnostic)

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        text = cast(str, node.value)
        if node.tag == PLAIN:
            return resolve(text)
        short = node.tag.removeprefix("tag:yaml.org,2002:")
        if short in ("int", "float", "bool", "null"):
            return resolve(text)
        return text

    def _line(self, node: yaml.Node) -> int:
        return node.start_mark.line + self._first_line


@functools.singledispatch
def _key(value: object) -> str:
    """Give a mapping's key as sigs.k8s.io/yaml writes it in JSON."""
    return str(value)


@_key.register
def _(value: bool) -> str:  # pyright: ignore[reportUnusedFunction]
    return "true" if value else "false"


@_key.register
def _(value: None) -> str:  # pyright: ignore[reportUnusedFunction]
    return "null"
