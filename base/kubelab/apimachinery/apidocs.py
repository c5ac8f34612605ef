"""Every kind and what becomes of its fields, as a page: ``python -m kubelab.apimachinery.apidocs [--write FILE]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kubelab.api.tables import marks, spelling
from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.marks import STORED
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.scheme import PODS, Resource

_INTRODUCTION = f"""\
# The API: kinds and fields

<!-- made by make api from the registry of resources and the options of protos/ -->

The served kinds have every field of Kubernetes 1.32, with its names and numbers; the api-server refuses any other.
Below stands, object by object, what becomes of each:

- **honoured**: kubelab acts on it, or keeps it for those who read it, as Kubernetes does.
- **stored**: the api-server keeps it and answers with a warning, `PATH: {STORED}`.
- **refused**: Invalid, since without its effect the object would be less safe than written.

What is in `status` is written by kubelab's own components.
"""
_META = "metadata"
_POD_TEMPLATE = "template"


class Fields(NamedTuple):
    """What becomes of the fields of one object inside a kind, such as ``spec.containers[*]``."""

    path: str
    honoured: list[str]
    stored: list[str]
    refused: list[tuple[str, str]]
    """Names, and why."""


def page() -> str:
    """Give the whole page."""
    return "\n".join([_INTRODUCTION, *_every_kind(), *_kinds()])


def _every_kind() -> Iterator[str]:
    yield "## Every kind\n"
    yield from _table([f for f in of_resource(PODS) if f.path.startswith(_META)])


def _kinds() -> Iterator[str]:
    for resource in sorted(scheme.ALL, key=lambda r: (r.kind, r.api_version)):
        yield f"## {resource.kind} ({resource.api_version})\n"
        yield _names(resource)
        specific = [f for f in of_resource(resource) if not f.path.startswith(_META)]
        if any(f.path.endswith(_POD_TEMPLATE) for f in specific):
            yield f"In `{next(f.path for f in specific if f.path.endswith(_POD_TEMPLATE))}`, what a Pod has.\n"
        yield from _table([f for f in specific if _POD_TEMPLATE + "." not in f.path + "."])


def _names(resource: Resource[Message]) -> str:
    parts = [f"`{resource.qualified}`"]
    if resource.short_names:
        parts.append("short " + ", ".join(f"`{name}`" for name in resource.short_names))
    parts.append("in a namespace" if resource.namespaced else "of the cluster")
    parts.append("verbs " + ", ".join(resource.verbs))
    if resource.subresources:
        parts.append("subresources " + ", ".join(f"`{name}`" for name in resource.subresources))
    return "; ".join(parts) + ".\n"


def _table(rows: list[Fields]) -> Iterator[str]:
    rows = [row for row in rows if set(row.honoured) - {_META, "spec"} or row.stored or row.refused]
    if not rows:
        return
    yield "\n".join(["| in | honoured | stored |", "|---|---|---|", *(_row(row) for row in rows), ""])
    if refused := [(row.path, *pair) for row in rows for pair in row.refused]:
        lines = [f"| `{f'{path}.{name}' if path else name}` | {why} |" for path, name, why in refused]
        yield "\n".join(["| refused | why |", "|---|---|", *lines, ""])


def _row(row: Fields) -> str:
    cells = (", ".join(f"`{name}`" for name in names) for names in (row.honoured, row.stored))
    return f"| {f'`{row.path}`' if row.path else 'the object'} | {' | '.join(cells)} |"


def of_resource(resource: Resource[Message]) -> Iterator[Fields]:
    """Give the objects that a resource's objects are made of, the outer ones first, without status."""
    return fields(cast(Descriptor, resource.message.DESCRIPTOR))


def fields(descriptor: Descriptor, path: str = "", above: tuple[str, ...] = ()) -> Iterator[Fields]:
    """Give a message's own fields, then those of the messages in it that are honoured.

    A message that contains itself (``JSONSchemaProps``) is followed once.
    """
    own = Fields(path, [], [], [])
    parts: list[tuple[Descriptor, str]] = []
    for field, inline in _flat(descriptor):
        kind, name = field.message_type, field.name
        if not path and name == "status":
            continue
        refused = marks.REFUSED.get(field.full_name, "")
        if refused:
            own.refused.append((name, refused))
        elif field.full_name in marks.STORED or inline in marks.STORED:
            own.stored.append(name)
        else:
            own.honoured.append(name)
            if kind is not None and map_value(field) is None and kind.full_name not in above:
                parts.append((kind, f"{path}.{name}".lstrip(".") + ("[*]" if field.is_repeated else "")))
    yield own
    for kind, below in parts:
        if kind.full_name not in jsonmapping.LEAVES:
            yield from fields(kind, below, (*above, descriptor.full_name))


def _flat(descriptor: Descriptor, inline: str = "") -> Iterator[tuple[FieldDescriptor, str]]:
    """Give the fields as JSON has them: those of an inlined message in its place, with the field that inlines it."""
    for field in descriptor.fields:
        if field.full_name in spelling.INLINE and field.message_type is not None:
            yield from _flat(field.message_type, field.full_name)
        else:
            yield field, inline


def main(argv: Sequence[str] | None = None) -> int:
    """Print the page, or write it; gives the exit code."""
    parser = argparse.ArgumentParser(prog="kubelab.apimachinery.apidocs", description=__doc__, allow_abbrev=False)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page into a file")
    file: Path | None = parser.parse_args(argv).write
    if file is None:
        sys.stdout.write(page())
    else:
        file.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
