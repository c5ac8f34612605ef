"""A cluster's own certificates on real TLS: who passes for whom, and what a renewal does to connections."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import Unavailable
from kubelab.client.kubeconfig import API_SERVER_NAME, Kubeconfig
from kubelab.client.requests import SERVER_VERSION
from kubelab.client.transport import Connections
from kubelab.component.config import TLS
from kubelab.component.serving import Health, serve_grpc
from kubelab.pki import certificates as pki
from kubelab.pki.__main__ import main as make_volumes
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.apiserver.v1 import apiserver_pb2_grpc
from kubelab.rpc.channels import TLSIdentity, TLSIdentityFiles, open_channel
from kubelab.supervisor import etcdmembers, plan
from kubelab.topology.components import server_name
from kubelab.topology.record import NodeRecord, Record
from tests.support.etcd import missing
from tests.support.polling import until_true

NODES = (NodeRecord("cp-1", "127.0.0.1", True), NodeRecord("node-1", "127.0.0.1"))
IDENTITIES = {identity.file: identity for identity in pki.identities(NODES)}
CLIENTS = [i.file for i in IDENTITIES.values() if set(pki.CLIENT) & set(i.usages)]
SERVERS = [i.file for i in IDENTITIES.values() if set(pki.SERVER) & set(i.usages)]
NOW = datetime.datetime.fromtimestamp(SystemClock().time(), datetime.UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki")
    pki.ensure(made, NODES, NOW)
    return made


def files(folder: Path, name: str, ca: str = "ca") -> TLSIdentityFiles:
    return TLSIdentityFiles(folder / f"{ca}.crt", folder / f"{name}.crt", folder / f"{name}.key")


@contextlib.asynccontextmanager
async def serving(folder: Path, name: str) -> AsyncGenerator[int]:
    """A server that shows this certificate, as every component's does."""
    clients = "client-cas" if name.startswith("api-server") else "ca"
    tls = TLS(ca=folder / f"{clients}.crt", certificate=folder / f"{name}.crt", key=folder / f"{name}.key")
    async with serve_grpc("127.0.0.1:0", [], tls=tls, health=Health()) as served:
        yield served.port


async def reaches(port: int, identity: TLSIdentity, name: str) -> bool:
    """Whether a client that expects this name gets an answer; nothing is sent before both sides are content."""
    async with open_channel(f"127.0.0.1:{port}", identity, server_name=name) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        except grpc.aio.AioRpcError as err:
            if err.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


@pytest.mark.parametrize("server", IDENTITIES)
async def test_no_certificate_passes_for_an_api_server_but_an_api_servers(folder: Path, server: str) -> None:
    """Each component could serve as the api-server on 127.0.0.1, and read what its clients sent."""
    client = files(folder, "kubelet@node-1").current()
    async with serving(folder, server) as port:
        assert await reaches(port, client, API_SERVER_NAME) is (server == "api-server@cp-1-serving")
        assert await reaches(port, client, "127.0.0.1") is (server == "api-server@cp-1-serving")


@pytest.mark.parametrize("server", [name for name in SERVERS if name != "etcd@cp-1"])
async def test_a_component_is_reached_by_its_own_name_and_no_other(folder: Path, server: str) -> None:
    client = files(folder, "supervisor").current()
    own = server_name(server.removesuffix("-serving"))
    async with serving(folder, server) as port:
        for other in SERVERS:
            name = server_name(other.removesuffix("-serving"))
            if not server.startswith("api-server"):
                assert await reaches(port, client, name) is (name == own), name


@pytest.mark.parametrize("client", IDENTITIES)
async def test_only_a_clients_certificate_of_the_clusters_authority_reaches_an_api_server(
    folder: Path, client: str
) -> None:
    wanted = client in CLIENTS and IDENTITIES[client].authority == "ca"
    async with serving(folder, "api-server@cp-1-serving") as port:
        assert await reaches(port, files(folder, client).current(), API_SERVER_NAME) is wanted


@pytest.mark.parametrize("server", SERVERS)
async def test_what_the_controller_manager_signs_is_for_api_servers_alone(own: Path, server: str) -> None:
    """Its authority makes users, and no other server takes its word: not a kubelet's, and not for a server."""
    both = set(pki.CLIENT) | set(pki.SERVER)
    made = pki.CertificateIdentity("jane", "jane", names=(API_SERVER_NAME,), usages=(*both,), authority="client-ca")
    pki.issue(own, made, pki.authority(own, made.authority), NOW)
    jane = files(own, "jane").current()
    async with serving(own, server) as port:
        wanted = server == "api-server@cp-1-serving"
        name = API_SERVER_NAME if wanted else server_name(server.removesuffix("-serving"))
        assert await reaches(port, jane, name) is wanted
    async with serving(own, "jane") as port:
        assert not await reaches(port, files(own, "supervisor").current(), API_SERVER_NAME)


def test_every_kubeconfig_names_the_api_servers_certificate(tmp_path: Path) -> None:
    record = Record.new(tmp_path, "lab", 2)
    pki.ensure(record.pki, record.nodes, NOW)
    found = [text for path, text in plan.plan(record).files.items() if path.suffix == ".kubeconfig"]
    assert len(found) == 6
    for text in found:
        access = Kubeconfig.parse(text).access()
        assert access.server_name == API_SERVER_NAME
        assert access.files is not None


# --- in containers

