"""What ``kctl cp`` copies: ``[[namespace/]pod:]file/path``."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from kubelab.kctl.flags import UsageProblem

FORM = "filespec must match the canonical format: [[namespace/]pod:]file/path"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A path, of this machine where ``pod`` is ""."""

    file: str
    pod: str = ""
    namespace: str = ""

    @classmethod
    def parse(cls, text: str) -> FileSpec:
        """Read one word. UsageProblem."""
        place, colon, file = text.partition(":")
        if not colon:
            return cls(text)
        parts = place.split("/")
        if not place or len(parts) > 2:
            raise UsageProblem(FORM)
        return cls(file, parts[-1], parts[0] if len(parts) == 2 else "")


def pair(args: tuple[str, ...]) -> tuple[FileSpec, FileSpec]:
    """Read the two words of a command line. UsageProblem in kubectl's words."""
    if len(args) != 2:
        raise UsageProblem("source and destination are required")
    source, destination = map(FileSpec.parse, args)
    if source.pod and destination.pod:
        raise UsageProblem("one of src or dest must be a local file specification")
    if not source.file or not destination.file:
        raise UsageProblem("filepath can not be empty")
    if not source.pod and not destination.pod:
        raise UsageProblem("one of src or dest must be a remote file specification")
    return source, destination


def member_prefix(path: str) -> str:
    """What the names of a tar's members begin with that ``tar cf - PATH`` makes."""
    return posixpath.normpath(path).lstrip("/")
