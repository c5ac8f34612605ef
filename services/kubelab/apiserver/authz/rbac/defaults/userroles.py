"""The cluster roles for people: cluster-admin, and admin, edit and view, which other roles are aggregated to."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.apimachinery.rbac.rules import Rule
from kubelab.apiserver.authz.rbac.defaults.words import ALL_VERBS, READ, WRITE, paths, rule

AGGREGATED: Mapping[str, str] = {"admin": "edit", "edit": "view", "view": ""}
"""The roles that consist of others, and which of them each one contains."""

CONTRIBUTIONS: Mapping[str, tuple[Rule, ...]] = {
    "admin": (
        rule("create", "localsubjectaccessreviews", "authorization.k8s.io"),
        rule(ALL_VERBS, "roles rolebindings", "rbac.authorization.k8s.io"),
    ),
    "edit": (
        rule(READ, "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        rule("impersonate", "serviceaccounts"),
        rule(WRITE, "pods pods/attach pods/exec pods/portforward pods/proxy"),
        rule("create", "pods/eviction"),
        rule(
            WRITE,
            "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets"
            " serviceaccounts services services/proxy",
        ),
        rule("create", "serviceaccounts/token"),
        rule(
            WRITE,
            "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets"
            " statefulsets/scale",
            "apps",
        ),
        rule(WRITE, "horizontalpodautoscalers", "autoscaling"),
        rule(WRITE, "cronjobs jobs", "batch"),
        rule(
            WRITE,
            "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets"
            " replicasets/scale replicationcontrollers/scale",
            "extensions",
        ),
        rule(WRITE, "poddisruptionbudgets", "policy"),
        rule(WRITE, "ingresses networkpolicies", "networking.k8s.io"),
        rule(ALL_VERBS, "leases", "coordination.k8s.io"),
    ),
    "view": (
        rule(
            READ,
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers"
            " replicationcontrollers/scale serviceaccounts services services/status",
        ),
        rule(
            READ,
            "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status"
            " resourcequotas resourcequotas/status",
        ),
        rule(READ, "namespaces"),
        rule(READ, "endpointslices", "discovery.k8s.io"),
        rule(
            READ,
            "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status"
            " replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            "apps",
        ),
        rule(READ, "horizontalpodautoscalers horizontalpodautoscalers/status", "autoscaling"),
        rule(READ, "cronjobs cronjobs/status jobs jobs/status", "batch"),
        rule(
            READ,
            "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status"
            " networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
            "extensions",
        ),
        rule(READ, "poddisruptionbudgets poddisruptionbudgets/status", "policy"),
        rule(READ, "ingresses ingresses/status networkpolicies", "networking.k8s.io"),
    ),
}
"""The rules that come with each of them, in ``system:aggregate-to-NAME``."""

CLUSTER_ADMIN = (rule("*", "*", "*"), paths("*", "*"))
