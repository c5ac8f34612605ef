"""Options of kubelab's gRPC channels and servers: credentials, keepalive, back-off, message limits.

Every channel pings a quiet peer, so that it notices a dead or frozen one within three seconds. No channel waits longer
than two seconds before it connects again (gRPC's default grows to 120 s, too long for a fail-over). gRPC answers pings
in threads of its own: only a peer that does not run at all, or cannot be reached, is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # the api-server ends a chunk of a list long before
MAX_ERROR_BYTES = 8 * 1024 * 1024  # an error is metadata, and names every cause; gRPC takes 16 KiB by default
MAX_BACKOFF_MS = 2000

Options = tuple[tuple[str, int | str], ...]
"""gRPC's channel arguments (``grpc/impl/channel_arg_names.h``)."""


def keepalive(time_ms: int, timeout_ms: int) -> Options:
    """Ping a peer that is silent for ``time_ms``, and give it up when the answer takes longer than ``timeout_ms``."""
    return (
        ("grpc.keepalive_time_ms", time_ms),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        ("grpc.http2.ping_timeout_ms", timeout_ms),  # what keepalive really waits for; a minute by default (1.85)
        ("grpc.http2.max_pings_without_data", 0),
    )


def reconnect(first_ms: int, connect_ms: int, most_ms: int) -> Options:
    """Try again ``first_ms`` after a failed attempt and ``most_ms`` after many. An attempt may take ``connect_ms``."""
    return (
        ("grpc.initial_reconnect_backoff_ms", first_ms),
        ("grpc.min_reconnect_backoff_ms", connect_ms),
        ("grpc.max_reconnect_backoff_ms", most_ms),
    )


# etcd takes more than a ping in five seconds, and any where there is no call, as an attack.
ETCD_KEEPALIVE: Options = (*keepalive(10_000, 5_000), ("grpc.keepalive_permit_without_calls", 0))
OWN_SUBCHANNELS: Options = (("grpc.use_local_subchannel_pool", 1),)  # shares no back-off with other channels to there

CHANNEL_OPTIONS: Options = (
    *keepalive(1000, 2000),  # gRPC's servers call that an attack, unless they are set up as below
    ("grpc.keepalive_permit_without_calls", 1),
    *reconnect(100, 1000, MAX_BACKOFF_MS),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_ERROR_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_ERROR_BYTES),  # between the two, gRPC rolls dice
    ("grpc.enable_http_proxy", 0),
    # gRPC repeats by itself only what never left this process or what the server says it has not seen (transparent
    # retries): no policy for more comes from DNS. Everything else is Connections' business.
    ("grpc.enable_retries", 1),
    ("grpc.service_config_disable_resolution", 1),
)

