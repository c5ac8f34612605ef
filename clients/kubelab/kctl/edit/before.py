"""Lets the user edit the text of objects until it can be read, before anything is sent: ``kctl create --edit`` and
``kctl apply edit-last-applied``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kubelab.kctl.edit import editor
from kubelab.kctl.edit.text import (
    CANCELLED,
    EMPTY,
    HEADER,
    NO_VALID_CHANGES,
    Reason,
    header,
    is_empty,
    same,
    without_comments,
)
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubelab.apimachinery.manifest.decode import Document


def edit(session: Session, document: Document, *, windows: bool, as_json: bool) -> list[Document]:
    """Open the editor on an object of a file that is to be created. See :func:`edited`."""
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.manifest.decode import decode
    from kubelab.kctl import files, printers
    from kubelab.kctl.apply import lastapplied

    shown = printers.sorted_keys(lastapplied.configuration_of(document, files.namespace_of(document, session)))
    return edited(
        session,
        encode.to_json(shown) if as_json else encode.to_yaml(shown),
        lambda text: decode(text, "edited-file"),
        top=HEADER,
        suffix=".json" if as_json else ".yaml",
        windows=windows,
    )


def edited(
    session: Session, original: str, read: Callable[[str], list[Document]], *, top: str, suffix: str, windows: bool
) -> list[Document]:
    """Open the editor, again with the errors where the text cannot be read; give the objects of the text.

    There are none where the user changed nothing or left nothing. ``top`` are the comments above the text. Raises
    Failed when nothing valid was saved.
    """
    from kubelab.apimachinery.manifest.diagnostics import ManifestError

    body, reasons = original, list[Reason]()
    while True:
        text, file = editor.edit(
            header(top, reasons, suffix) + body, session.factory.environ, suffix=suffix, windows=windows
        )
        if reasons and same(body, text):
            print(f'A copy of your changes has been stored to "{file}"', file=sys.stderr)
            raise Failed(f"error: {NO_VALID_CHANGES}")
        file.unlink(missing_ok=True)
        if same(text, original) or is_empty(text):
            print(EMPTY if is_empty(text) else CANCELLED, file=sys.stderr)
            return []
        body = without_comments(text)
        try:
            return read(body)
        except ManifestError as err:
            reasons = [Reason(f"The edited file failed validation: {d.message}") for d in err.diagnostics]
