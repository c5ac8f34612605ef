"""The CRI's streaming server: byte streams beside the calls of gRPC."""
