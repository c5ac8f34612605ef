"""Reads the manifests of ``-f`` and checks them against ``-n``; errors are in kubectl's words."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator

from kubelab.apimachinery.manifest.decode import Document
from kubelab.apimachinery.manifest.diagnostics import DecodeStage, Diagnostic, ManifestError, NoManifest
from kubelab.apimachinery.manifest.read import read_all
from kubelab.kctl.commonflags import FilenameOptions
from kubelab.kctl.discovered import learn
from kubelab.kctl.session import Failed, Session


def read(session: Session, options: FilenameOptions, validation: str = "Strict") -> list[Document]:
    """Read every file before the command acts on any. Raises Failed.

    ``validation`` is Strict, Warn or Ignore: what becomes of unknown fields.
    """
    unknown: list[Diagnostic] = []
    stdin = functools.cache(session.factory.stdin)  # it may be read twice, and is there once

    def read_them() -> list[Document]:
        unknown.clear()
        return read_all(
            options.filename,
            recursive=options.recursive,
            stdin=stdin,
            unknown=None if validation == "Strict" else unknown,
        )

    try:
        try:
            documents = read_them()
        except ManifestError as err:
            if not any(one.stage is DecodeStage.RECOGNIZE for one in err.diagnostics) or not session.rules.exist():
                raise
            learn(session)
            documents = read_them()
    except (NoManifest, ManifestError) as err:
        raise Failed(f"error: {err}") from err
    if validation == "Warn":
        for field in unknown:
            session.warn(f'unknown field "{field.path}"')
    for document in documents:
        _check_namespace(document, session.namespace_flag)
    return documents


def imply_single(options: FilenameOptions) -> bool:
    """Say whether kubectl takes files for one object, however many they hold: a path without ``-R`` (``Builder``)."""
    return not options.recursive and any(name != "-" and "://" not in name for name in options.filename)


def namespace_of(document: Document, session: Session) -> str:
    """Give the namespace that an object's file names, else the session's; "" for what has none."""
    if not document.resource.namespaced:
        return ""
    return document.namespace or session.namespace


@contextlib.contextmanager
def naming(doing: str, source: str) -> Generator[None]:
    """Begin the server's refusal with what was being done and the file (kubectl's ``AddSourceToErr``)."""
    from kubelab.apimachinery.errors import ApiError

    try:
        yield
    except ApiError as err:
        err.message = f'error when {doing} "{source}": {err.message}'
        raise


def described(document: Document, namespace: str) -> str:
    """Give an object of a file as kubectl's errors do, on two lines."""
    resource = document.resource
    version = f"{resource.group}/{resource.version}"
    return (
        f'Resource: "{version}, Resource={resource.plural}", GroupVersionKind: "{version}, Kind={resource.kind}"\n'
        f'Name: "{document.name}", Namespace: "{namespace}"'
    )


def _check_namespace(document: Document, enforced: str) -> None:
    if enforced and document.resource.namespaced and document.namespace and document.namespace != enforced:
        raise Failed(
            f'error: the namespace from the provided object "{document.namespace}" does not match the namespace '
            f"\"{enforced}\". You must pass '--namespace={document.namespace}' to perform this operation."
        )
