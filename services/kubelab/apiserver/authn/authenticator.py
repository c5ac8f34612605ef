"""Who sends a request, whichever front it came through: the user of its client certificate, else of its bearer token.

No request is anonymous: a front answers health without asking here. Who may impersonate is answered as another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from kubelab.apimachinery import errors
from kubelab.apiserver.authn import impersonation
from kubelab.apiserver.authn.serviceaccounts import ServiceAccountAuthenticator
from kubelab.apiserver.authn.tokens import TokenError
from kubelab.apiserver.request import Request
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User, authenticate

AUTHORIZATION = "authorization"


class Authenticator:
    """``accounts`` reads tokens, None where the server has no key for them. ``check`` raises Forbidden."""

    def __init__(
        self, accounts: ServiceAccountAuthenticator | None, check: Callable[[Attributes], Awaitable[None]]
    ) -> None:
        self._accounts, self._check = accounts, check

    async def identify(self, request: Request) -> User:
        """Give the user as whom a request is answered, and note in the request who it is. Unauthorized; Forbidden for
        one who may not impersonate."""
        token, headers = _credentials(request.metadata)
        user = authenticate(request.certificate) if request.certificate or not token else await self._bearer(token)
        request.user = user
        if not headers:
            return user
        asked = impersonation.requested(headers)
        for question in impersonation.questions(user, asked):
            await self._check(question)
        request.impersonator, request.user = user, impersonation.impersonated(asked)
        return request.user

    async def _bearer(self, value: str) -> User:
        scheme, _, token = value.partition(" ")
        if self._accounts is None or scheme.lower() != "bearer" or not token.strip():
            raise errors.Unauthorized("Unauthorized")
        try:
            return (await self._accounts.authenticate(token.strip())).user
        except TokenError as err:
            raise errors.Unauthorized("Unauthorized") from err


def _credentials(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, list[tuple[str, str]]]:
    """The Authorization header, and those of an impersonation."""
    token = ""
    headers: list[tuple[str, str]] = []
    for key, value in metadata:
        if key == AUTHORIZATION or key.startswith(impersonation.PREFIX):
            text = value if isinstance(value, str) else value.decode(errors="replace")
            if key != AUTHORIZATION:
                headers.append((key, text))
            elif not token:
                token = text
    return token, headers
