"""Service accounts' tokens as text: signed and read again. What they say is judged in ``serviceaccounts.py``.

A token is a JSON Web Token (RFC 7519) with upstream's private claims below ``kubernetes.io``
(https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens).
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.authn.signingkeys import SigningKey

SUBJECT_PREFIX = "system:serviceaccount:"
LONGEST = 16 * 1024  # characters that are read of a token; upstream's have about 1,200
KEPT = 2048  # tokens whose signature is not checked again


class TokenError(Exception):
    """A token proves nothing. The message is for a TokenReview; a caller learns only that it is unauthorized."""


class ObjectName(NamedTuple):
    """An object that a token names: the token ends when the object of this name has another uid."""

    name: str
    uid: str


class Claims(NamedTuple):
    """What a token says. Times are seconds since the epoch."""

    namespace: str
    account: ObjectName
    audiences: tuple[str, ...]
    issued: int
    expires: int
    id: str
    pod: ObjectName | None = None
    secret: ObjectName | None = None
    node: ObjectName | None = None

    @property
    def subject(self) -> str:
        return f"{SUBJECT_PREFIX}{self.namespace}:{self.account.name}"


class Tokens:
    """Signs and reads the tokens of one issuer. ``audiences`` are the api-servers' own names."""

    def __init__(self, key: SigningKey, issuer: str, audiences: Sequence[str], clock: Clock) -> None:
        self.key, self.issuer, self.audiences = key, issuer, tuple(audiences) or (issuer,)
        self.clock = clock
        self._verified = functools.lru_cache(maxsize=KEPT)(self._verify)

    def issue(
        self,
        namespace: str,
        account: ObjectName,
        audiences: Sequence[str],
        seconds: int,
        *,
        pod: ObjectName | None = None,
        secret: ObjectName | None = None,
        node: ObjectName | None = None,
    ) -> tuple[str, Claims]:
        """Sign a new token that lasts for so many seconds."""
        now = int(self.clock.time())
        claims = Claims(namespace, account, tuple(audiences), now, now + seconds, str(uuid.uuid4()), pod, secret, node)
        return self.sign(claims), claims

    def sign(self, claims: Claims) -> str:
        """Give the text of a token."""
        import jwt

        private: dict[str, Any] = {"namespace": claims.namespace, "serviceaccount": claims.account._asdict()}
        for kind in ("node", "pod", "secret"):
            bound: ObjectName | None = getattr(claims, kind)
            if bound is not None:
                private[kind] = bound._asdict()
        payload = {
            "aud": list(claims.audiences),
            "exp": claims.expires,
            "iat": claims.issued,
            "iss": self.issuer,
            "jti": claims.id,
            "kubernetes.io": private,
            "nbf": claims.issued,
            "sub": claims.subject,
        }
        return jwt.encode(payload, self.key.private, self.key.algorithm, {"kid": self.key.id})

    def read(self, token: str) -> Claims:
        """Check a token's signature and issuer and give its claims. TokenError."""
        if len(token) > LONGEST:
            raise TokenError("the token is too long")
        return self._verified(token)

    def _verify(self, token: str) -> Claims:
        import jwt

        # Times and audiences are judged at each use, by the server's own clock; a signature only once.
        options: Any = {f"verify_{claim}": False for claim in ("aud", "exp", "iat", "nbf", "sub", "jti")}
        try:
            payload = jwt.decode(
                token, self.key.public, algorithms=[self.key.algorithm], issuer=self.issuer, options=options
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as err:
            raise TokenError(f"invalid signature or issuer: {err}") from err
        try:
            return _claims(payload)
        except (KeyError, TypeError, ValueError) as err:
            raise TokenError("the token lacks claims of a service account") from err


def _claims(payload: Mapping[str, Any]) -> Claims:
    private = payload["kubernetes.io"]
    audiences: object = payload["aud"]
    claims = Claims(
        _text(private["namespace"]),
        _object(private["serviceaccount"]),
        tuple(map(_text, cast(list[object], audiences))) if isinstance(audiences, list) else (_text(audiences),),
        int(payload["nbf"]),
        int(payload["exp"]),
        _text(payload.get("jti", "")),
        *(_object(private[kind]) if kind in private else None for kind in ("pod", "secret", "node")),
    )
    if payload["sub"] != claims.subject:
        raise ValueError("the subject is another than the account")
    return claims


def _object(value: Mapping[str, object]) -> ObjectName:
    return ObjectName(_text(value["name"]), _text(value.get("uid", "")))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value
