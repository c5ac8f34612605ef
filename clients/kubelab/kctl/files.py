"""Manifests for a command: read, checked against ``-n``, and told about in kubectl's words when they are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.apimachinery.manifest.decode import Document
from kubelab.apimachinery.manifest.problems import ManifestError, NoManifest
from kubelab.apimachinery.manifest.read import read_all
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.targets import Target, Targets


def read(session: Session, filenames: Sequence[str], *, recursive: bool) -> list[Document]:
    """Read every file before anything is done with any. Raises Failed."""
    try:
        documents = read_all(filenames, recursive=recursive, stdin=session.world.stdin)
    except NoManifest as err:
        raise Failed(f"error: {err}") from err
    except ManifestError as err:
        raise Failed(f"error: {err}") from err
    for document in documents:
        _check_namespace(document, session.told_namespace)
    return documents


def targets(session: Session, filenames: Sequence[str], *, recursive: bool) -> Targets:
    """Read files for the names in them."""
    documents = read(session, filenames, recursive=recursive)
    items = tuple(Target(d.resource, d.name, d.namespace) for d in documents)
    return Targets(items, len({t.resource.qualified for t in items}) > 1)


def _check_namespace(document: Document, told: str) -> None:
    if told and document.resource.namespaced and document.namespace and document.namespace != told:
        raise Failed(
            f'error: the namespace from the provided object "{document.namespace}" does not match the namespace '
            f"\"{told}\". You must pass '--namespace={document.namespace}' to perform this operation."
        )
