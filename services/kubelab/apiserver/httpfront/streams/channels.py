"""Several streams in one WebSocket: the first byte of each message is the number of its channel
(https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/apimachinery/pkg/util/httpstream/wsstream).

``base64`` protocols send text: the channel as a digit, then the bytes in base64. From v5 on a message on channel 255
names a channel in which no more comes.
"""

from __future__ import annotations

import base64
import binascii

from aiohttp import WSMsgType, web

CHANNEL, BASE64 = "channel.k8s.io", "base64.channel.k8s.io"
V4, V4_BASE64, V5 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"
CLOSE = 255
MAX_MESSAGE = 4 << 20  # bytes; kubectl sends 32 KiB


def is_websocket(raw: web.BaseRequest) -> bool:
    """Whether a request asks for a WebSocket."""
    return raw.headers.get("Upgrade", "").lower() == "websocket"


def offered(raw: web.BaseRequest) -> list[str]:
    """The protocols that a client names, the one that it likes best first."""
    return [word.strip() for word in raw.headers.get("Sec-WebSocket-Protocol", "").split(",") if word.strip()]


async def accept(raw: web.BaseRequest, protocols: tuple[str, ...]) -> web.WebSocketResponse:
    """Upgrade, with the first protocol of the client's that is among these; without any, where it names none."""
    ws = web.WebSocketResponse(protocols=protocols, compress=False, max_msg_size=MAX_MESSAGE)
    await ws.prepare(raw)
    return ws


class Channels:
    """The channels of one WebSocket."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws
        self._text = "base64" in (ws.ws_protocol or "")

    @property
    def protocol(self) -> str:
        return self._ws.ws_protocol or ""

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes in a channel. ConnectionError where the client has gone."""
        if self._text:
            await self._ws.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._ws.send_bytes(bytes((channel,)) + data)

    async def receive(self) -> tuple[int, bytes] | None:
        """Give the next message's channel and bytes; None when the client has closed or broken the WebSocket."""
        while True:
            message = await self._ws.receive()
            if message.type is WSMsgType.BINARY or message.type is WSMsgType.TEXT:
                data: bytes = message.data if isinstance(message.data, bytes) else message.data.encode()
                if not data:
                    continue
                if not self._text:
                    return data[0], data[1:]
                try:
                    return data[0] - ord("0"), base64.b64decode(data[1:], validate=True)
                except binascii.Error:
                    return None
            else:
                return None

    async def close(self) -> None:
        await self._ws.close()
