"""How kubelab's gRPC channels and servers are set up: credentials, keepalive, back-off, message limits.

Every channel pings a quiet peer, so that a dead or frozen one is noticed within three seconds, and none waits longer
than two seconds before it tries again (gRPC's own default grows to 120 s, which would ruin every fail-over). gRPC
answers pings by threads of its own: only a peer that does not run at all, or cannot be reached, is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # the api-server ends a chunk of a list long before
MAX_ERROR_BYTES = 8 * 1024 * 1024  # an error is metadata, and names every cause; gRPC takes 16 KiB by default
MAX_BACKOFF_MS = 2000

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.keepalive_time_ms", 1000),  # gRPC's servers call that an attack, unless they are set up as below
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),  # what keepalive really waits for; a minute by default (grpc-core 1.85)
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", MAX_BACKOFF_MS),
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

SERVER_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.keepalive_time_ms", 10000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.http2.ping_timeout_ms", 5000),  # what keepalive really waits for; a minute by default (grpc-core 1.85)
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),  # never hang up on a caller for its pings
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM bytes: whom to trust, and who we are (both empty for a caller without a certificate)."""

    ca: bytes
    certificate: bytes = b""
    key: bytes = b""

    @classmethod
    def from_files(cls, ca: Path, certificate: Path, key: Path) -> Identity:
        """Read the three files; OSError names the one that cannot be read."""
        return cls(ca.read_bytes(), certificate.read_bytes(), key.read_bytes())

    def __repr__(self) -> str:  # a key must not reach a log
        return f"Identity(certificate={len(self.certificate)} bytes, key=<hidden>)"


def secure_channel(
    target: str, identity: Identity, *, server_name: str = "", options: tuple[tuple[str, int | str], ...] = ()
) -> grpc.aio.Channel:
    """Open a channel to ``host:port`` with mutual TLS. ``server_name`` is the name expected in the certificate."""
    credentials = grpc.ssl_channel_credentials(identity.ca or None, identity.key or None, identity.certificate or None)
    named: tuple[tuple[str, Any], ...] = (("grpc.ssl_target_name_override", server_name),) if server_name else ()
    return grpc.aio.secure_channel(target, credentials, options=(*CHANNEL_OPTIONS, *options, *named))


def unix_channel(path: str | Path, *, options: tuple[tuple[str, int | str], ...] = ()) -> grpc.aio.Channel:
    """Open a channel to a socket of this machine; who may connect is a matter of the file's mode.

    It sends no pings: the kernel tells of a dead peer at once, and containerd hangs up on callers that ping often. It
    shares no back-off with a channel that led to who was at this path before.
    """
    told = {name for name, _ in options}  # of an option that is given twice, gRPC takes the first
    ours = (option for option in CHANNEL_OPTIONS if option[0] not in told)
    quiet = tuple(option for option in ours if "keepalive" not in option[0] and "ping" not in option[0])
    own = ("grpc.use_local_subchannel_pool", 1)
    return grpc.aio.insecure_channel(f"unix:{path}", options=(*quiet, own, *options))


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Serve with TLS and accept only callers whose certificate the CA signed."""
    return grpc.ssl_server_credentials(
        [(identity.key, identity.certificate)], root_certificates=identity.ca, require_client_auth=True
    )
