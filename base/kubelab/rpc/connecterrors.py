"""Translate gRPC's reasons for a failed connection.

gRPC gives the reason only as text, which changes from release to release. Only this module parses it. It returns the
messages of Go's ``net`` and ``crypto/tls``, which kubectl prints; it passes on texts that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import grpc

from kubelab.apimachinery.errors import ApiError, Cause, Unavailable
from kubelab.apimachinery.grpcstatus import DETAILS_KEY

UNREACHABLE = "Unreachable"  # the reason of a cause: why no connection came about, where it was not just refused
REFUSED = "connection refused"
_UNTRUSTED = "tls: failed to verify certificate: x509: "
_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        ("connection refused", REFUSED),
        ("wrong_version_number|http_request", "tls: first record does not look like a TLS handshake"),
        ("hostname verification", f"{_UNTRUSTED}certificate is not valid for the server's name"),
        ("certificate has expired|not yet valid", f"{_UNTRUSTED}certificate has expired or is not yet valid"),
        ("certificate_verify_failed|bad_signature", f"{_UNTRUSTED}certificate signed by unknown authority"),
        ("create security handshaker", "tls: failed to find any PEM data in certificate or key input"),
        ("endpoint closing|handshake.*timed out", "net/http: TLS handshake timeout"),
        ("timed out|^$", "dial tcp {target}: i/o timeout"),
        ("network is unreachable", "dial tcp {target}: connect: network is unreachable"),
        ("no route to host", "dial tcp {target}: connect: no route to host"),
        ("resolv|lookup", "dial tcp: lookup {host}: no such host"),
        (
            "socket closed|reset by peer|broken pipe|handshake read failed",
            "EOF: the server ended the connection; it may not accept the client's certificate",
        ),
    )
)


_NEVER_SENT = "failed to connect to all addresses; last error: "  # pick_first's, of a call that waits for a connection


def never_sent(rpc: grpc.aio.AioRpcError) -> bool:
    """Whether a call failed while it waited for a connection, or what gRPC sent of it was surely not seen.

    A server that hands such words on, of a server behind it, adds details.
    """
    from_server = any(key == DETAILS_KEY for key, _ in rpc.trailing_metadata() or ())
    return (
        rpc.code() is grpc.StatusCode.UNAVAILABLE and (rpc.details() or "").startswith(_NEVER_SENT) and not from_server
    )


def unreachable(tried: Sequence[tuple[str, str]]) -> Unavailable:
    """Return the error for servers (``host:port``), each with gRPC's reason, empty after a timeout."""
    why = {target: _why(target, details) for target, details in tried}
    if set(why.values()) == {REFUSED}:
        return Unavailable(f"the connection to the server {', '.join(why)} was refused")
    reasons = (
        "; ".join(f"{target}: {words}" for target, words in why.items()) if len(why) > 1 else "".join(why.values())
    )
    return Unavailable(f"unable to connect to the server: {reasons}", causes=[Cause("", reasons, UNREACHABLE)])


def why_unreachable(err: ApiError) -> str:
    """Say why no server could be reached; nothing where it was refused, or where it is not that."""
    return next((cause.message for cause in err.causes if cause.reason == UNREACHABLE), "")


def _why(target: str, details: str) -> str:
    last = details.rpartition("last error: ")[2]
    for pattern, words in _WORDS:
        if pattern.search(last):
            return words.format(target=target, host=target.rpartition(":")[0])
    return last
