"""What a build may fail with. Every message names the Dockerfile and the line."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

MESSAGE_CHARACTERS = 2000  # a status of gRPC is a header: a longer one never arrives


class BuildError(Exception):
    """The build failed; the message is for people."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message, MESSAGE_CHARACTERS))


class DockerfileError(BuildError):
    """The Dockerfile cannot be built: the message names file, line and what was expected."""


class MachineError(BuildError):
    """The machine cannot do it now: its disk is full. The Dockerfile is not to blame."""


class SyntaxFault(ValueError):
    """A part of an instruction is wrong, or cannot be done; :func:`located` says where."""


@contextlib.contextmanager
def located(path: str, line: int, what: str = "") -> Generator[None]:
    """Turn a SyntaxFault of the body into a DockerfileError of this line; ``what`` names the instruction."""
    try:
        yield
    except SyntaxFault as err:
        raise DockerfileError(f"{path}:{line}: {what and what + ': '}{err}") from err


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning and end where it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    end = limit // 4
    return f"{text[: limit - end - 1]}…{text[-end:]}"
