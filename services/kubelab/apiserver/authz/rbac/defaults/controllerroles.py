"""The cluster roles of controllers, ``system:controller:NAME``.

Upstream binds each to the service account ``kube-system/NAME``, which its controller-manager can use for that
controller. kubelab's controllers share one connection: the roles of those that run here are bound to the
controller-manager's user as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.apimachinery.rbac.rules import Rule
from kubelab.apiserver.authz.rbac.defaults.words import EVENTS, READ, rule

PREFIX = "system:controller:"
_BOTH = "apps extensions"
_CERTIFICATES = "certificates.k8s.io"

CONTROLLER_ROLES: Mapping[str, tuple[Rule, ...]] = {
    "attachdetach-controller": (
        rule("list watch", "persistentvolumeclaims persistentvolumes"),
        rule(READ, "nodes"),
        rule("patch update", "nodes/status"),
        rule("list watch", "pods"),
        EVENTS,
        rule(f"create delete {READ}", "volumeattachments", "storage.k8s.io"),
        rule(READ, "csidrivers", "storage.k8s.io"),
        rule(READ, "csinodes", "storage.k8s.io"),
    ),
    "certificate-controller": (
        rule(f"delete {READ}", "certificatesigningrequests", _CERTIFICATES),
        rule("update", "certificatesigningrequests/approval certificatesigningrequests/status", _CERTIFICATES),
        rule("approve", "signers", _CERTIFICATES, "kubernetes.io/kube-apiserver-client-kubelet"),
        rule(
            "sign",
            "signers",
            _CERTIFICATES,
            "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet"
            " kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
        ),
        rule("create", "subjectaccessreviews", "authorization.k8s.io"),
        EVENTS,
    ),
    "clusterrole-aggregation-controller": (
        rule(f"escalate patch update {READ}", "clusterroles", "rbac.authorization.k8s.io"),
    ),
    "cronjob-controller": (
        rule(f"{READ} update", "cronjobs", "batch"),
        rule(f"create delete patch update {READ}", "jobs", "batch"),
        rule("update", "cronjobs/status", "batch"),
        rule("update", "cronjobs/finalizers", "batch"),
        rule("delete list watch", "pods"),
        EVENTS,
    ),
    "daemon-set-controller": (
        rule(READ, "daemonsets", _BOTH),
        rule("update", "daemonsets/status", _BOTH),
        rule("update", "daemonsets/finalizers", _BOTH),
        rule("list watch", "nodes"),
        rule("create delete list patch watch", "pods"),
        rule("create", "pods/binding"),
        rule(f"create delete patch update {READ}", "controllerrevisions", "apps"),
        EVENTS,
    ),
    "deployment-controller": (
        rule(f"{READ} update", "deployments", _BOTH),
        rule("update", "deployments/status", _BOTH),
        rule("update", "deployments/finalizers", _BOTH),
        rule(f"create delete patch update {READ}", "replicasets", _BOTH),
        rule(f"{READ} update", "pods"),
        EVENTS,
    ),
    "disruption-controller": (
        rule(READ, "deployments", _BOTH),
        rule(READ, "replicasets", _BOTH),
        rule(READ, "replicationcontrollers"),
        rule(READ, "poddisruptionbudgets", "policy"),
        rule(READ, "statefulsets", "apps"),
        rule("update", "poddisruptionbudgets/status", "policy"),
        rule("patch update", "pods/status"),
        rule("get", "*/scale", "*"),
        EVENTS,
    ),
    "endpoint-controller": (
        rule(READ, "pods services"),
        rule(f"create delete update {READ}", "endpoints"),
        rule("create", "endpoints/restricted"),
        EVENTS,
    ),
    "endpointslice-controller": (
        rule(READ, "nodes pods services"),
        rule("update", "services/finalizers"),
        rule(f"create delete update {READ}", "endpointslices", "discovery.k8s.io"),
        EVENTS,
    ),
    "endpointslicemirroring-controller": (
        rule(READ, "endpoints services"),
        rule("update", "services/finalizers"),
        rule("update", "endpoints/finalizers"),
        rule(f"create delete update {READ}", "endpointslices", "discovery.k8s.io"),
        EVENTS,
    ),
    "ephemeral-volume-controller": (
        rule(READ, "pods"),
        rule("update", "pods/finalizers"),
        rule(f"create {READ}", "persistentvolumeclaims"),
        EVENTS,
    ),
    "expand-controller": (
        rule(f"patch update {READ}", "persistentvolumes"),
        rule("patch update", "persistentvolumeclaims/status"),
        rule(READ, "persistentvolumeclaims"),
        EVENTS,
    ),
    "generic-garbage-collector": (rule(f"delete patch update {READ}", "*", "*"), EVENTS),
    "horizontal-pod-autoscaler": (
        rule(READ, "horizontalpodautoscalers", "autoscaling"),
        rule("update", "horizontalpodautoscalers/status", "autoscaling"),
        rule("get update", "*/scale", "*"),
        rule("list", "pods"),
        rule("list", "pods", "metrics.k8s.io"),
        rule("get list", "*", "custom.metrics.k8s.io"),
        rule("get list", "*", "external.metrics.k8s.io"),
        EVENTS,
    ),
    "job-controller": (
        rule(f"patch update {READ}", "jobs", "batch"),
        rule("update", "jobs/status", "batch"),
        rule("update", "jobs/finalizers", "batch"),
        rule("create delete list patch watch", "pods"),
        EVENTS,
    ),
    "legacy-service-account-token-cleaner": (
        rule("get", "configmaps", names="kube-apiserver-legacy-service-account-token-tracking"),
        rule("delete patch", "secrets"),
    ),
    "namespace-controller": (
        rule(f"delete {READ}", "namespaces"),
        rule("update", "namespaces/finalize namespaces/status"),
        rule("delete deletecollection get list watch", "*", "*"),
    ),
    "node-controller": (
        rule(f"delete patch update {READ}", "nodes"),
        rule("patch update", "nodes/status"),
        rule("patch update", "pods/status"),
        rule(f"delete {READ}", "pods"),
        EVENTS,
    ),
    "persistent-volume-binder": (
        rule(f"create delete update {READ}", "persistentvolumes"),
        rule("update", "persistentvolumes/status"),
        rule(f"update {READ}", "persistentvolumeclaims"),
        rule("update", "persistentvolumeclaims/status"),
        rule(f"create delete {READ}", "pods"),
        rule(READ, "storageclasses", "storage.k8s.io"),
        rule("list watch", "nodes"),
        EVENTS,
        rule("watch", "events"),
    ),
    "pod-garbage-collector": (
        rule("delete list watch", "pods"),
        rule(READ, "nodes"),
        rule("patch", "pods/status"),
    ),
    "pv-protection-controller": (rule(f"update {READ}", "persistentvolumes"), EVENTS),
    "pvc-protection-controller": (rule(f"update {READ}", "persistentvolumeclaims"), rule(READ, "pods"), EVENTS),
    "replicaset-controller": (
        rule(f"update {READ}", "replicasets", _BOTH),
        rule("update", "replicasets/status", _BOTH),
        rule("update", "replicasets/finalizers", _BOTH),
        rule("create delete list patch watch", "pods"),
        EVENTS,
    ),
    "replication-controller": (
        rule(f"update {READ}", "replicationcontrollers"),
        rule("update", "replicationcontrollers/status"),
        rule("update", "replicationcontrollers/finalizers"),
        rule("create delete list patch watch", "pods"),
        EVENTS,
    ),
    "resourcequota-controller": (
        rule("list watch", "*", "*"),
        rule("update", "resourcequotas/status"),
        EVENTS,
    ),
    "root-ca-cert-publisher": (rule("create update", "configmaps"), EVENTS),
    "route-controller": (rule("list watch", "nodes"), rule("patch", "nodes/status"), EVENTS),
    "service-account-controller": (rule("create", "serviceaccounts"), EVENTS),
    "service-controller": (
        rule(READ, "services"),
        rule("patch update", "services/status"),
        rule("list watch", "nodes"),
        EVENTS,
    ),
    "statefulset-controller": (
        rule("list watch", "pods"),
        rule(READ, "statefulsets", "apps"),
        rule("update", "statefulsets/status", "apps"),
        rule("update", "statefulsets/finalizers", "apps"),
        rule("create delete get patch update", "pods"),
        rule(f"create delete patch update {READ}", "controllerrevisions", "apps"),
        rule("create get list watch", "persistentvolumeclaims"),
        rule("delete update", "persistentvolumeclaims"),
        rule("update", "pods/finalizers"),
        EVENTS,
    ),
    "ttl-after-finished-controller": (rule(f"delete {READ}", "jobs", "batch"), EVENTS),
    "ttl-controller": (rule("list patch update watch", "nodes"), EVENTS),
    "validatingadmissionpolicy-status-controller": (
        rule(READ, "validatingadmissionpolicies", "admissionregistration.k8s.io"),
        rule("get patch update", "validatingadmissionpolicies/status", "admissionregistration.k8s.io"),
        EVENTS,
    ),
}
"""Rules by the controller's name."""

RUNNING = frozenset(
    {
        "certificate-controller",
        "clusterrole-aggregation-controller",
        "cronjob-controller",
        "daemon-set-controller",
        "deployment-controller",
        "disruption-controller",
        "endpoint-controller",
        "endpointslice-controller",
        "endpointslicemirroring-controller",
        "generic-garbage-collector",
        "horizontal-pod-autoscaler",
        "job-controller",
        "namespace-controller",
        "node-controller",
        "pod-garbage-collector",
        "replicaset-controller",
        "replication-controller",
        "resourcequota-controller",
        "root-ca-cert-publisher",
        "service-account-controller",
        "statefulset-controller",
        "ttl-after-finished-controller",
    }
)
"""The controllers that the controller-manager runs: it has their roles, and no others'."""
