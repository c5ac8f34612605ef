"""Tokens of service accounts for the pods of this node, asked for before they are needed and again before they end.

https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken (upstream:
``pkg/kubelet/token``). Each is bound to its pod: it ends with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.client.client import Client
from kubelab.kubelet.volumes.errors import VolumeError

DEFAULT_SECONDS = 3600
REFRESH_AT = 0.8  # of a token's life
LONGEST_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Token:
    """A token's text, and when the next one is asked for, in seconds since the epoch."""

    text: str
    refresh_at: float


class Tokens:
    """Those of one pod, by the volume and the number of its source."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._tokens: dict[tuple[str, int], Token] = {}

    @property
    def refresh_at(self) -> float | None:
        """When the first of them is due."""
        return min((token.refresh_at for token in self._tokens.values()), default=None)

    async def get(
        self, pod: core_pb2.Pod, volume: str, number: int, source: core_pb2.ServiceAccountTokenProjection
    ) -> str:
        """The token for one source, a new one when it is due. VolumeError, in upstream's words; what the volume has
        serves on until it ends."""
        now = self._clock.time()
        held = self._tokens.get((volume, number))
        if held is not None and now < held.refresh_at:
            return held.text
        try:
            token = self._tokens[volume, number] = await self._request(pod, source, now)
        except errors.ApiError as err:
            raise VolumeError(f"failed to fetch token: {err}") from err
        return token.text

    async def _request(self, pod: core_pb2.Pod, source: core_pb2.ServiceAccountTokenProjection, now: float) -> Token:
        meta = pod.metadata
        asked = authentication_pb2.TokenRequest()
        if source.audience:
            asked.spec.audiences.append(source.audience)
        asked.spec.expirationSeconds = source.expirationSeconds or DEFAULT_SECONDS
        bound = asked.spec.boundObjectRef
        bound.kind, bound.apiVersion, bound.name, bound.uid = "Pod", "v1", meta.name, meta.uid
        answer = await self._client.create_token(pod.spec.serviceAccountName, meta.namespace, asked)
        life = float(answer.spec.expirationSeconds)
        return Token(answer.status.token, now + min(REFRESH_AT * life, LONGEST_SECONDS))
