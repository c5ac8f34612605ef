"""``kctl create --edit``: lets the user edit an object of a file before it is created."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kubelab.kctl.edit import editor
from kubelab.kctl.edit.text import HEADER, Reason, header, is_empty, same, without_comments
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.apimachinery.manifest.decode import Document

CANCELLED = "Edit cancelled, no changes made."
EMPTY = "Edit cancelled, saved file was empty."
NO_VALID_CHANGES = "Edit cancelled, no valid changes were saved."


def edit(session: Session, document: Document, *, windows: bool) -> list[Document]:
    """Open the editor, again with the errors where the text cannot be read; give the objects of the text.

    There are none where the user changed nothing or left nothing. Raises Failed when nothing valid was saved.
    """
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.manifest.decode import decode
    from kubelab.apimachinery.manifest.diagnostics import ManifestError

    original = encode.to_yaml(document.written)
    body, reasons = original, list[Reason]()
    while True:
        edited, file = editor.edit(
            header(HEADER, reasons) + body, session.factory.environ, suffix=".yaml", windows=windows
        )
        if reasons and same(body, edited):
            print(f'A copy of your changes has been stored to "{file}"', file=sys.stderr)
            raise Failed(f"error: {NO_VALID_CHANGES}")
        file.unlink(missing_ok=True)
        if same(edited, original) or is_empty(edited):
            print(EMPTY if is_empty(edited) else CANCELLED, file=sys.stderr)
            return []
        body = without_comments(edited)
        try:
            return decode(body, "edited-file")
        except ManifestError as err:
            reasons = [Reason(f"The edited file failed validation: {d.message}") for d in err.diagnostics]