HEALTHY = Path(__file__).parents[3] / "deploy/images/healthy"


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the container ``pki`` writes, in the place of the volumes."""
    out = tmp_path_factory.mktemp("volumes")
    for name in ("control-plane", "node-1"):
        (out / name).mkdir()
    assert make_volumes(["--out", str(out), "--workers", "1", "--control-planes", "1"]) == 0
    return out


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
@pytest.mark.parametrize(
    "path",
    [
        *(f"control-plane/{component}@cp-1" for component in ("api-server", "scheduler", "controller-manager")),
        *(f"node-1/etc/{component}" for component in ("kubelet", "kube-proxy")),
    ],
)
async def test_the_health_check_of_a_container_looks_at_its_own_server(volumes: Path, path: str) -> None:
    own = volumes / path
    other = volumes / ("node-1/etc/kubelet" if "kubelet" not in path else "node-1/etc/kube-proxy")
    for folder, well in ((own, True), (other, False)):
        tls = TLS(ca=folder / "ca.crt", certificate=folder / "serving.crt", key=folder / "serving.key")
        async with serve_grpc("127.0.0.1:0", [], tls=tls, health=Health()) as served:
            check = await asyncio.create_subprocess_exec(HEALTHY, own, f"localhost:{served.port}")
            assert (await check.wait() == 0) is well


# --- renewal


def issue(folder: Path, name: str, when: datetime.datetime) -> None:
    identity = IDENTITIES[name]
    pki.issue(folder, identity, pki.authority(folder, identity.authority), when)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(folder, tmp_path / "pki"))


def shown_by(port: int, folder: Path) -> int:
    """The serial number of the certificate that a server shows."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "supervisor.crt", folder / "supervisor.key")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=API_SERVER_NAME) as wrapped,
    ):
        return x509.load_der_x509_certificate(wrapped.getpeercert(True) or b"").serial_number


def serial(folder: Path, name: str) -> int:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes()).serial_number


async def test_a_server_shows_its_renewed_certificate_without_a_restart(own: Path) -> None:
    name = "api-server@cp-1-serving"
    async with serving(own, name) as port:
        old = serial(own, name)
        assert await asyncio.to_thread(shown_by, port, own) == old
        good = (own / f"{name}.key").read_bytes()
        (own / f"{name}.key").write_bytes((own / "admin.key").read_bytes())  # half of a renewal
        assert await asyncio.to_thread(shown_by, port, own) == old
        (own / f"{name}.key").write_bytes(good)
        issue(own, name, NOW)
        assert await asyncio.to_thread(shown_by, port, own) == serial(own, name) != old


class Version(apiserver_pb2_grpc.DiscoveryServicer):
    async def ServerVersion(self, request: pb.ServerVersionRequest, context: Any) -> pb.ServerVersionResponse:
        return pb.ServerVersionResponse(git_version="v1")

    async def ServerResources(self, request: pb.ServerResourcesRequest, context: Any) -> pb.ServerResourcesResponse:
        return pb.ServerResourcesResponse()


async def test_a_client_connects_with_its_renewed_certificate_without_a_restart(own: Path) -> None:
    name = "kubelet@node-1"
    issue(own, name, NOW - 2 * pki.VALIDITY)  # it ended a year ago
    tls = TLS(
        ca=own / "ca.crt", certificate=own / "api-server@cp-1-serving.crt", key=own / "api-server@cp-1-serving.key"
    )

    def add(server: grpc.aio.Server) -> None:
        apiserver_pb2_grpc.add_DiscoveryServicer_to_server(Version(), server)

    async with serve_grpc("127.0.0.1:0", [add], tls=tls, health=Health()) as served:
        target = f"127.0.0.1:{served.port}"
        connections = Connections.secure([target], files(own, name), caller="test", server_name=API_SERVER_NAME)
        try:
            with pytest.raises(Unavailable, match=r"may not accept the client's certificate"):
                await connections.unary(SERVER_VERSION, pb.ServerVersionRequest(), timeout=2)
            issue(own, name, NOW)
            answer = await connections.unary(SERVER_VERSION, pb.ServerVersionRequest(), timeout=10)
            assert answer.git_version == "v1"
        finally:
            await connections.close()


# --- etcd


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """etcd as the supervisor starts it, on other ports; gives the certificates' folder and the address."""
    if missing():
        pytest.skip("no etcd on this machine")
    record = Record.new(tmp_path, "lab", 1)
    pki.ensure(record.pki, record.nodes, NOW)
    spec = next(spec for spec in plan.plan(record).specs if spec.component == "etcd")
    client, peer = free_port(), free_port()
    address = record.control_planes[0].address
    argv = [
        one.replace(f",https://127.0.0.1:{etcdmembers.PORT}", "")
        .replace(f"{address}:{etcdmembers.PORT}", f"127.0.0.1:{client}")
        .replace(f"{address}:{etcdmembers.PEER_PORT}", f"127.0.0.1:{peer}")
        for one in spec.request.argv
    ]
    with subprocess.Popen([spec.request.program or "etcd", *argv], stderr=subprocess.DEVNULL) as process:
        try:
            yield record.pki, f"127.0.0.1:{client}"
        finally:
            process.terminate()


async def etcd_answers(address: str, identity: TLSIdentity) -> bool:
    async with open_channel(address, identity) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        except grpc.aio.AioRpcError:
            return False
        return True


def listens(address: str) -> Callable[[], bool]:
    def look() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0

    return look


async def test_etcd_accepts_api_servers_and_health_checks_alone(etcd: tuple[Path, str]) -> None:
    folder, address = etcd
    await until_true(listens(address), within=20)
    allowed = {"apiserver-etcd-client", "etcd-healthcheck-client", "etcd@cp-1"}
    for path in sorted(folder.glob("*.key")):
        if path.stem in ("ca", "etcd-ca", "client-ca", "sa"):  # none of them has a certificate for clients
            continue
        identity = files(folder, path.stem, "etcd-ca").current()
        assert await etcd_answers(address, identity) is (path.stem in allowed), path.stem
