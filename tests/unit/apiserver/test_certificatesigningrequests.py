"""Certificate signing requests at an api-server in memory: who asks, who decides, who signs."""

from __future__ import annotations

from typing import Any, cast

import pytest

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.certificates.signers import APPROVED, DENIED, FAILED
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS as CSRS
from kubelab.client.client import Client
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import START, FakeClock
from tests.support.signingrequests import key_and_request, signing_request

PEM = key_and_request("jane", "dev")[1]
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def as_user(name: str, *groups: str) -> tuple[tuple[str, str], ...]:
    return (("impersonate-user", name), *(("impersonate-group", group) for group in groups))


CONTROLLER = as_user("system:kube-controller-manager")
NODE = as_user("system:node:node-1", "system:nodes")


def decided(csr: pb.CertificateSigningRequest, kind: str, status: str = "True") -> pb.CertificateSigningRequest:
    csr.status.conditions.add(type=kind, status=status, reason="ByHand")
    return csr


async def told(call: Any) -> str:
    with pytest.raises(ApiError) as raised:
        await call
    return raised.value.message


async def test_who_asks_is_who_sent_it() -> None:
    server = ApiServerInMemory()
    server.add_default_roles()
    async with server.client(headers=NODE) as client:
        asked = signing_request("n", PEM)
        asked.spec.username, asked.spec.uid = "root", "0"
        asked.spec.groups.append("system:masters")
        asked.spec.extra["a"].items.append("b")
        asked.status.certificate = CERTIFICATE
        made = await client.create(decided(asked, APPROVED))
    assert made.spec.username == "system:node:node-1"
    assert [*made.spec.groups] == ["system:authenticated", "system:nodes"]
    assert not made.spec.uid
    assert not made.spec.extra
    assert not made.status.ByteSize()


