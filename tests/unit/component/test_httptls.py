"""The certificate that a component shows over HTTPS, while the files are renewed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from cryptography import x509

from kubelab.component.config import TLS
from kubelab.component.httptls import ServerContext
from tests.support.pki import TestAuthority


async def shown(context: ServerContext, ca: Path) -> int:
    """Shake hands with a server; gives its certificate's serial number."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(context.current())
        writer.close()

    client = ssl.create_default_context(cafile=str(ca))
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
    return x509.load_der_x509_certificate(certificate).serial_number


async def test_a_renewed_certificate_is_shown_and_half_a_renewal_is_not(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path)
    files = authority.issue("server")
    context = ServerContext(TLS(ca=files.ca, certificate=files.certificate, key=files.key))
    first = await shown(context, files.ca)
    key = files.key.read_bytes()
    files = authority.issue("server")
    renewed = files.key.read_bytes()
    files.key.write_bytes(key)
    assert await shown(context, files.ca) == first, "the key is still the old one"
    files.key.write_bytes(renewed)
    assert (
        await shown(context, files.ca) == x509.load_pem_x509_certificate(files.certificate.read_bytes()).serial_number
    )
