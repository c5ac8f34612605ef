"""``--record``: writes the command line into an annotation, which ``kctl rollout history`` shows as CHANGE-CAUSE."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kubelab.kctl.flags import Flag

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.kctl.session import Session

CHANGE_CAUSE = "kubernetes.io/change-cause"
RECORD = Flag(
    "--record",
    kind="bool",
    hidden=True,
    help="Record current kctl command in the resource annotation.",
)


def warn(session: Session) -> None:
    """Say that the flag is deprecated, as kubectl does where it is typed."""
    if session.line.changed("record"):
        print("Flag --record has been deprecated, --record will be removed in the future", file=sys.stderr)


def line_of(session: Session) -> str:
    """Give the command line: path, arguments, then flags, as kubectl joins them."""
    line = session.line
    return " ".join([session.command_path, *line.arguments, *line.flags])


def record(session: Session, obj: Message) -> None:
    """Annotate an object with the command line."""
    from kubelab.apimachinery.meta import meta_of

    meta_of(obj).annotations[CHANGE_CAUSE] = line_of(session)