async def test_what_was_asked_stays() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        made = await client.create(signing_request("jane", PEM))
        changed = pb.CertificateSigningRequest.FromString(made.SerializeToString())
        changed.spec.usages.append("server auth")
        changed.spec.username = "root"
        changed.metadata.labels["a"] = "b"
        decided(changed, APPROVED)
        after = await client.update(changed)
        assert after.spec == made.spec
        assert not after.status.conditions
        assert after.metadata.labels == {"a": "b"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"request": b"x"}, "spec.request: Invalid value: []byte{0x78}: PEM block type must be CERTIFICATE REQUEST"),
        (
            {"request": CERTIFICATE.replace(b"CERTIFICATE", b"CERTIFICATE REQUEST")},
            "the request cannot be read",
        ),
        ({"usages": []}, "spec.usages: Required value"),
        ({"usages": ["client auth", "client auth"]}, 'spec.usages[1]: Duplicate value: "client auth"'),
        ({"usages": ["clientAuth"]}, 'spec.usages[0]: Unsupported value: "clientAuth": supported values: "any", "cert'),
        ({"signer": ""}, "spec.signerName: Required value"),
        (
            {"signer": "kubernetes.io"},
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        ({"signer": "a.b/c/d"}, "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
        ({"signer": "local/x"}, "should be a domain with at least two segments separated by dots"),
        ({"signer": "example.com/X"}, 'Invalid value: "X": validating label "X": a lowercase RFC 1123 subdomain'),
        (
            {"signer": "kubernetes.io/legacy-unknown"},
            "the legacy signerName is not allowed via this API version",
        ),
        (
            {"seconds": 599},
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ],
)
async def test_what_cannot_be_asked(change: dict[str, Any], complaint: str) -> None:
    server = ApiServerInMemory()
    request = change.pop("request", PEM)
    async with server.client() as client:
        assert complaint in await told(client.create(signing_request("x", request, **change)))


async def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    damaged = bytearray(PEM)
    lines = PEM.split(b"\n")
    at = PEM.index(lines[-3]) + 20  # in the signature
    damaged[at] = ord("A") if damaged[at] != ord("A") else ord("B")
    server = ApiServerInMemory()
    async with server.client() as client:
        assert "spec.request: Invalid value" in await told(client.create(signing_request("x", bytes(damaged))))


async def test_no_request_makes_masters() -> None:
    server = ApiServerInMemory()
    masters = key_and_request("root", "people", "system:masters")[1]
    async with server.client() as client:
        assert await told(client.create(signing_request("x", masters))) == (
            'certificatesigningrequests.certificates.k8s.io "x" is forbidden: use of '
            "kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
        )
        await client.create(signing_request("x", masters, signer="example.com/robots"))


async def test_approval_decides_and_changes_nothing_else() -> None:
    server = ApiServerInMemory(clock=FakeClock())
    async with server.client() as client:
        made = await client.create(signing_request("jane", PEM))
        made.status.certificate = CERTIFICATE
        made.spec.signerName = "example.com/robots"
        made.metadata.annotations["a"] = "b"
        after = await client.update_approval(decided(made, APPROVED))
    condition = after.status.conditions[0]
    assert (condition.type, condition.reason) == (APPROVED, "ByHand")
    assert condition.lastUpdateTime.seconds == condition.lastTransitionTime.seconds == int(START)
    assert not after.status.certificate
    assert after.spec.signerName == "kubernetes.io/kube-apiserver-client"
    assert after.metadata.annotations == {"a": "b"}


async def test_a_patch_of_the_approval() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        await client.create(signing_request("jane", PEM))
        patch = b'{"metadata":{"annotations":{"a":"b"}},"status":{"conditions":[{"type":"Denied","status":"True"}]}}'
        after = await client.patch(CSRS, "jane", patch, PatchType.MERGE, subresource="approval")
        assert [condition.type for condition in after.status.conditions] == [DENIED]
        assert after.metadata.annotations == {"a": "b"}
        shown = cast(pb.CertificateSigningRequest, await client.get_subresource(CSRS, "jane", "", "approval"))
        assert shown.status == after.status


async def test_what_is_decided_stays() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        csr = await client.update_approval(decided(await client.create(signing_request("jane", PEM)), APPROVED))
        both = pb.CertificateSigningRequest.FromString(csr.SerializeToString())
        assert "Approved and Denied conditions are mutually exclusive" in await told(
            client.update_approval(decided(both, DENIED))
        )
        del csr.status.conditions[:]
        complaint = 'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
        assert complaint in await told(client.update_approval(csr))
        assert complaint in await told(client.update_status(csr))
        csr = await client.get(CSRS, "jane")
        csr.status.conditions[0].reason = "Other"
        assert 'updates may not modify a condition of type "Approved"' in await told(client.update_status(csr))


@pytest.mark.parametrize(
    ("kind", "status", "complaint"),
    [
        ("", "True", "status.conditions[0].type: Required value"),
        (APPROVED, "False", 'status.conditions[0].status: Unsupported value: "False": supported values: "True"'),
        (FAILED, "", "status.conditions[0].status: Required value"),
        ("Seen", "Perhaps", 'Unsupported value: "Perhaps": supported values: "False", "True", "Unknown"'),
    ],
)
async def test_conditions_that_cannot_be(kind: str, status: str, complaint: str) -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        made = await client.create(signing_request("jane", PEM))
        assert complaint in await told(client.update_approval(decided(made, kind, status)))


async def test_who_signs_does_not_decide() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        made = await client.create(signing_request("jane", PEM))
        assert 'updates may not add a condition of type "Approved"' in await told(
            client.update_status(decided(made, APPROVED))
        )


async def test_a_certificate_is_one_and_stays() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        made = await client.create(signing_request("jane", PEM))
        for text, why in (
            (b"x", "must contain at least one CERTIFICATE PEM block"),
            (CERTIFICATE, "the certificate cannot be read"),
            (CERTIFICATE + PEM, "only CERTIFICATE PEM blocks are allowed"),
        ):
            made.status.certificate = text
            complaint = await told(client.update_status(made))
            assert f'status.certificate: Invalid value: "<certificate data>": {why}' in complaint


async def trusted(client: Client, verb: str, csr: pb.CertificateSigningRequest) -> str:
    """What becomes of an attempt to decide on a request, or to write its status."""
    csr = pb.CertificateSigningRequest.FromString(csr.SerializeToString())
    csr.metadata.resourceVersion = ""
    try:
        if verb == "approve":
            await client.update_approval(decided(csr, "Seen"))
        else:
            await client.update_status(decided(csr, "Seen"))
    except errors.Forbidden as err:
        return err.message
    return ""


async def test_who_may_approve_and_sign_for_which_signer() -> None:
    server = ApiServerInMemory()
    server.add_default_roles()
    kubelet, person = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kube-apiserver-client"
    async with server.client() as admin, server.client(headers=CONTROLLER) as controller:
        for signer in (kubelet, person, "example.com/robots"):
            csr = await admin.create(signing_request(signer.rpartition("/")[2], PEM, signer=signer))
            name = csr.metadata.name
            for verb in ("approve", "sign"):
                refused = (
                    f'certificatesigningrequests.certificates.k8s.io "{name}" is forbidden: user not permitted to '
                    f'{verb} requests with signerName "{signer}"'
                )
                may = signer == kubelet or (verb == "sign" and signer == person)
                assert await trusted(controller, verb, csr) == ("" if may else refused)
                assert not await trusted(admin, verb, csr)


async def test_requests_are_selected_by_their_signer() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        await client.create(signing_request("a", PEM))
        await client.create(signing_request("b", PEM, signer="example.com/robots"))
        found = await client.list(CSRS, field_selector="spec.signerName=example.com/robots")
        assert [csr.metadata.name for csr in found.items] == ["b"]
