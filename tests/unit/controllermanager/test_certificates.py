"""The controllers of certificate signing requests, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery.certificates import signers
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS as CSRS
from kubelab.auth.users import AUTHENTICATED, User, user_from_certificate
from kubelab.client.client import Client
from kubelab.component.environment import Environment
from kubelab.controllermanager import __main__ as component
from kubelab.controllermanager.certificates import approving, signing
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.pki import certificates as pki
from kubelab.topology.record import NodeRecord
from tests.support import tasks
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import START, FakeClock
from tests.support.signingrequests import CLIENT_USAGES, key_and_request, signing_request

NOW = datetime.datetime.fromtimestamp(START, datetime.UTC)
HOUR = 3600.0
NODE = (("impersonate-user", "system:node:node-1"), ("impersonate-group", "system:nodes"))
KUBELET, SERVING = signers.KUBE_APISERVER_CLIENT_KUBELET, signers.KUBELET_SERVING


@dataclass
class Lab:
    server: ApiServerInMemory
    client: Client
    clock: FakeClock
    folder: Path

    async def approved(self, csr: pb.CertificateSigningRequest) -> None:
        made = await self.client.create(csr)
        made.status.conditions.add(type=signers.APPROVED, status="True")
        await self.client.update_approval(made)

    async def done(self, name: str) -> pb.CertificateSigningRequest:
        """Wait for a certificate, or for the reason why there is none."""

        def found() -> pb.CertificateSigningRequest | None:
            csr = self.server.get(CSRS, name)
            return csr if csr and (csr.status.certificate or signers.has(csr, signers.FAILED)) else None

        await self.server.until(found)
        csr = found()
        assert csr is not None
        return csr


@contextlib.asynccontextmanager
async def running(tmp_path: Path, *controllers: str, keys: bool = True) -> AsyncGenerator[Lab]:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add_default_roles()
    config = ControllerManagerConfig(name="controller-manager@test", controllers=list(controllers))
    config.leader_election.leader_elect = False
    if keys:
        pki.ensure(tmp_path, [NodeRecord("cp-1", "192.168.49.2", control_plane=True)], NOW)
        config.cluster_signing_cert_file = tmp_path / "client-ca.crt"
        config.cluster_signing_key_file = tmp_path / "client-ca.key"
    env = Environment(config, "controller-manager", clock=clock, make_client=server.client)
    async with env.client() as work, server.client() as client, tasks.running(component.work(config, env, work)):
        await server.until(lambda: server.watching(CSRS))
        yield Lab(server, client, clock, tmp_path)


async def test_an_approved_request_gets_the_certificate_that_it_asks_for(tmp_path: Path) -> None:
    address = [x509.DNSName("jane.example.com")]
    _, pem = key_and_request("jane", "dev", "ops", names=address)
    async with running(tmp_path, "csrsigning") as lab:
        await lab.approved(signing_request("jane", pem))
        made = x509.load_pem_x509_certificate((await lab.done("jane")).status.certificate)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "client-ca.crt").read_bytes()))
    assert user_from_certificate(made) == User("jane", frozenset({"dev", "ops", AUTHENTICATED}))
    assert made.public_key() == x509.load_pem_x509_csr(pem).public_key()
    assert [*made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value] == address
    assert [*made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == [ExtendedKeyUsageOID.CLIENT_AUTH]
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.not_valid_before_utc == NOW - datetime.timedelta(minutes=5)
    assert made.not_valid_after_utc == NOW + datetime.timedelta(days=365, minutes=-5)


@pytest.mark.parametrize(
    ("seconds", "lasts"),
    [(600, 600), (3600, 3600), (8 * 3600, 8 * 3600 - 300), (2**31 - 1, 365 * 86400 - 300)],
)
async def test_how_long_a_certificate_lasts(tmp_path: Path, seconds: int, lasts: int) -> None:
    async with running(tmp_path, "csrsigning") as lab:
        await lab.approved(signing_request("jane", key_and_request("jane")[1], seconds=seconds))
        made = x509.load_pem_x509_certificate((await lab.done("jane")).status.certificate)
    assert made.not_valid_after_utc == NOW + datetime.timedelta(seconds=lasts)


async def test_only_what_is_approved_and_its_own_is_signed(tmp_path: Path) -> None:
    pem = key_and_request("jane")[1]
    async with running(tmp_path, "csrsigning") as lab:
        await lab.client.create(signing_request("pending", pem))
        await lab.approved(signing_request("theirs", pem, signer="example.com/robots"))
        denied = await lab.client.create(signing_request("denied", pem))
        denied.status.conditions.add(type=signers.DENIED, status="True")
        await lab.client.update_approval(denied)
        await lab.approved(signing_request("jane", pem))
        await lab.done("jane")
        others = [csr for csr in lab.server.objects(CSRS) if csr.metadata.name != "jane"]
    assert [csr.metadata.name for csr in others] == ["denied", "pending", "theirs"]
    assert not any(csr.status.certificate for csr in others)


NODES = key_and_request("system:node:n", "system:nodes")[1]
SERVES = ("digital signature", "server auth")
NAMED = key_and_request("system:node:n", "system:nodes", names=[x509.DNSName("n")])[1]
MAILED = [x509.DNSName("n"), x509.RFC822Name("a@example.com")]
PROCESS = [x509.UniformResourceIdentifier("kubelab:process:scheduler@cp-1")]


@pytest.mark.parametrize(
    ("signer", "pem", "usages", "why"),
    [
        (signers.KUBE_APISERVER_CLIENT, NODES, ("client auth", "server auth"), "invalid usage for client certificate"),
        (signers.KUBE_APISERVER_CLIENT, NODES, ("digital signature",), "missing required usage for client certificate"),
        (
            signers.KUBE_APISERVER_CLIENT,
            key_and_request("x", names=PROCESS)[1],
            CLIENT_USAGES,
            "URI subjectAltNames that begin with kubelab:process: are not allowed",
        ),
        (KUBELET, key_and_request("system:node:n")[1], CLIENT_USAGES, "subject organization is not system:nodes"),
        (KUBELET, NAMED, CLIENT_USAGES, "DNS subjectAltNames are not allowed"),
        (
            KUBELET,
            key_and_request("n", "system:nodes")[1],
            CLIENT_USAGES,
            "subject common name does not begin with system:node:",
        ),
        (
            KUBELET,
            NODES,
            ("client auth",),
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (SERVING, NODES, SERVES, "DNS or IP subjectAltName is required"),
        (
            SERVING,
            key_and_request("system:node:n", "system:nodes", names=MAILED)[1],
            SERVES,
            "Email subjectAltNames are not allowed",
        ),
        (SERVING, NAMED, CLIENT_USAGES, "usages did not match [digital signature key encipherment server auth]"),
        (KUBELET, NODES, CLIENT_USAGES, ""),
        (SERVING, NAMED, SERVES, ""),
    ],
)
async def test_what_a_signer_takes(tmp_path: Path, signer: str, pem: bytes, usages: tuple[str, ...], why: str) -> None:
    async with running(tmp_path, "csrsigning") as lab:
        await lab.approved(signing_request("x", pem, signer=signer, usages=usages))
        csr = await lab.done("x")
    failed = [c for c in csr.status.conditions if c.type == signers.FAILED]
    assert bool(csr.status.certificate) is not bool(why)
    assert [c.reason for c in failed] == (["SignerValidationFailure"] if why else [])
    assert all(why in c.message for c in failed)


async def test_a_lost_key_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, "csrsigning") as lab:
        key = tmp_path / "client-ca.key"
        text = key.read_bytes()
        key.write_bytes((tmp_path / "ca.key").read_bytes())  # another one's
        await lab.approved(signing_request("jane", key_and_request("jane")[1]))
        await lab.server.until(lambda: lab.clock._sleepers)
        csr = lab.server.get(CSRS, "jane")
        assert csr is not None
        assert not csr.status.certificate
        key.write_bytes(text)
        await lab.clock.advance(60)
        assert (await lab.done("jane")).status.certificate


async def test_without_a_key_requests_stay_as_they_are(tmp_path: Path) -> None:
    async with running(tmp_path, "csrsigning", "csrapproving", keys=False) as lab:
        async with lab.server.client(headers=NODE) as node:
            await node.create(
                signing_request("n", key_and_request("system:node:node-1", "system:nodes")[1], signer=KUBELET)
            )
        await lab.server.until(lambda: (csr := lab.server.get(CSRS, "n")) and signers.has(csr, signers.APPROVED))
        csr = lab.server.get(CSRS, "n")
        assert csr is not None
        assert not csr.status.certificate


async def test_a_node_renews_its_own_certificate_and_no_other(tmp_path: Path) -> None:
    async with running(tmp_path, "csrsigning", "csrapproving") as lab:
        async with lab.server.client(headers=NODE) as node:
            for name in ("node-1", "node-2"):
                pem = key_and_request(f"system:node:{name}", "system:nodes")[1]
                await node.create(signing_request(name, pem, signer=KUBELET))
            await node.create(signing_request("user", key_and_request("system:node:node-1", "system:nodes")[1]))
        mine = await lab.done("node-1")
        await lab.server.until(lambda: len(lab.server.calls_of("create")) >= 5)  # 3 requests, 2 reviews
        others = [lab.server.get(CSRS, name) for name in ("node-2", "user")]
    assert [(c.reason, c.message) for c in mine.status.conditions] == [("AutoApproved", approving.SELF)]
    made = user_from_certificate(x509.load_pem_x509_certificate(mine.status.certificate))
    assert made.node == "node-1"
    assert [csr.status.conditions[:] for csr in others if csr] == [[], []]


async def test_requests_go_when_their_time_is_over(tmp_path: Path) -> None:
    async with running(tmp_path, "csrsigning", "csrcleaner") as lab:

        def left() -> list[str]:
            return [csr.metadata.name for csr in lab.server.objects(CSRS)]

        pem = key_and_request("jane")[1]
        await lab.client.create(signing_request("pending", pem))
        await lab.approved(signing_request("short", pem, seconds=600))
        await lab.approved(signing_request("issued", pem))
        await lab.done("short")
        await lab.done("issued")
        for after, names in (
            (599, ["issued", "pending", "short"]),
            (1, ["issued", "pending"]),
            (HOUR - 601, ["issued", "pending"]),
            (1, ["pending"]),
            (23 * HOUR - 1, ["pending"]),
            (1, []),
        ):
            await lab.clock.advance(after)
            await lab.server.until(lambda names=names: left() == names)


def test_a_longer_life_than_the_authority_gives_is_cut() -> None:
    longest = datetime.timedelta(hours=1)
    asked = signing_request("x", b"", seconds=7200)
    assert signing.duration(asked, longest) == longest
    assert signing.duration(signing_request("x", b""), longest) == longest
