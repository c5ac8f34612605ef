"""The cluster roles of components, of nodes and of everybody."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.apimachinery.rbac.rules import Rule
from kubelab.apiserver.authz.rbac.defaults.words import EVENTS, READ, paths, rule

_HEALTH = "/healthz /livez /readyz"
_VERSION = "/version /version/"
_CERTIFICATES = "certificates.k8s.io"
_SIGNERS = ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
_ASKS = (
    rule("create", "tokenreviews", "authentication.k8s.io"),
    rule("create", "subjectaccessreviews", "authorization.k8s.io"),
)


def _election(name: str) -> tuple[Rule, ...]:
    return (
        rule("create", "leases", "coordination.k8s.io"),
        rule("get update", "leases", "coordination.k8s.io", name),
    )


CLUSTER_ROLES: Mapping[str, tuple[Rule, ...]] = {
    "system:auth-delegator": _ASKS,
    "system:basic-user": (
        rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", "authorization.k8s.io"),
        rule("create", "selfsubjectreviews", "authentication.k8s.io"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        rule("create", "certificatesigningrequests/nodeclient", _CERTIFICATES),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        rule("create", "certificatesigningrequests/selfnodeclient", _CERTIFICATES),
    ),
    **{
        f"system:certificates.k8s.io:{signer}-approver": (
            rule("approve", "signers", _CERTIFICATES, f"kubernetes.io/{signer}"),
        )
        for signer in _SIGNERS
    },
    "system:discovery": (paths("get", f"/api /api/* /apis /apis/* /openapi /openapi/* {_HEALTH} {_VERSION}"),),
    "system:heapster": (
        rule(READ, "events namespaces nodes pods"),
        rule(READ, "deployments", "extensions"),
    ),
    "system:kube-aggregator": (rule(READ, "endpoints services"),),
    "system:kube-controller-manager": (
        EVENTS,
        *_election("kube-controller-manager"),
        rule("create", "secrets serviceaccounts"),
        rule("delete", "secrets"),
        rule("get", "configmaps namespaces secrets serviceaccounts"),
        rule("update", "secrets serviceaccounts"),
        *_ASKS,
        rule("list watch", "*", "*"),
        rule("create", "serviceaccounts/token"),
    ),
    "system:kube-dns": (
        rule("list watch", "endpoints services"),
        rule("list watch", "endpointslices", "discovery.k8s.io"),
    ),
    "system:kube-scheduler": (
        EVENTS,
        *_election("kube-scheduler"),
        rule(READ, "nodes"),
        rule(f"delete {READ}", "pods"),
        rule("create", "bindings pods/binding"),
        rule("patch update", "pods/status"),
        rule(READ, "replicationcontrollers services"),
        rule(READ, "replicasets", "apps extensions"),
        rule(READ, "statefulsets", "apps"),
        rule(READ, "poddisruptionbudgets", "policy"),
        rule(READ, "persistentvolumeclaims persistentvolumes"),
        *_ASKS,
        rule(READ, "csinodes", "storage.k8s.io"),
        rule(READ, "namespaces"),
        rule(READ, "csidrivers", "storage.k8s.io"),
        rule(READ, "csistoragecapacities", "storage.k8s.io"),
    ),
    "system:kubelet-api-admin": (
        rule(READ, "nodes"),
        rule("proxy", "nodes"),
        rule("*", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ),
    "system:monitoring": (
        paths("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
    ),
    "system:node": (
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "localsubjectaccessreviews subjectaccessreviews", "authorization.k8s.io"),
        rule(READ, "services"),
        rule(f"create {READ}", "nodes"),
        rule("patch update", "nodes/status"),
        rule("patch update", "nodes"),
        rule("create patch update", "events"),
        rule(READ, "pods"),
        rule("create delete", "pods"),
        rule("patch update", "pods/status"),
        rule("create", "pods/eviction"),
        rule(READ, "configmaps secrets"),
        rule("get", "persistentvolumeclaims persistentvolumes"),
        rule("get", "endpoints"),
        rule(f"create {READ}", "certificatesigningrequests", _CERTIFICATES),
        rule("create delete get patch update", "leases", "coordination.k8s.io"),
        rule("get", "volumeattachments", "storage.k8s.io"),
        rule("create", "serviceaccounts/token"),
        rule("get patch update", "persistentvolumeclaims/status"),
        rule(READ, "csidrivers", "storage.k8s.io"),
        rule("create delete get patch update", "csinodes", "storage.k8s.io"),
        rule(READ, "runtimeclasses", "node.k8s.io"),
    ),
    "system:node-bootstrapper": (rule(f"create {READ}", "certificatesigningrequests", _CERTIFICATES),),
    "system:node-problem-detector": (rule("get", "nodes"), rule("patch", "nodes/status"), EVENTS),
    "system:node-proxier": (
        rule("list watch", "endpoints services"),
        rule(READ, "nodes"),
        EVENTS,
        rule("list watch", "endpointslices", "discovery.k8s.io"),
    ),
    "system:persistent-volume-provisioner": (
        rule("create delete get list watch", "persistentvolumes"),
        rule("get list update watch", "persistentvolumeclaims"),
        rule(READ, "storageclasses", "storage.k8s.io"),
        rule("watch", "events"),
        EVENTS,
    ),
    "system:public-info-viewer": (paths("get", f"{_HEALTH} {_VERSION}"),),
    "system:service-account-issuer-discovery": (paths("get", "/.well-known/openid-configuration /openid/v1/jwks"),),
    "system:volume-scheduler": (
        rule("get list patch update watch", "persistentvolumes"),
        rule(READ, "storageclasses", "storage.k8s.io"),
        rule("get list patch update watch", "persistentvolumeclaims"),
    ),
}
"""Rules by the role's name."""
