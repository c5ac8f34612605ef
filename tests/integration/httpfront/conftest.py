"""The HTTP front of one api-server whose store is in memory, behind real TLS on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.httpfront.server import serve_http
from kubelab.component.config import TLS
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.https import HTTPClient, context_of
from tests.support.kubelets import NODE, EchoingKubelet, echoing_kubelet, node_at, tls_of
from tests.support.pki import TestAuthority
from tests.support.tokens import with_tokens


@pytest.fixture(scope="session")
def http_authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def server(tmp_path: Path) -> ApiServerInMemory:
    made = ApiServerInMemory(config=with_tokens(tmp_path))
    await made.api.bootstrap_roles.prepare()
    return made


@pytest.fixture
async def port(server: ApiServerInMemory, http_authority: TestAuthority) -> AsyncIterator[int]:
    files = http_authority.issue("kube-apiserver")
    tls = TLS(ca=files.ca, certificate=files.certificate, key=files.key)

    async def metrics() -> tuple[bytes, str]:
        return b"# metrics\n", "text/plain"

    async with serve_http("127.0.0.1:0", server.api.http_front(metrics), tls=tls) as port:
        yield port
        server.api.reflector.dismiss()


@pytest.fixture
async def http(port: int, http_authority: TestAuthority) -> AsyncIterator[HTTPClient]:
    """An administrator's client."""
    files = http_authority.issue("kubernetes-admin", "system:masters")
    client = HTTPClient(port, context_of(files, files.ca))
    yield client
    await client.close()


@pytest.fixture
async def jane(port: int, http_authority: TestAuthority) -> AsyncIterator[HTTPClient]:
    """The client of a user whom no role allows anything."""
    files = http_authority.issue("jane", "people")
    client = HTTPClient(port, context_of(files, files.ca))
    yield client
    await client.close()


@pytest.fixture
async def nobody(port: int, http_authority: TestAuthority) -> AsyncIterator[HTTPClient]:
    """A client without a certificate."""
    client = HTTPClient(port, context_of(None, http_authority.ca))
    yield client
    await client.close()


@pytest.fixture
async def kubelet(http_authority: TestAuthority) -> AsyncIterator[EchoingKubelet]:
    async with echoing_kubelet(http_authority) as (fake, port):
        fake.port = port
        yield fake


@pytest.fixture
async def server_with_kubelet(http_authority: TestAuthority, kubelet: EchoingKubelet) -> ApiServerInMemory:
    """An api-server with the pods ``web``, which that kubelet runs, and ``waiting``, which no node runs."""
    tls = tls_of(http_authority.issue("kube-apiserver-kubelet-client"))
    server = ApiServerInMemory(config=ApiServerConfig(kubelet_client=tls))
    waiting = make.pod("waiting")
    web = make.pod("web")
    web.spec.nodeName, web.status.podIP = NODE, "10.244.0.7"
    web.spec.containers[0].ports.add(containerPort=8080)
    server.add(node_at(kubelet.port), web, waiting)
    return server
