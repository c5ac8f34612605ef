"""A user of one's own by unmodified kubectl: a request, its approval, and the certificate as a login
(https://kubernetes.io/docs/tasks/tls/certificate-issue-client-csr/)."""

from __future__ import annotations

import base64
import json

import pytest

from tests.clients.test_kubectl import steady
from tests.e2e.terminal import Terminal, eventually
from tests.support.signingrequests import key_and_request

pytestmark = pytest.mark.timeout(900)
NAME = "certificatesigningrequest.certificates.k8s.io"


def manifest(name: str, pem: bytes) -> str:
    return f"""\
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata:
  name: {name}
spec:
  request: {base64.b64encode(pem).decode()}
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 86400
  usages:
  - client auth
"""


def test_a_new_user(tools: Terminal) -> None:
    key, pem = key_and_request("jane", "dev", "ops")
    (tools.folder / "jane.key").write_bytes(key)
    try:
        assert tools.type("kubectl apply -f -", stdin=manifest("jane", pem)).stdout == f"{NAME}/jane created\n"
        header, row = tools.type("kubectl get csr").rows
        assert header == ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"]
        assert row[2:] == ["kubernetes.io/kube-apiserver-client", "kubernetes-admin", "24h", "Pending"]
        assert tools.type("kubectl certificate approve jane").stdout == f"{NAME}/jane approved\n"
        tools.type("kubectl wait csr/jane --for=jsonpath='{.status.certificate}' --timeout=30s")
        assert tools.type("kubectl get csr jane --no-headers").rows[0][-1] == "Approved,Issued"
        described = [tools.type(f"{program} describe csr jane").stdout for program in ("kubectl", "kctl")]
        assert steady(described[0]) == steady(described[1])
        tools.type("kubectl get csr jane -o jsonpath='{.status.certificate}' | base64 -d > jane.crt")
        tools.type("kubectl config set-credentials jane --client-key=jane.key --client-certificate=jane.crt")
        tools.type(f"kubectl config set-context jane --cluster={tools.cluster} --user=jane")
        for program in ("kubectl", "kctl"):  # over HTTPS, and over gRPC
            who = json.loads(tools.type(f"{program} --context=jane auth whoami -o json").stdout)
            assert who["status"]["userInfo"]["username"] == "jane"
            assert set(who["status"]["userInfo"]["groups"]) == {"dev", "ops", "system:authenticated"}
            refused = tools.type(f"{program} --context=jane get secrets", code=1)
            assert 'User "jane" cannot list resource "secrets"' in refused.stderr
    finally:
        for command in ("delete csr jane --ignore-not-found", "config delete-context jane", "config delete-user jane"):
            tools.type(f"kubectl {command}", code=None)


def test_one_that_is_denied(tools: Terminal) -> None:
    pem = key_and_request("mary")[1]
    try:
        tools.type("kubectl create -f -", stdin=manifest("mary", pem))
        assert tools.type("kubectl certificate deny mary").stdout == f"{NAME}/mary denied\n"
        again = tools.type("kubectl certificate approve mary", code=1)
        assert again.stderr == 'error: certificate signing request "mary" is already Denied\n'
        assert tools.type("kubectl get csr mary --no-headers").rows[0][-1] == "Denied"
        assert tools.type("kctl certificate deny mary").stdout == f"{NAME}/mary denied\n"
    finally:
        tools.type("kubectl delete csr mary --ignore-not-found", code=None)


def test_masters_are_not_made(tools: Terminal) -> None:
    pem = key_and_request("root", "system:masters")[1]
    refused = tools.type("kubectl create -f -", stdin=manifest("root", pem), code=1)
    assert (
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in refused.stderr
    )


def test_a_nodes_own_certificate_needs_nobody(tools: Terminal) -> None:
    """What a kubelet asks for itself is approved and signed at once."""
    pem = key_and_request("system:node:node-1", "system:nodes")[1]
    asked = manifest("node", pem).replace("apiserver-client", "apiserver-client-kubelet")
    asked = asked.replace("  - client auth", "  - client auth\n  - digital signature")
    as_node = "--as=system:node:node-1 --as-group=system:nodes"
    try:
        tools.type(f"kubectl create -f - {as_node}", stdin=asked)
        eventually(lambda: "Approved,Issued" in tools.type("kubectl get csr node").stdout)
    finally:
        tools.type("kubectl delete csr node --ignore-not-found", code=None)