SERVER_OPTIONS: Options = (
    *keepalive(10_000, 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),  # never hang up on a caller for its pings
    # Until a caller has shown its certificate and HTTP/2 has begun; two minutes by default.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_concurrent_streams", 2048),  # of one connection; no bound by default
    # Calls that no method has begun with yet. Beyond, gRPC drops calls by lot, of whichever caller.
    ("grpc.server.max_pending_requests", 8192),
    ("grpc.server.max_pending_requests_hard_limit", 16384),
    ("grpc.max_connection_idle_ms", 10 * 60_000),  # without any call
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


@dataclass(frozen=True, slots=True)
class TLSIdentity:
    """PEM bytes: the authority to trust, and this process's certificate and key (empty for a caller that has none)."""

    ca: bytes
    certificate: bytes = b""
    key: bytes = b""

    @classmethod
    def from_files(cls, ca: Path, certificate: Path, key: Path) -> TLSIdentity:
        """Read the three files; OSError names the one that cannot be read."""
        return cls(ca.read_bytes(), certificate.read_bytes(), key.read_bytes())

    def __repr__(self) -> str:  # a key must not reach a log
        return f"Identity(certificate={len(self.certificate)} bytes, key=<hidden>)"

    @property
    def whole(self) -> bool:
        """Whether key and certificate belong together: between two writes of a renewal they do not."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        try:
            key = serialization.load_pem_private_key(self.key, None)
            return x509.load_pem_x509_certificate(self.certificate).public_key() == key.public_key()
        except ValueError:
            return False


class TLSIdentityFiles:
    """Three PEM files that are renewed while they are used. Not shared between threads but by gRPC's own."""

    def __init__(self, ca: Path, certificate: Path, key: Path) -> None:
        self._paths = (ca, certificate, key)
        self._stamps: tuple[tuple[int, int], ...] = ()
        self._identity: TLSIdentity | None = None

    def current(self) -> TLSIdentity:
        """Give what the files hold, the same object as long as they are the same.

        What cannot be read, or does not belong together, counts as not yet written: the last identity stays. The first
        time, OSError names the file.
        """
        try:
            stamps = tuple((status.st_mtime_ns, status.st_ino) for status in map(Path.stat, self._paths))
            if self._identity is not None and stamps == self._stamps:
                return self._identity
            identity = TLSIdentity.from_files(*self._paths)
        except OSError:
            if self._identity is None:
                raise
            return self._identity
        if self._identity is None or (identity != self._identity and identity.whole):
            self._identity = identity
        if identity == self._identity:
            self._stamps = stamps
        return self._identity


def client_credentials(identity: TLSIdentity) -> grpc.ChannelCredentials:
    """Trust the identity's authority and show its certificate, if it has one."""
    return grpc.ssl_channel_credentials(identity.ca or None, identity.key or None, identity.certificate or None)


def open_channel(
    target: str, identity: TLSIdentity | None, *, server_name: str = "", options: Options = ()
) -> grpc.aio.Channel:
    """Open a channel to ``host:port`` with mutual TLS, or without any where there is no identity.

    ``server_name`` is the name expected in the certificate. ``options`` win over :data:`CHANNEL_OPTIONS`.
    """
    named: Options = (("grpc.ssl_target_name_override", server_name),) if server_name else ()
    merged = _merged((*options, *named))
    if identity is None:
        return grpc.aio.insecure_channel(target, options=merged)
    return grpc.aio.secure_channel(target, client_credentials(identity), options=merged)


def unix_channel(path: str | Path, *, options: Options = ()) -> grpc.aio.Channel:
    """Open a channel to a unix socket; the mode of its file decides which users may connect.

    It sends no pings: the kernel reports a dead peer at once, and containerd disconnects callers that ping often. It
    does not share the back-off of an earlier channel to the same path.
    """
    quiet = tuple(option for option in _merged(options) if "keepalive" not in option[0] and "ping" not in option[0])
    return grpc.aio.insecure_channel(f"unix:{path}", options=(*quiet, *OWN_SUBCHANNELS))


def _merged(options: Options) -> Options:
    """Put ``options`` in the place of the defaults of the same names: of two, gRPC takes the first."""
    return tuple({**dict(CHANNEL_OPTIONS), **dict(options)}.items())


def server_credentials(identity: TLSIdentity | TLSIdentityFiles) -> grpc.ServerCredentials:
    """Serve with TLS and accept only callers whose certificate the CA signed.

    With files, each handshake is made with what they hold then. OSError where they cannot be read now.
    """
    if isinstance(identity, TLSIdentity):
        pair = [(identity.key, identity.certificate)]
        return grpc.ssl_server_credentials(pair, root_certificates=identity.ca, require_client_auth=True)
    used = identity.current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        if (now := identity.current()) is used:
            return None  # as before
        used = now
        return _configuration(now)

    fetch: Any = renewed  # None is documented, but not in its stubs
    return grpc.dynamic_ssl_server_credentials(_configuration(used), fetch, require_client_authentication=True)


def _configuration(identity: TLSIdentity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(identity.key, identity.certificate)], identity.ca)
