"""Roles and bindings: what can be stored, in upstream's words."""

from __future__ import annotations

from kubelab.apimachinery.manifest.decode import decode
from tests.unit.apiserver.strategies.answers import GONE, RULES, Change, on_create, on_update, table

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: "system:reader", namespace: default}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""
CLUSTER_ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:reader"}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""
BINDING = """
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read, namespace: default}
roleRef: {kind: Role, name: reader}
subjects: [{kind: User, name: jane}]
"""
CLUSTER_BINDING = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: read}
roleRef: {kind: ClusterRole, name: reader}
subjects: [{kind: Group, name: ops}]
"""
GROUP = "rbac.authorization.k8s.io"
BOTH = "rules cannot apply to both regular resources and non-resource URLs"


@table(
    ({},),
    ({"rules": GONE},),
    ({"metadata.name": "a/b"}, "metadata.name: Invalid value: \"a/b\": may not contain '/'"),
    ({"rules[0].verbs": []}, "rules[0].verbs: Required value: verbs must contain at least one value"),
    (
        {"rules[0].apiGroups": []},
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
    ),
    (
        {"rules[0].resources": []},
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ),
    (
        {"rules[0].nonResourceURLs": ["/a"]},
        'rules[0].nonResourceURLs: Invalid value: []string{"/a"}: namespaced rules cannot apply to non-resource URLs',
        f'rules[0].nonResourceURLs: Invalid value: []string{{"/a"}}: {BOTH}',
    ),
)
def test_roles(change: Change, told: list[str]) -> None:
    assert on_create(ROLE, change) == told


@table(
    ({},),
    ({"rules[0]": {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}},),
    (
        {"rules[0].nonResourceURLs": ["/metrics"]},
        f'rules[0].nonResourceURLs: Invalid value: []string{{"/metrics"}}: {BOTH}',
    ),
    ({"aggregationRule.clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},),
    (
        {"aggregationRule": {}},
        "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
        "aggregationRule is non-nil",
    ),
    (
        {"aggregationRule.clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]},
        'aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: "Is": not a valid '
        "selector operator",
    ),
)
def test_cluster_roles(change: Change, told: list[str]) -> None:
    assert on_create(CLUSTER_ROLE, change) == told


@table(
    ({},),
    ({"subjects": GONE},),
    ({"roleRef.kind": "ClusterRole"},),
    ({"subjects[0]": {"kind": "ServiceAccount", "name": "bot"}},),
    ({"roleRef.apiGroup": "x"}, f'roleRef.apiGroup: Unsupported value: "x": supported values: "{GROUP}"'),
    ({"roleRef.kind": "X"}, 'roleRef.kind: Unsupported value: "X": supported values: "Role", "ClusterRole"'),
    ({"roleRef.name": ""}, "roleRef.name: Required value"),
    ({"roleRef.name": ".."}, "roleRef.name: Invalid value: \"..\": may not be '..'"),
    (
        {"subjects[0].name": ""},
        "subjects[0].name: Required value",
        'subjects[0].name: Invalid value: "": user name cannot be empty',
    ),
    ({"subjects[0].apiGroup": "x"}, f'subjects[0].apiGroup: Unsupported value: "x": supported values: "{GROUP}"'),
    (
        {"subjects[0].kind": "Robot"},
        'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    ),
    (
        {"subjects[0]": {"kind": "ServiceAccount", "name": "bot", "apiGroup": GROUP}},
        f'subjects[0].apiGroup: Unsupported value: "{GROUP}": supported values: ""',
    ),
)
def test_role_bindings(change: Change, told: list[str]) -> None:
    assert on_create(BINDING, change) == told


@table(
    ({},),
    ({"roleRef.kind": "Role"}, 'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'),
    ({"subjects[0]": {"kind": "ServiceAccount", "name": "bot"}}, "subjects[0].namespace: Required value"),
    ({"subjects[0]": {"kind": "ServiceAccount", "name": "bot", "namespace": "default"}},),
)
def test_cluster_role_bindings(change: Change, told: list[str]) -> None:
    assert on_create(CLUSTER_BINDING, change) == told


@table(
    ({"subjects[0].name": "dave"},),
    (
        {"roleRef.name": "writer"},
        f'roleRef: Invalid value: rbac.RoleRef{{APIGroup:"{GROUP}", Kind:"Role", Name:"writer"}}: cannot change '
        "roleRef",
    ),
)
def test_a_binding_keeps_its_role(change: Change, told: list[str]) -> None:
    assert on_update(BINDING, change) == told


def test_groups_of_roles_and_subjects_have_defaults() -> None:
    [document] = decode(BINDING, "test")
    binding = document.obj
    RULES["rolebindings"].default(binding)
    assert binding.roleRef.apiGroup == GROUP  # pyright: ignore[reportAttributeAccessIssue]
    assert [s.apiGroup for s in binding.subjects] == [GROUP]  # pyright: ignore[reportAttributeAccessIssue]
