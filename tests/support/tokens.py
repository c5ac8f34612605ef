"""A key for service accounts' tokens, as `kubelab up` makes it."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubelab.apiserver.config import ApiServerConfig


def signing_key(folder: Path) -> Path:
    """Write a key, and give its file."""
    key, path = ec.generate_private_key(ec.SECP256R1()), folder / "sa.key"
    no_password = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    return path


def with_tokens(folder: Path) -> ApiServerConfig:
    """Configure an api-server that signs tokens."""
    return ApiServerConfig(service_account_signing_key_file=signing_key(folder))
