"""What went wrong between us and a registry, in the words that containerd has for it: people search for them."""

from __future__ import annotations

import json
import re
import socket
import ssl
import urllib.error
import urllib.parse
from http.client import HTTPException
from typing import Any

_MAX_BODY = 4096
_DENIED = "pull access denied, repository does not exist or may require authorization"
_CERTIFICATE = "tls: failed to verify certificate: x509: "
_EXPIRED, _NOT_YET, _WRONG_HOST = 10, 9, 62  # of OpenSSL (X509_V_ERR_…)


class PullError(Exception):
    """The image could not be had. ``missing``: the registry does not have it, or not for us."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class NotThere(PullError):
    """404; only the caller knows what of."""


def status(err: urllib.error.HTTPError, url: str, challenge: str) -> PullError:
    """What an answer other than 200 says."""
    if err.code == 401:
        error = re.search(r'error="([^"]{1,100})"', challenge)
        said = error[1] if error else _server_message(err) or "unauthorized"
        return PullError(f"{_DENIED}: server message: {_shown(said)}: authorization failed", missing=True)
    text = f"unexpected status from GET request to {url}: {err.code} {_shown(err.reason)}"
    if message := _server_message(err):
        text += f" - Server message: {message}"
    return NotThere(text, missing=True) if err.code == 404 else PullError(text, missing=err.code == 403)


def _server_message(err: urllib.error.HTTPError) -> str:
    """The first error of the answer's body (distribution-spec, "Error Codes")."""
    try:
        body: Any = json.loads(err.read(_MAX_BODY))
        first = body["errors"][0]
        return _shown(f"{str(first['code']).lower()}: {first.get('message', '')}")
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""


def request(err: Exception, url: str) -> PullError:
    """Why there was no answer at all."""
    return PullError(f'failed to do request: Get "{url}": {reason(err, url)}')


def reason(err: BaseException, url: str = "") -> str:
    """Go's words for an error of the network."""
    cause = err.reason if isinstance(err, urllib.error.URLError) else err
    host = urllib.parse.urlsplit(url)
    port = host.port or (443 if host.scheme == "https" else 80)
    match cause:
        case ssl.SSLCertVerificationError():
            return _certificate(cause, host.hostname or "")
        case ssl.SSLError() if cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return "http: server gave HTTP response to HTTPS client"
        case ssl.SSLError():
            return f"tls: {cause.reason or cause}"
        case socket.gaierror():
            return f"dial tcp: lookup {host.hostname}: no such host"
        case TimeoutError():
            return f"dial tcp {_joined(host.hostname, port)}: i/o timeout"
        case ConnectionResetError():
            return "read: connection reset by peer"
        case OSError() if cause.errno:
            return f"dial tcp {_joined(host.hostname, port)}: connect: {(cause.strerror or str(cause)).lower()}"
        case HTTPException():
            return "unexpected EOF" if "Incomplete" in type(cause).__name__ else f"malformed HTTP response: {cause}"
        case _:
            return _shown(str(cause))


def _certificate(err: ssl.SSLCertVerificationError, host: str) -> str:
    if err.verify_code in (_EXPIRED, _NOT_YET):
        return _CERTIFICATE + "certificate has expired or is not yet valid"
    if err.verify_code == _WRONG_HOST:
        return _CERTIFICATE + f"certificate is not valid for any names, but wanted to match {host}"
    return _CERTIFICATE + "certificate signed by unknown authority"


def _joined(host: str | None, port: int) -> str:
    return f"[{host}]:{port}" if ":" in (host or "") else f"{host}:{port}"


def _shown(text: str) -> str:
    """What a server said, in one line that a terminal can take."""
    line = "".join(c if c.isprintable() else " " for c in text).strip()
    return line if len(line) <= 300 else line[:297] + "…"
