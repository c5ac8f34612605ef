"""``kctl certificate`` and what kctl says of certificate signing requests."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography import x509

from kubelab.apimachinery.certificates.signers import APPROVED, DENIED
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS as CSRS
from tests.support.signingrequests import key_and_request, signing_request
from tests.unit.kctl.conftest import Shell

NAME = "certificatesigningrequest.certificates.k8s.io/jane"
ALSO = [x509.DNSName("jane.example.com"), x509.RFC822Name("jane@example.com")]
PEM = key_and_request("jane", "dev", "ops", names=ALSO)[1]
FILE = """\
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: jane}
spec: {request: Ym8=, signerName: example.com/robots, usages: [client auth]}
"""


def conditions(shell: Shell, name: str = "jane") -> list[tuple[str, str, str, str]]:
    csr = shell.server.get(CSRS, name)
    assert csr is not None
    return [(c.type, c.status, c.reason, c.message) for c in csr.status.conditions]


def test_approve(shell: Shell) -> None:
    shell.server.add(signing_request("jane", PEM), signing_request("kim", PEM))
    assert shell("certificate", "approve", "jane", "csr/kim").stdout == f"{NAME} approved\n{NAME[:-4]}kim approved\n"
    decided = (APPROVED, "True", "KctlApprove", "This CSR was approved by kctl certificate approve.")
    assert conditions(shell) == conditions(shell, "kim") == [decided]
    revision = shell.server.revision
    assert shell("certificate", "approve", "jane").stdout == f"{NAME} approved\n"
    assert shell.server.revision == revision, "it is decided already"


def test_deny(shell: Shell, tmp_path: Path) -> None:
    shell.server.add(signing_request("jane", PEM))
    file = tmp_path / "csr.yaml"
    file.write_text(FILE)
    assert shell("certificate", "deny", "-f", str(file)).stdout == f"{NAME} denied\n"
    assert conditions(shell) == [(DENIED, "True", "KctlDeny", "This CSR was denied by kctl certificate deny.")]
    refused = shell("certificate", "approve", "jane")
    assert (refused.code, refused.stderr) == (1, 'error: certificate signing request "jane" is already Denied\n')
    assert shell("certificate", "deny", "jane", "--force", "-o", "name").stdout == f"{NAME}\n"
    shown = json.loads(shell("certificate", "deny", "jane", "-o", "json").stdout)
    assert shown["status"]["conditions"][0]["type"] == DENIED


def test_what_is_no_request(shell: Shell) -> None:
    missing = shell("certificate", "approve", "nobody")
    assert (missing.code, missing.stderr) == (
        1,
        'Error from server (NotFound): certificatesigningrequests.certificates.k8s.io "nobody" not found\n',
    )
    other = shell("certificate", "deny", "pod/web")
    assert (other.code, other.stderr) == (1, "error: can only handle certificates.k8s.io/v1 certificates\n")


def test_describe(shell: Shell) -> None:
    csr = signing_request("jane", PEM, seconds=86400)
    csr.metadata.labels.update({"b": "2", "a": "1"})
    csr.metadata.creationTimestamp.seconds = 1714564800
    csr.spec.username = "kubernetes-admin"
    shell.server.add(csr)
    assert shell("describe", "csr", "jane").stdout == (
        "Name:                jane\n"
        "Labels:              a=1,b=2\n"
        "Annotations:         <none>\n"
        "CreationTimestamp:   Wed, 01 May 2024 12:00:00 +0000\n"
        "Requesting User:     kubernetes-admin\n"
        "Signer:              kubernetes.io/kube-apiserver-client\n"
        "Requested Duration:  24h\n"
        "Status:              Pending\n"
        "Subject:\n"
        "  Common Name:    jane\n"
        "  Serial Number:  \n"
        "  Organization:   dev\n"
        "                  ops\n"
        "Subject Alternative Names:\n"
        "         DNS Names:        jane.example.com\n"
        "         Email Addresses:  jane@example.com\n"
        "Events:  <none>\n"
    )


def test_describe_what_cannot_be_read(shell: Shell) -> None:
    shell.server.add(signing_request("odd", b"x"))
    told = shell("describe", "csr", "odd")
    assert (told.code, told.stderr) == (
        1,
        "error: Error parsing CSR: PEM block type must be CERTIFICATE REQUEST\n",
    )


def test_get(shell: Shell) -> None:
    shell.server.add(signing_request("jane", PEM))
    lines = shell("get", "csr").stdout.splitlines()
    assert lines[0].split() == ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"]
    assert len(lines) == 2
