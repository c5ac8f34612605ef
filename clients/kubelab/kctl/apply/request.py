"""The options of ``kctl apply``, and what they mean when they are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from kubelab.apimachinery.manifest.decode import Document
from kubelab.apimachinery.meta import meta_of
from kubelab.kctl import files, recording
from kubelab.kctl.apply import lastapplied
from kubelab.kctl.commonflags import FilenameOptions
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Session

CLIENT_SIDE_MANAGER = "kubectl-client-side-apply"
SERVER_SIDE_MANAGER = "kubectl"


@dataclass(frozen=True, slots=True)
class ApplyOptions(FilenameOptions):
    all: bool
    cascade: str
    dry_run: str
    field_manager: str
    force: bool
    force_conflicts: bool
    grace_period: int
    kustomize: str
    openapi_patch: bool
    output: str
    overwrite: bool
    prune: bool
    prune_allowlist: tuple[str, ...]
    record: bool
    selector: str
    server_side: bool
    subresource: str
    timeout: float
    validate: str
    wait: bool


@dataclass(slots=True)
class Target:
    """One object to apply. ``live`` is its state on the server once that is known."""

    document: Document
    namespace: str
    live: Message | None = None

    @property
    def configuration(self) -> dict[str, Any]:
        """The object as its file has it, in the namespace where it goes."""
        return lastapplied.configuration_of(self.document, self.namespace)

    @property
    def described(self) -> str:
        return files.described(self.document, self.namespace)


def targets_of(session: Session, documents: list[Document], options: ApplyOptions) -> list[Target]:
    """Put each object into its namespace; keep those that the selector chooses."""
    from kubelab.kctl import builder

    chosen = builder.requirements_of(options.selector)
    targets: list[Target] = []
    for document in documents:
        if not chosen.matches(meta_of(document.obj).labels):
            continue
        namespace = document.namespace or session.namespace if document.resource.namespaced else ""
        meta_of(document.obj).namespace = namespace
        if options.record:
            recording.record(session, document.obj)
        targets.append(Target(document, namespace))
    return targets


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """The checked options."""

    options: ApplyOptions
    printer: ResultPrinter
    field_manager: str
    grace: int | None
    policy: str
