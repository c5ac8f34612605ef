"""Prints whole objects, and what was done to one (k8s.io/cli-runtime ``printers``). Tables: tableprinter.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.resource import noun
from kubelab.kctl.session import Failed

UNKNOWN = "<unknown>"  # the name of an object that has none yet
FORMATS = ("", "json", "yaml", "name")


def render_objects(objects: Sequence[Message], output: str, *, single: bool) -> str:
    """Give objects as ``-o json``, ``-o yaml`` or ``-o name``; several become one ``v1 List``."""
    from kubelab.apimachinery.manifest import encode

    if output == "name":
        return "".join(f"{noun(scheme.of_object(obj))}/{escaped(cast(Any, obj).metadata.name)}\n" for obj in objects)
    document = encode.to_dict(objects[0]) if single and objects else encode.list_to_dict(objects)
    return encode.to_json(document) if output == "json" else encode.to_yaml(document)


@dataclass(slots=True)
class ResultPrinter:
    """Prints what was done to one object after another, in the form of ``-o``: a line, or the whole object."""

    output: str
    dry: bool
    _shown: int = 0

    @classmethod
    def of(cls, output: str, dry_run: str) -> ResultPrinter:
        """Check the values of ``--output`` and ``--dry-run``. Raises UsageProblem in kubectl's words."""
        if output not in FORMATS:
            raise UsageProblem(
                f'unable to match a printer suitable for the output format "{output}", allowed formats are: '
                f"{','.join(sorted(f for f in FORMATS if f))}"
            )
        if dry_run in ("client", "true"):
            return cls(output, True)
        if dry_run in ("none", "false"):
            return cls(output, False)
        if dry_run == "server":
            raise Failed("error: the server knows no dry run; use --dry-run=client")
        if dry_run == "unchanged":
            raise UsageProblem(
                '--dry-run flag without a value was specified. A value must be set: "none", "server", or "client".'
            )
        raise UsageProblem(f'Invalid dry-run value ({dry_run}). Must be "none", "server", or "client".')

    def show(self, obj: Message, did: str, *, as_written: bool = False) -> str:
        """Give the text for one object: ``pod/web created``. ``as_written`` is for one that a file has."""
        from kubelab.apimachinery.manifest import encode

        name = f"{noun(scheme.of_object(obj))}/{escaped(cast(Any, obj).metadata.name) or UNKNOWN}"
        self._shown += 1
        if self.output == "name":
            return f"{name}\n"
        if self.output == "json":
            return encode.to_json(encode.to_dict(obj, as_written=as_written))
        if self.output == "yaml":
            separator = "---\n" if self._shown > 1 else ""
            return separator + encode.to_yaml(encode.to_dict(obj, as_written=as_written))
        return f"{name} {did}{' (dry run)' if self.dry else ''}\n"
