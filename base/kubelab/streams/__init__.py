"""Byte streams in both directions, whatever carries them: a socket, a stream of SPDY, a call of gRPC."""
