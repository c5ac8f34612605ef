"""``kctl create role|clusterrole|rolebinding|clusterrolebinding``, ``set subject`` and ``auth reconcile``."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.apimachinery.scheme import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES, ROLE_BINDINGS, ROLES
from tests.unit.kctl.conftest import Shell

HEAD = "apiVersion: rbac.authorization.k8s.io/v1\nkind: "
ROLE = f"""{HEAD}Role
metadata:
  creationTimestamp: null
  name: foo
rules:
- apiGroups:
  - ""
  resources:
  - pods
  - pods/status
  verbs:
  - get
  - list
- apiGroups:
  - apps
  resources:
  - replicasets
  verbs:
  - get
  - list
"""


def test_a_role_has_a_rule_for_each_group(shell: Shell) -> None:
    words = "--verb=get,list --verb=get --resource=rs.apps,po --resource=pods,pods/status --dry-run=client -o yaml"
    assert shell("create", "role", "foo", *words.split()).stdout == ROLE
    made = shell("create", "role", "r", "--verb=*,get", "--resource=*", "--resource-name=a", "--resource-name=a")
    assert made.stdout == "role.rbac.authorization.k8s.io/r created\n"
    role = shell.server.get(ROLES, "default/r")
    assert role is not None
    [rule] = role.rules
    assert (list(rule.verbs), list(rule.apiGroups), list(rule.resources)) == (["*"], [""], ["*"])
    assert list(rule.resourceNames) == ["a"]


def test_cluster_roles(shell: Shell) -> None:
    assert shell("create", "clusterrole", "logs", "--verb=get", "--non-resource-url=/logs/*").code == 0
    assert shell("create", "clusterrole", "sum", "--aggregation-rule=a=b,c=d").code == 0
    logs, whole = shell.server.get(CLUSTER_ROLES, "logs"), shell.server.get(CLUSTER_ROLES, "sum")
    assert logs is not None
    assert whole is not None
    assert list(logs.rules[0].nonResourceURLs) == ["/logs/*"]
    assert dict(whole.aggregationRule.clusterRoleSelectors[0].matchLabels) == {"a": "b", "c": "d"}


def test_bindings(shell: Shell) -> None:
    typed = ["--clusterrole=admin", "--user=u", "--user=v", "--group=g", "--serviceaccount=monitoring:sa"]
    assert shell("create", "rolebinding", "b", *typed).stdout == "rolebinding.rbac.authorization.k8s.io/b created\n"
    made = shell("create", "clusterrolebinding", "c", *typed)
    assert made.stdout == "clusterrolebinding.rbac.authorization.k8s.io/c created\n"
    for found in (shell.server.get(ROLE_BINDINGS, "default/b"), shell.server.get(CLUSTER_ROLE_BINDINGS, "c")):
        assert found is not None
        assert (found.roleRef.kind, found.roleRef.name) == ("ClusterRole", "admin")
        named = [(one.kind, one.namespace, one.name) for one in found.subjects]
        assert named == [
            ("User", "", "u"),
            ("User", "", "v"),
            ("Group", "", "g"),
            ("ServiceAccount", "monitoring", "sa"),
        ]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("role x", "at least one verb must be specified"),
        ("role x --verb=get", "at least one resource must be specified"),
        ("role x --verb=get --resource=spoons", 'the server doesn\'t have a resource type "spoons"'),
        (
            "role x --verb=get --resource=forks.d.io",
            'the server doesn\'t have a resource type "forks" in group "d.io"',
        ),
        ("role x --verb=get --resource=.apps", "resource must be specified if apiGroup/subresource specified"),
        ("role x --verb=bind --resource=pods", "can not perform 'bind' on 'pods' in group ''"),
        ("clusterrole x --verb=get", "one of resource or nonResourceURL must be specified"),
        ("clusterrole x --verb=list --non-resource-url=/a", "invalid verb: 'list' for nonResourceURL"),
        ("clusterrole x --verb=get --non-resource-url=a", "nonResourceURL should start with /"),
        (
            "clusterrole x --verb=get --non-resource-url=/*/a",
            "nonResourceURL only supports wildcard matches when '*' is at the end",
        ),
        (
            "clusterrole x --verb=get --aggregation-rule=a=b",
            "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames",
        ),
        ("rolebinding x", "exactly one of clusterrole or role must be specified"),
        ("rolebinding x --role=a --clusterrole=b", "exactly one of clusterrole or role must be specified"),
        ("rolebinding x --role=a --serviceaccount=b", "serviceaccount must be <namespace>:<name>"),
        ("clusterrolebinding x", 'required flag(s) "clusterrole" not set'),
    ],
)
def test_what_is_refused(shell: Shell, words: str, error: str) -> None:
    typed = shell("create", *words.split())
    assert (typed.code, typed.stdout, typed.stderr) == (1, "", f"error: {error}\n")


def test_an_odd_verb_is_warned_of_and_a_special_one_needs_no_kind(shell: Shell) -> None:
    typed = shell("create", "role", "x", "--verb=eat", "--resource=pods")
    assert (typed.code, typed.stderr) == (0, "Warning: 'eat' is not a standard resource verb\n")
    assert shell("create", "clusterrole", "x", "--verb=impersonate", "--resource=users,groups").code == 0


def test_set_subject(shell: Shell) -> None:
    shell("create", "rolebinding", "b", "--role=r", "--user=u")
    typed = ["--user=u", "--group=g", "--serviceaccount=:sa"]
    done = shell("set", "subject", "rolebinding", "b", *typed)
    assert done.stdout == "rolebinding.rbac.authorization.k8s.io/b subjects updated\n"
    found = shell.server.get(ROLE_BINDINGS, "default/b")
    assert found is not None
    assert [(one.kind, one.namespace, one.name) for one in found.subjects] == [
        ("User", "", "u"),
        ("Group", "", "g"),
        ("ServiceAccount", "default", "sa"),
    ]
    assert shell("set", "subject", "rolebinding", "b", "--user=u").stdout == ""
    assert shell("set", "subject", "rolebinding", "b").stderr == (
        "error: you must specify at least one value of user, group or serviceaccount\n"
    )


MANIFEST = f"""{HEAD}ClusterRole
metadata: {{name: reader, labels: {{a: b}}}}
rules:
- {{apiGroups: [""], resources: [pods, nodes], verbs: [get]}}
---
{HEAD}RoleBinding
metadata: {{name: readers, namespace: lab}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: passed-over}}
"""


def test_reconcile(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rbac.yaml"
    file.write_text(MANIFEST)
    role, binding = "clusterrole.rbac.authorization.k8s.io/reader", "rolebinding.rbac.authorization.k8s.io/readers"
    dry = shell("auth", "reconcile", "-f", str(file), "--dry-run=client")
    assert dry.stdout == f"{role} reconciled (dry run)\n{binding} reconciled (dry run)\n"
    assert shell.server.get(NAMESPACES, "lab") is None
    done = shell("auth", "reconcile", "-f", str(file))
    assert done.stdout == f"{role} reconciled\n{binding} reconciled\n"
    assert done.stderr == (
        "\treconciliation required create\n\tmissing rules added:\n"
        "\t\t{Verbs:[get] APIGroups:[] Resources:[pods nodes] ResourceNames:[] NonResourceURLs:[]}\n"
        "\treconciliation required create\n\tmissing subjects added:\n"
        "\t\t{Kind:User APIGroup:rbac.authorization.k8s.io Name:jane Namespace:}\n"
    )
    assert shell.server.get(NAMESPACES, "lab") is not None
    again = shell("auth", "reconcile", "-f", str(file))
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_reconcile_takes_away_what_is_extra_where_that_is_wanted(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rbac.yaml"
    file.write_text(MANIFEST)
    shell("auth", "reconcile", "-f", str(file))
    role, binding = shell.server.get(CLUSTER_ROLES, "reader"), shell.server.get(ROLE_BINDINGS, "lab/readers")
    assert role is not None
    assert binding is not None
    role.rules[0].resources[:] = ["pods", "secrets"]
    binding.subjects.add(kind="User", apiGroup="rbac.authorization.k8s.io", name="joe")
    shell.server.add(role, binding)
    done = shell("auth", "reconcile", "-f", str(file))
    assert done.stderr == (
        "\treconciliation required update\n\tmissing rules added:\n"
        "\t\t{Verbs:[get] APIGroups:[] Resources:[nodes] ResourceNames:[] NonResourceURLs:[]}\n"
    )
    done = shell("auth", "reconcile", "-f", str(file), "--remove-extra-permissions", "--remove-extra-subjects")
    assert done.stderr == (
        "\treconciliation required update\n\textra rules removed:\n"
        "\t\t{Verbs:[get] APIGroups:[] Resources:[secrets] ResourceNames:[] NonResourceURLs:[]}\n"
        "\treconciliation required update\n\textra subjects removed:\n"
        "\t\t{Kind:User APIGroup:rbac.authorization.k8s.io Name:joe Namespace:}\n"
    )
    role, binding = shell.server.get(CLUSTER_ROLES, "reader"), shell.server.get(ROLE_BINDINGS, "lab/readers")
    assert role is not None
    assert binding is not None
    assert [list(rule.resources) for rule in role.rules] == [["pods", "nodes"]]
    assert [one.name for one in binding.subjects] == ["jane"]


def test_reconcile_leaves_alone_what_opted_out_and_makes_another_role_anew(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rbac.yaml"
    file.write_text(MANIFEST)
    shell("auth", "reconcile", "-f", str(file))
    role, binding = shell.server.get(CLUSTER_ROLES, "reader"), shell.server.get(ROLE_BINDINGS, "lab/readers")
    assert role is not None
    assert binding is not None
    del role.rules[:]
    role.metadata.annotations["rbac.authorization.kubernetes.io/autoupdate"] = "false"
    binding.roleRef.name, uid = "other", binding.metadata.uid
    shell.server.add(role, binding)
    done = shell("auth", "reconcile", "-f", str(file))
    opted_out = "but object opted out (rbac.authorization.kubernetes.io/autoupdate: false)"
    assert done.stderr.startswith(f"\treconciliation required update, {opted_out}\n")
    assert done.stderr.endswith("\treconciliation required recreate\n")
    role, binding = shell.server.get(CLUSTER_ROLES, "reader"), shell.server.get(ROLE_BINDINGS, "lab/readers")
    assert role is not None
    assert binding is not None
    assert not role.rules
    assert (binding.roleRef.name, binding.metadata.uid != uid) == ("reader", True)
