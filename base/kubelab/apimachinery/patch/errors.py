"""Why a patch cannot be read, applied or made; the messages are upstream's."""

from __future__ import annotations


class PatchError(ValueError):
    """The patch does not go with the object, as upstream answers with an InternalError (500)."""


class BadPatch(PatchError):
    """The patch is malformed (upstream: BadRequest, 400)."""


class UnprocessablePatch(PatchError):
    """The patch is well formed and cannot be applied to this object (upstream: 422)."""


class PatchTooLarge(PatchError):
    """The patch has too many operations (upstream: RequestEntityTooLarge, 413)."""


class PreconditionFailed(PatchError):
    """A patch that was made would change what it must not change."""


class PatchConflict(PatchError):
    """Two changes of one object do not go together."""
