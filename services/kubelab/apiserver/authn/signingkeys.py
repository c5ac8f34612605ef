"""The key pair that signs service accounts' tokens, and what others need to check a signature.

The file is PEM, with a private key of EC P-256 or RSA, as upstream's ``--service-account-signing-key-file``. The key's
identifier is upstream's: the SHA-256 of its public half. The set of public keys is what ``/openid/v1/jwks`` answers
(RFC 7517).
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kubelab.component.config import ConfigError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class SigningKey:
    """A private key, the identifier by which tokens name it, and its algorithm (RFC 7518)."""

    def __init__(self, private: PrivateKey) -> None:
        self.private, self.public = private, private.public_key()
        self.algorithm = "RS256" if isinstance(private, rsa.RSAPrivateKey) else "ES256"
        encoded = self.public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.id = base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()).rstrip(b"=").decode()

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read the file; ConfigError where it holds no key for signing."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except OSError as err:
            raise ConfigError(f"serviceAccountSigningKeyFile: {err}") from err
        except (ValueError, TypeError) as err:
            raise ConfigError(f"serviceAccountSigningKeyFile: {path} holds no private key in PEM") from err
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        if isinstance(key, rsa.RSAPrivateKey):
            return cls(key)
        raise ConfigError(f"serviceAccountSigningKeyFile: {path} holds neither a key of EC P-256 nor of RSA")

    def key_set(self) -> dict[str, Any]:
        """Give the public key as a JSON Web Key Set."""
        from jwt.algorithms import ECAlgorithm, RSAAlgorithm

        public = self.public
        is_rsa = isinstance(public, rsa.RSAPublicKey)
        key = RSAAlgorithm.to_jwk(public, as_dict=True) if is_rsa else ECAlgorithm.to_jwk(public, as_dict=True)
        shown = {name: value for name, value in key.items() if name != "key_ops"}
        return {"keys": [{"use": "sig", "kid": self.id, "alg": self.algorithm, **shown}]}
