"""How a connection or a stream of SPDY ends badly."""

from __future__ import annotations


class ProtocolError(Exception):
    """The other side breaks the protocol; the connection cannot go on."""


class StreamReset(ConnectionError):
    """A stream was broken off (RST_STREAM), or the connection that carried it has ended."""
