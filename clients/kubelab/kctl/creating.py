"""What every command that creates objects shares: flags, dry runs, and how the outcome is printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.targets import noun

DRY_RUN = Flag(
    "--dry-run",
    default="none",
    bare="unchanged",
    help='Must be "none" or "client". If client, only print the object that would be sent, without sending it.',
)
OUTPUT = Flag("--output", "-o", help="Output format. One of: (json, yaml, name).")
FILENAME = Flag("--filename", "-f", kind="csv", help="Filename, directory, or URL to files to use")
RECURSIVE = Flag("--recursive", "-R", kind="bool", help="Process the directory used in -f, --filename recursively.")
UNKNOWN = "<unknown>"  # the name of what has none yet
FORMATS = ("", "json", "yaml", "name")


@dataclass(slots=True)
class Printer:
    """Prints one object after another as ``-o`` asked: a line, or the whole object."""

    output: str
    dry: bool
    _shown: int = 0

    @classmethod
    def of(cls, output: str, dry_run: str) -> Printer:
        """Check both flags. Raises UsageProblem in kubectl's words."""
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
            raise UsageProblem('--dry-run flag without a value was specified. A value must be set: "none" or "client".')
        raise UsageProblem(f'Invalid dry-run value ({dry_run}). Must be "none" or "client".')

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


def create_one(session: Session, obj: Message, printer: Printer, *, failing: Callable[[str], str] | None = None) -> int:
    """Create a generated object and print it. ``failing`` words the server's refusal where kubectl has its own way."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.kctl.failures import nobody_there

    resource = scheme.of_object(obj)
    namespace = ""
    if resource.namespaced and (session.told_namespace or not printer.dry):
        namespace = cast(Any, obj).metadata.namespace = session.namespace
    if not printer.dry:
        try:
            obj = session.run(lambda client: client.create(obj, namespace))
        except ApiError as err:
            if failing is None or nobody_there(err):
                raise
            raise Failed(failing(err.message)) from err
    print(printer.show(obj, "created"), end="")
    return 0
