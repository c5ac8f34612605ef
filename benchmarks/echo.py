"""The least that a call costs here: a server that answers what it is asked, behind the same TLS and channel options.

usage: python -m benchmarks.echo FOLDER

FOLDER holds ca.crt, echo.crt and echo.key. It prints its port, and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc

from kubelab.rpc.channels import SERVER_OPTIONS, TLSIdentity, server_credentials

METHOD = "/kubelab.benchmarks.Echo/Say"


async def _echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def main(folder: Path) -> None:
    service, method = METHOD.strip("/").split("/")
    handler: Any = grpc.unary_unary_rpc_method_handler(_echo)  # type: ignore[arg-type]  # the stubs know only threads
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    identity = TLSIdentity.from_files(folder / "ca.crt", folder / "echo.crt", folder / "echo.key")
    print(server.add_secure_port("127.0.0.1:0", server_credentials(identity)), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
