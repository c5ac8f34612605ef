"""Manifests for a command: read, checked against ``-n``, and told about in kubectl's words when they are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.apimachinery import labels
from kubelab.apimachinery.labels import SelectorError
from kubelab.apimachinery.manifest.decode import Document
from kubelab.apimachinery.manifest.problems import ManifestError, NoManifest
from kubelab.apimachinery.manifest.read import read_all
from kubelab.apimachinery.meta import meta_of
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.targets import EMPTY_NAME, Target, Targets


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


def targets(
    session: Session, filenames: Sequence[str], *, recursive: bool, selector: str = "", doing: str = ""
) -> Targets:
    """Read files for the names in them, of those objects whose labels there match. Each must have a name."""
    try:
        wanted = labels.parse(selector)
    except SelectorError as err:
        raise UsageProblem(f'the provided selector "{selector}" is not valid: {err}') from err
    items: list[Target] = []
    for document in read(session, filenames, recursive=recursive):
        if not wanted.matches(meta_of(document.obj).labels):
            continue
        if not document.name:
            raise UsageProblem(f'{doing} "{document.source}": {EMPTY_NAME}' if doing else EMPTY_NAME)
        items.append(Target(document.resource, document.name, namespace_of(document, session)))
    return Targets(tuple(items), len({t.resource.qualified for t in items}) > 1)


def namespace_of(document: Document, session: Session) -> str:
    """Say where an object belongs: where its file says, else where the command works."""
    if not document.resource.namespaced:
        return ""
    return document.namespace or session.namespace


def _check_namespace(document: Document, told: str) -> None:
    if told and document.resource.namespaced and document.namespace and document.namespace != told:
        raise Failed(
            f'error: the namespace from the provided object "{document.namespace}" does not match the namespace '
            f"\"{told}\". You must pass '--namespace={document.namespace}' to perform this operation."
        )
