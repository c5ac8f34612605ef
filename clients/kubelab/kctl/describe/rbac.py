"""What is said of roles and bindings (kubectl's describers of rbac.authorization.k8s.io)."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.rbac import rules
from kubelab.kctl.describe.writer import Writer


def role(obj: rbac_pb2.Role | rbac_pb2.ClusterRole) -> str:
    """Describe a role with a line for each resource and name."""
    w = _begin(obj)
    w.line("PolicyRule:")
    w.line("Resources\tNon-Resource URLs\tResource Names\tVerbs", 1)
    w.line("---------\t-----------------\t--------------\t-----", 1)
    for cells in rules.cells(rules.rules_of(obj.rules)):
        w.line("\t".join(cells), 1)
    return w.render()


def binding(obj: rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding) -> str:
    """Describe a binding: its role and its subjects."""
    w = _begin(obj)
    w.line("Role:")
    w.field("Kind", obj.roleRef.kind, 1)
    w.field("Name", obj.roleRef.name, 1)
    w.line("Subjects:")
    w.line("Kind\tName\tNamespace", 1)
    w.line("----\t----\t---------", 1)
    for subject in obj.subjects:
        w.line(f"{subject.kind}\t{subject.name}\t{subject.namespace}", 1)
    return w.render()


def _begin(obj: rbac_pb2.Role | rbac_pb2.ClusterRole | rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding) -> Writer:
    w = Writer()
    w.field("Name", obj.metadata.name)
    w.labels("Labels", obj.metadata.labels)
    w.annotations("Annotations", obj.metadata.annotations)
    return w
