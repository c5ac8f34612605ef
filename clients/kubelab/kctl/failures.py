"""Errors in kubectl's words, and the exit code that goes with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from kubelab.apimachinery.errors import ApiError, Invalid, Unauthorized, Unavailable
from kubelab.apimachinery.terminal import escaped
from kubelab.client.kubeconfig import KubeconfigError
from kubelab.kctl.session import Failed, Session
from kubelab.rpc.connecterrors import why_unreachable

START_IT = "A cluster that is stopped is started by: kubelab up"  # kubelab means the same cluster as kctl
TRACEBACK = "KUBELAB_TRACEBACK"


def describe(err: ApiError, doing: str = "", *, servers: Sequence[str] = (), alone: bool = True) -> str:
    """Word an error of the server.

    ``doing`` is such as ``error when creating "web.yml"``; ``alone`` is whether it is the command's only error (kubectl
    lists the causes of an invalid object only then).
    """
    if is_unreachable(err):
        if why := why_unreachable(err):
            return f"Unable to connect to the server: {why}"
        where = ", ".join(servers) or "the server"
        refused = f"The connection to the server {where} was refused - did you specify the right host or port?"
        return f"{refused}\n{START_IT}"
    if isinstance(err, Unauthorized):
        return f"error: You must be logged in to the server ({err.message})"
    if isinstance(err, Invalid) and alone:
        return _invalid(err)
    message = f"{doing}: {err.message}" if doing else err.message
    return f"Error from server ({err.reason}): {message}" if err.reason else f"Error from server: {message}"


def of_command(err: Exception, servers: Sequence[str]) -> str:
    """Word the error that ended a command. A bug takes one line too; ``KUBELAB_TRACEBACK=1`` shows the traceback."""
    if isinstance(err, Failed):
        return str(err)
    if isinstance(err, KubeconfigError):
        return f"error: {err}"
    if isinstance(err, ApiError):
        return describe(err, servers=servers)
    if isinstance(err, click.UsageError):
        return f"error: {err.format_message()}"
    if isinstance(err, OSError) and err.strerror:
        return f"error: {err.filename}: {err.strerror}" if err.filename else f"error: {err.strerror}"
    return f"error: this is a bug in kctl, {TRACEBACK}=1 shows where: {type(err).__name__}: {err}"


def report(
    failed: Sequence[ApiError | Failed], session: Session, doing: Callable[[int], str] = lambda number: ""
) -> int:
    """Print the errors of single objects, after the command's output, and give the exit code.

    ``doing`` gives how the error with this number begins, as in :func:`describe`.
    """
    sys.stdout.flush()
    alone = len(failed) == 1
    lines: list[str] = []
    for number, err in enumerate(failed):
        if isinstance(err, Failed):
            lines.append(str(err) if alone else str(err).removeprefix("error: "))  # as kubectl
        else:
            lines.append(describe(err, doing(number), servers=session.access.servers, alone=alone))
    for line in dict.fromkeys(lines):
        print(escaped(line), file=sys.stderr)
    return 1 if failed else 0


def is_unreachable(err: ApiError) -> bool:
    """Say whether no server could be reached at all: an answer of a server has gRPC's error as its cause."""
    return isinstance(err, Unavailable) and err.__cause__ is None


def _invalid(err: Invalid) -> str:
    start = f'The {err.kind} "{err.name}" is invalid' if err.kind or err.name else "The request is invalid"
    causes = list(dict.fromkeys(f"{c.field}: {c.message}" for c in err.causes))
    if not causes:
        return f"{start}: {err.message}"
    if len(causes) == 1:
        return f"{start}: {causes[0]}"
    return "\n".join([f"{start}: ", *(f"* {cause}" for cause in causes)])
