"""``kctl certificate``: approve and deny certificate signing requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command, CommandEntry
from kubelab.kctl.commonflags import FILENAME, OUTPUT, RECURSIVE, FilenameOptions, ResourceOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.certificates.v1 import certificates_pb2
    from kubelab.client.client import Client

ATTEMPTS = 10  # when the object changes between reading and writing
Kind = Literal["Approved", "Denied"]


@dataclass(frozen=True, slots=True)
class CertificateOptions(FilenameOptions):
    force: bool
    output: str


@dataclass(frozen=True, slots=True)
class _Decision:
    """``kind`` is the condition to set, ``against`` the one that must not be there."""

    command: str
    kind: Kind
    against: Kind
    reason: str
    did: str

    def run(self, session: Session, args: tuple[str, ...], options: CertificateOptions) -> int:
        if not args and not options.filename:
            raise Failed("error: one or more CSRs must be specified as <name> or -f <filename>")
        printer = ResultPrinter.of(options.output, "none")
        chosen = ResourceOptions(options.filename, options.recursive, selector="")
        selection = builder.build(session, _words(args), chosen)

        async def decide(client: Client) -> visitor.Errors:
            from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS

            if any(item.resource is not CERTIFICATE_SIGNING_REQUESTS for item in selection.items):
                raise Failed("error: can only handle certificates.k8s.io/v1 certificates")
            infos = [info for item in selection.items async for info in visitor.infos(client, item, "")]

            async def one(info: Info) -> None:
                csr = await self._write(client, session, info, force=options.force)
                print(printer.show(csr, self.did), end="", flush=True)

            return await visitor.continue_on_error(infos, one)

        return visitor.run(session, decide)

    async def _write(
        self, client: Client, session: Session, info: Info, *, force: bool
    ) -> certificates_pb2.CertificateSigningRequest:
        """Set the condition, where it is not set yet or ``force`` says so."""
        from kubelab.apimachinery.errors import Conflict

        for attempt in range(1, ATTEMPTS + 1):
            read = await client.get(info.resource, info.name)
            csr = cast("certificates_pb2.CertificateSigningRequest", read)
            present = {condition.type for condition in csr.status.conditions}
            if self.against in present:
                raise Failed(f'error: certificate signing request "{info.name}" is already {self.against}')
            if self.kind in present and not force:
                return csr
            if self.kind not in present:
                condition = csr.status.conditions.add(type=self.kind, status="True", reason=self.reason)
                condition.message = f"This CSR was {self.did} by kctl certificate {self.command}."
                condition.lastUpdateTime.seconds = int(session.clock.time())
            try:
                return await client.update_approval(csr)
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")


def _words(args: Sequence[str]) -> list[str]:
    """Read names as those of requests; one that has a slash says itself what it names."""
    return [arg if "/" in arg else f"csr/{arg}" for arg in args]


_FLAGS = (
    FILENAME,
    Flag("--force", kind="bool", help="Update the CSR even if it is already decided on."),
    OUTPUT,
    RECURSIVE,
)
APPROVE = Command(
    "approve",
    run=_Decision("approve", "Approved", "Denied", "KctlApprove", "approved").run,
    options=CertificateOptions,
    flags=_FLAGS,
    about="""\
Approve a certificate signing request.

 kctl certificate approve allows a cluster admin to approve a certificate signing request (CSR). This action tells a \
certificate signing controller to issue a certificate to the requester with the attributes requested in the CSR.

 SECURITY NOTICE: Depending on the requested attributes, the issued certificate can potentially grant a requester \
access to cluster resources or to authenticate as a requested identity. Before approving a CSR, ensure you understand \
what the signed certificate can do.""",
    examples="# Approve CSR 'csr-sqgzp'\nkctl certificate approve csr-sqgzp",
    usage="kctl certificate approve (-f FILENAME | NAME)",
)
DENY = Command(
    "deny",
    run=_Decision("deny", "Denied", "Approved", "KctlDeny", "denied").run,
    options=CertificateOptions,
    flags=_FLAGS,
    about="""\
Deny a certificate signing request.

 kctl certificate deny allows a cluster admin to deny a certificate signing request (CSR). This action tells a \
certificate signing controller to not to issue a certificate to the requester.""",
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
