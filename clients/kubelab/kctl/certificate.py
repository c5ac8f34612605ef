"""``kctl certificate``: approve and deny. The api-server serves no CertificateSigningRequests yet; both say so."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.kctl.command import Command, CommandEntry
from kubelab.kctl.commonflags import FILENAME, RECURSIVE, FilenameOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session


@dataclass(frozen=True, slots=True)
class CertificateOptions(FilenameOptions):
    force: bool


def _decide(session: Session, args: tuple[str, ...], options: CertificateOptions) -> int:
    if not args and not options.filename:
        raise Failed("error: one or more CSRs must be specified as <name> or -f <filename>")
    raise Failed('error: the server doesn\'t have a resource type "certificatesigningrequests"')


_FLAGS = (
    FILENAME,
    Flag("--force", kind="bool", help="Update the CSR even if it is already decided on."),
    RECURSIVE,
)
APPROVE = Command(
    "approve",
    run=_decide,
    options=CertificateOptions,
    flags=_FLAGS,
    about="Approve a certificate signing request.",
    examples="# Approve CSR 'csr-sqgzp'\nkctl certificate approve csr-sqgzp",
    usage="kctl certificate approve (-f FILENAME | NAME)",
)
DENY = Command(
    "deny",
    run=_decide,
    options=CertificateOptions,
    flags=_FLAGS,
    about="Deny a certificate signing request.",
    examples="# Deny CSR 'csr-sqgzp'\nkctl certificate deny csr-sqgzp",
    usage="kctl certificate deny (-f FILENAME | NAME)",
)
CERTIFICATE = Command(
    "certificate",
    children=(
        CommandEntry("approve", "Approve a certificate signing request", "certificate:APPROVE"),
        CommandEntry("deny", "Deny a certificate signing request", "certificate:DENY"),
    ),
    about="Modify certificate resources.",
    usage="kctl certificate SUBCOMMAND",
)
