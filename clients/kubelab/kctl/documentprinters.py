"""Prints objects in the formats of ``-o`` that are no table (k8s.io/cli-runtime ``printers``).

A printer gets one document after another, each as JSON has it: an object, or a ``v1 List`` of several.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.commonflags import OutputFormat
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from google.protobuf.message import Message

Document = dict[str, Any]


class DocumentPrinter(Protocol):
    """Gives documents as text."""

    def render(self, document: Document) -> str:
        """Give one document as text. Raises Failed when a template does not fit it."""
        ...


@dataclass(frozen=True, slots=True)
class PrintFlags:
    """The values of a format's flags (kubectl's ``PrintFlags``). ``output`` is ``yaml`` or ``jsonpath={.a}``."""

    output: str
    template: str = ""
    allow_missing_keys: bool = True
    show_managed_fields: bool = False
    no_headers: bool = False  # of custom columns

    @classmethod
    def of(cls, output: str) -> PrintFlags:
        """Take the value of ``--output`` with what the flags of templates say."""
        if isinstance(output, OutputFormat):
            return cls(output, output.template, output.allow_missing_keys, output.show_managed_fields)
        return cls(output)


def printer_of(flags: PrintFlags, *, also: Sequence[str] = (), columns: bool = False) -> DocumentPrinter:
    """Make the printer of a format. Raises UsageProblem in kubectl's words.

    ``also`` are formats that the caller prints itself, for the message; ``columns`` allows custom columns.
    """
    output = "go-template" if flags.template and not flags.output else flags.output
    name, given, text = output.partition("=")
    made = {**_MAKERS, **(_COLUMN_MAKERS if columns else {})}.get(name)
    if made is None or (given and name in ("json", "yaml", "name")):
        allowed = sorted({*_MAKERS, *also, *(_COLUMN_MAKERS if columns else ())})
        raise UsageProblem(
            f'unable to match a printer suitable for the output format "{output}", allowed formats are: '
            f"{','.join(allowed)}"
        )
    return made(text or flags.template, flags)


def document_of(obj: Message) -> Document:
    """Give an object as JSON has it; a Scale too, which is a subresource of many kinds."""
    from kubelab.apimachinery.manifest import encode

    document = encode.to_dict(obj)
    if "kind" not in document and obj.DESCRIPTOR.name == "Scale":
        document = {"apiVersion": "autoscaling/v1", "kind": "Scale", **document}
    return document


def for_terminal(text: str) -> str:
    """Escape what a template took from objects where a terminal shows it; a file or a pipe gets it as it is."""
    return escaped(text) if sys.stdout.isatty() else text


def names_of(document: Document) -> list[str]:
    """Give ``pod/web`` of an object, or of each in a list."""
    if isinstance(items := document.get("items"), list) and str(document.get("kind", "")).endswith("List"):
        return [name for item in items for name in names_of(item)]
    group, slash, _ = str(document.get("apiVersion", "")).partition("/")
    kind = str(document.get("kind", "")).lower()
    noun = f"{kind}.{group}" if slash else kind
    return [f"{noun}/{escaped(str((document.get('metadata') or {}).get('name', '')))}"]


@dataclass(slots=True)
class JSONPrinter:
    """``-o json``."""

    show_managed_fields: bool = False

    def render(self, document: Document) -> str:
        from kubelab.apimachinery.manifest import encode

        return encode.to_json(document if self.show_managed_fields else _without_managed_fields(document))


@dataclass(slots=True)
class YAMLPrinter:
    """``-o yaml``; ``---`` stands before the second document and those after it."""

    show_managed_fields: bool = False
    _printed: int = 0

    def render(self, document: Document) -> str:
        from kubelab.apimachinery.manifest import encode

        self._printed += 1
        shown = document if self.show_managed_fields else _without_managed_fields(document)
        return ("---\n" if self._printed > 1 else "") + encode.to_yaml(shown)


@dataclass(slots=True)
class NamePrinter:
    """``-o name``."""

    def render(self, document: Document) -> str:
        return "".join(f"{name}\n" for name in names_of(document))


class JSONPathPrinter:
    """``-o jsonpath=…``; ``as_json`` prints each action's results as a list."""

    def __init__(self, text: str, *, allow_missing_keys: bool, as_json: bool = False) -> None:
        from kubelab.apimachinery.jsonpath import JSONPath, JSONPathError

        self._text, self._as_json = text, as_json
        try:
            self._path = JSONPath(text, allow_missing_keys=allow_missing_keys)
        except JSONPathError as err:
            raise UsageProblem(f"error parsing jsonpath {text}, {err}") from err

    def render(self, document: Document) -> str:
        from kubelab.apimachinery.jsonpath import JSONPathError

        try:
            if self._as_json:
                found = self._path.find(document)
                return "".join(_json_list(values) for values in found)
            return for_terminal(self._path.text(document))
        except JSONPathError as err:
            raise Failed(
                f"error: error executing jsonpath {json.dumps(self._text, ensure_ascii=False)}: "
                f"Error executing template: {err}. Printing more "
                f"information for debugging the template:\n\ttemplate was:\n\t\t{self._text}\n"
                f"\tobject given to jsonpath engine was:\n\t\t{json.dumps(document, ensure_ascii=False)}\n"
            ) from err


