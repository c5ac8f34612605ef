"""The fields that kubelab does not act on, as a page: ``python -m kubelab.apimachinery.apidocs [--write FILE]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.api.tables import marks, spelling
from kubelab.apimachinery import scheme
from kubelab.apimachinery.marks import STORED
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.scheme import Resource

_INTRODUCTION = f"""\
# The API: what has no effect

<!-- made by make api from the options (stored) and (refused) in protos/ -->

The served kinds have every field of Kubernetes 1.32, with its names and numbers. kubelab acts on all of them but these.
The api-server answers the write of a *stored* field with a warning, `PATH: {STORED}`.
It refuses an object with a *refused* field as Invalid: without its effect the object would be less safe than written.
"""


class Field(NamedTuple):
    """A marked field: its path such as ``spec.containers[*].tty``, and why it is refused, empty where it is stored."""

    path: str
    refused: str


def page() -> str:
    """Give the whole page."""
    return "\n".join([_INTRODUCTION, *_every_kind(), *_kinds()])


def _every_kind() -> Iterator[str]:
    yield "## Every kind\n"
    yield _table(f for f in of_resource(scheme.ALL[0]) if f.path.startswith("metadata."))


def _kinds() -> Iterator[str]:
    for resource in scheme.ALL:
        specific = [f for f in of_resource(resource) if not f.path.startswith("metadata.")]
        template = [f for f in specific if f.path.startswith("spec.template.")]
        if not specific:
            continue
        yield f"## {resource.kind}\n"
        if template:
            yield "In `spec.template`, what a Pod has.\n"
        if not_in_template := [f for f in specific if f not in template]:
            yield _table(not_in_template)


def _table(fields: Iterator[Field] | list[Field]) -> str:
    rows = [f"| `{f.path}` | {f'refused: {f.refused}' if f.refused else 'stored'} |" for f in fields]
    return "\n".join(["| field | |", "|---|---|", *rows, ""])


def of_resource(resource: Resource[Message]) -> Iterator[Field]:
    """Give the marked fields of a resource's objects."""
    return fields(cast(Descriptor, resource.message.DESCRIPTOR))


def fields(descriptor: Descriptor, path: str = "") -> Iterator[Field]:
    """Give the marked fields of a kind, but for those of its status and those below another one."""
    for field in descriptor.fields:
        kind, name = field.message_type, field.name
        if not path and name == "status":
            continue
        here = path if field.full_name in spelling.INLINE else f"{path}.{name}" if path else name
        refused = marks.REFUSED.get(field.full_name, "")
        if refused or field.full_name in marks.STORED:
            yield Field(here, refused)
        elif kind is not None and map_value(field) is None:
            yield from fields(kind, here + ("[*]" if field.is_repeated else ""))


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