class GoTemplatePrinter:
    """``-o go-template=…``."""

    def __init__(self, text: str, *, allow_missing_keys: bool) -> None:
        from kubelab.kctl.gotemplate import GoTemplate, TemplateError

        self._text = text
        try:
            self._template = GoTemplate(text, allow_missing_keys=allow_missing_keys)
        except TemplateError as err:
            raise UsageProblem(f"error parsing template {text}, {err}") from err

    def render(self, document: Document) -> str:
        from kubelab.kctl.gotemplate import TemplateError

        try:
            return for_terminal(self._template.execute(document))
        except TemplateError as err:
            quoted = json.dumps(self._text, ensure_ascii=False)
            raise Failed(f"error: error executing template {quoted}: {err}") from err


def _json_list(values: Sequence[Any]) -> str:
    from kubelab.apimachinery.manifest import encode

    return encode.to_json(list(values))


def _without_managed_fields(document: Document) -> Document:
    """Leave out ``metadata.managedFields`` of an object, or of each in a list, as kubectl does by default."""
    items = document.get("items")
    if isinstance(items, list):
        return {**document, "items": [_without_managed_fields(i) if isinstance(i, dict) else i for i in items]}
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return document
    shown = copy.copy(document)
    shown["metadata"] = {key: value for key, value in metadata.items() if key != "managedFields"}
    return shown


def _given(text: str) -> str:
    if not text:
        raise UsageProblem("template format specified but no template given")
    return text


def _read(path: str) -> str:
    try:
        return Path(_given(path)).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as err:
        why = (err.strerror or "").lower() if isinstance(err, OSError) else "it is not UTF-8 text"
        raise UsageProblem(f"error reading --template {path}, open {path}: {why}") from err


def _json(text: str, flags: PrintFlags) -> DocumentPrinter:
    return JSONPrinter(flags.show_managed_fields)


def _yaml(text: str, flags: PrintFlags) -> DocumentPrinter:
    return YAMLPrinter(flags.show_managed_fields)


def _name(text: str, flags: PrintFlags) -> DocumentPrinter:
    return NamePrinter()


def _jsonpath(text: str, flags: PrintFlags) -> DocumentPrinter:
    return JSONPathPrinter(_given(text), allow_missing_keys=flags.allow_missing_keys)


def _jsonpath_file(text: str, flags: PrintFlags) -> DocumentPrinter:
    return JSONPathPrinter(_read(text), allow_missing_keys=flags.allow_missing_keys)


def _jsonpath_as_json(text: str, flags: PrintFlags) -> DocumentPrinter:
    return JSONPathPrinter(_given(text), allow_missing_keys=flags.allow_missing_keys, as_json=True)


def _go_template(text: str, flags: PrintFlags) -> DocumentPrinter:
    return GoTemplatePrinter(_given(text), allow_missing_keys=flags.allow_missing_keys)


def _go_template_file(text: str, flags: PrintFlags) -> DocumentPrinter:
    return _go_template(_read(text), flags)


def _custom_columns(text: str, flags: PrintFlags) -> DocumentPrinter:
    from kubelab.kctl.customcolumns import CustomColumnsPrinter

    return CustomColumnsPrinter.from_spec(text, no_headers=flags.no_headers)


def _custom_columns_file(text: str, flags: PrintFlags) -> DocumentPrinter:
    from kubelab.kctl.customcolumns import CustomColumnsPrinter

    return CustomColumnsPrinter.from_file(text)


_Maker = Callable[[str, PrintFlags], DocumentPrinter]
_MAKERS: Mapping[str, _Maker] = {
    "go-template": _go_template,
    "go-template-file": _go_template_file,
    "json": _json,
    "jsonpath": _jsonpath,
    "jsonpath-as-json": _jsonpath_as_json,
    "jsonpath-file": _jsonpath_file,
    "name": _name,
    "template": _go_template,
    "templatefile": _go_template_file,
    "yaml": _yaml,
}
_COLUMN_MAKERS: Mapping[str, _Maker] = {
    "custom-columns": _custom_columns,
    "custom-columns-file": _custom_columns_file,
}
