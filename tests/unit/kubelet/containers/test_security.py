"""Security contexts on their way to the runtime, what a node refuses, and the names of a pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers import hosts, security
from kubelab.kubelet.containers.config import ContainerInput, NodeSettings, container_config, dns_config, sandbox_config
from kubelab.kubelet.containers.environment import ConfigError
from kubelab.kubelet.containers.security import NodeSecurity, container_security

ROOT = cri.Image(uid=cri.Int64Value(value=0))
PROFILE = cri.SecurityProfile


def pod_of(shared: dict[str, Any] | None = None, own: dict[str, Any] | None = None, **spec: Any) -> core_pb2.Pod:
    """A pod with these fields in its own security context and in its container's."""
    pod = core_pb2.Pod()
    pod.metadata.name, pod.metadata.namespace, pod.metadata.uid = "web", "default", "u1"
    pod.spec.CopyFrom(core_pb2.PodSpec(**spec))
    pod.spec.securityContext.CopyFrom(core_pb2.PodSecurityContext(**shared or {}))
    pod.spec.containers.add(name="app", image="app:v1")
    if own is not None:
        pod.spec.containers[0].securityContext.CopyFrom(core_pb2.SecurityContext(**own))
    return pod


def contexts(pod: core_pb2.Pod, node: NodeSecurity = NodeSecurity()) -> cri.LinuxContainerSecurityContext:  # noqa: B008
    return security.container_security(pod, pod.spec.containers[0], node, cri.Image(username="web"))


def test_a_container_s_own_values_go_over_the_pod_s() -> None:
    pod = pod_of(
        {
            "runAsUser": 1,
            "runAsGroup": 2,
            "fsGroup": 3,
            "supplementalGroups": [4],
            "supplementalGroupsPolicy": "Strict",
        },
        {
            "runAsUser": 10,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": core_pb2.Capabilities(add=["NET_ADMIN"], drop=["ALL"]),
        },
    )
    made = contexts(pod)
    assert (made.run_as_user.value, made.run_as_group.value, list(made.supplemental_groups)) == (10, 2, [3, 4])
    assert (made.supplemental_groups_policy, made.no_new_privs, made.readonly_rootfs) == (cri.Strict, True, True)
    assert (list(made.capabilities.add_capabilities), list(made.capabilities.drop_capabilities)) == (
        ["NET_ADMIN"],
        ["ALL"],
    )
    assert not contexts(pod_of(own={"allowPrivilegeEscalation": True})).no_new_privs
    assert contexts(pod_of({"runAsGroup": 2})).run_as_username == "web", "the CRI takes no group without a user"


@pytest.mark.parametrize(
    ("shared", "own", "default", "kind"),
    [
        ("", "", True, PROFILE.RuntimeDefault),
        ("", "", False, PROFILE.Unconfined),
        ("Unconfined", "", True, PROFILE.Unconfined),
        ("Unconfined", "RuntimeDefault", False, PROFILE.RuntimeDefault),
        ("RuntimeDefault", "Unconfined", True, PROFILE.Unconfined),
    ],
)
def test_which_seccomp_profile(shared: str, own: str, default: bool, kind: PROFILE.ProfileType.ValueType) -> None:
    pod = pod_of(
        {"seccompProfile": core_pb2.SeccompProfile(type=shared)} if shared else {},
        {"seccompProfile": core_pb2.SeccompProfile(type=own)} if own else {},
    )
    assert contexts(pod, NodeSecurity(seccomp_default=default)).seccomp.profile_type == kind


def test_profiles_of_the_node_are_in_their_folder(tmp_path: Path) -> None:
    root = tmp_path / "seccomp"
    (root / "p").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    node = NodeSecurity(seccomp_root=root)

    def profile(name: str) -> str:
        kept = core_pb2.SeccompProfile(type="Localhost", localhostProfile=name)
        return contexts(pod_of(own={"seccompProfile": kept}), node).seccomp.localhost_ref

    assert profile("p/x.json") == f"{root}/p/x.json"
    for name in ("out/x.json", "../x.json", ""):
        with pytest.raises(ConfigError, match="leads out of the folder"):
            profile(name)


@pytest.mark.parametrize(
    ("shared", "own", "image", "told"),
    [
        ({}, {}, ROOT, ""),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, ROOT, ""),
        ({"runAsNonRoot": True, "runAsUser": 5}, {}, ROOT, ""),
        ({"runAsNonRoot": True}, {}, cri.Image(uid=cri.Int64Value(value=7)), ""),
        ({"runAsNonRoot": True}, {}, ROOT, "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, {}, cri.Image(), "container has runAsNonRoot and image will run as root"),
        (
            {},
            {"runAsNonRoot": True},
            cri.Image(username="web"),
            "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root",
        ),
        (
            {"runAsUser": 5},
            {"runAsNonRoot": True, "runAsUser": 0},
            ROOT,
            "container's runAsUser breaks non-root policy",
        ),
    ],
)
def test_who_must_not_be_root(shared: dict[str, Any], own: dict[str, Any], image: cri.Image, told: str) -> None:
    pod = pod_of(shared, own)
    if not told:
        security.check_user(pod, pod.spec.containers[0], image)
        return
    with pytest.raises(ConfigError) as caught:
        security.check_user(pod, pod.spec.containers[0], image)
    assert str(caught.value) == f'{told} (pod: "web_default(u1)", container: app)'


def sysctl(name: str) -> dict[str, Any]:
    return {"sysctls": [core_pb2.Sysctl(name=name, value="1")]}


@pytest.mark.parametrize(
    ("pod", "node", "told"),
    [
        (pod_of(), NodeSecurity(), None),
        (pod_of(own={"appArmorProfile": core_pb2.AppArmorProfile(type="Unconfined")}), NodeSecurity(), None),
        (
            pod_of(own={"appArmorProfile": core_pb2.AppArmorProfile(type="RuntimeDefault")}),
            NodeSecurity(),
            ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        (pod_of({"appArmorProfile": core_pb2.AppArmorProfile(type="Localhost")}), NodeSecurity(apparmor=True), None),
        (pod_of(sysctl("net.ipv4.tcp_syncookies")), NodeSecurity(), None),
        (pod_of(sysctl("net/ipv4/tcp_syncookies")), NodeSecurity(), None),
        (
            pod_of(sysctl("net.core.somaxconn")),
            NodeSecurity(),
            ("SysctlForbidden", 'forbidden sysctl: "net.core.somaxconn" not allowlisted'),
        ),
        (pod_of(sysctl("net.core.somaxconn")), NodeSecurity(unsafe_sysctls=("net.core.*",)), None),
        (
            pod_of(sysctl("net.ipv4.tcp_syncookies"), hostNetwork=True),
            NodeSecurity(),
            ("SysctlForbidden", 'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled'),
        ),
    ],
)
def test_what_a_node_cannot_keep_it_does_not_take(
    pod: core_pb2.Pod, node: NodeSecurity, told: tuple[str, str] | None
) -> None:
    refused = security.refusal(pod, node)
    assert (refused and (refused.reason, refused.message)) == told


NODE = NodeSettings("node-1", "192.168.49.3", Path("/logs"), cluster_dns=("10.96.0.10",), resolv_conf="search x\n")


@pytest.mark.parametrize(
    ("spec", "own", "full", "line"),
    [
        ({}, "web", False, "10.244.1.2\tweb\n"),
        ({"hostname": "db-0"}, "db-0", False, "10.244.1.2\tdb-0\n"),
        (
            {"hostname": "db-0", "subdomain": "db"},
            "db-0",
            True,
            "10.244.1.2\tdb-0.db.default.svc.cluster.local\tdb-0\n",
        ),
        (
            {"subdomain": "db", "setHostnameAsFQDN": True},
            "web.db.default.svc.cluster.local",
            True,
            "10.244.1.2\tweb.db.default.svc.cluster.local\tweb\n",
        ),
        ({"hostNetwork": True, "hostname": "db-0", "subdomain": "db"}, "node-1", False, ""),
    ],
)
def test_the_names_of_a_pod(spec: dict[str, Any], own: str, full: bool, line: str) -> None:
    pod = pod_of(**spec)
    assert sandbox_config(pod, NODE, 0).hostname == own
    assert hosts.has_own(pod) == full
    assert hosts.content(pod, ["10.244.1.2"], ("node-1", "cluster.local", "")).endswith(f"\n{line}")


def test_a_full_name_that_no_kernel_keeps() -> None:
    pod = pod_of(hostname="a" * 40, subdomain="db", setHostnameAsFQDN=True)
    with pytest.raises(ConfigError, match=r"is too long \(64 characters is the max, 69 characters requested\)"):
        sandbox_config(pod, NODE, 0)


def test_users_of_its_own_are_in_the_sandbox_and_in_the_container() -> None:
    pod = pod_of(hostUsers=False)
    sandbox = sandbox_config(pod, NODE, 0, 131_072).linux.security_context.namespace_options
    container = container_security(pod, pod.spec.containers[0], NODE.security, cri.Image(), 131_072).namespace_options
    assert sandbox == container, "other runtimes compare them"
    mapping = cri.IDMapping(host_id=131_072, container_id=0, length=65_536)
    assert sandbox.userns_options == cri.UserNamespace(mode=cri.POD, uids=[mapping], gids=[mapping])
    options = sandbox_config(pod_of(hostUsers=True), NODE, 0).linux.security_context.namespace_options
    assert not options.HasField("userns_options")


def test_more_lines_of_a_hosts_file() -> None:
    aliases = [core_pb2.HostAlias(ip="10.1.2.3", hostnames=["a", "b.example"])]
    told = "\n# Entries added by HostAliases.\n10.1.2.3\ta\tb.example\n"
    assert hosts.content(pod_of(hostAliases=aliases), ["10.244.1.2"], ("n", "d", "")).endswith(f"\tweb\n{told}")
    of_the_node = hosts.content(pod_of(hostAliases=aliases, hostNetwork=True), [], ("n", "d", "1.1.1.1 me\n"))
    assert of_the_node == f"# Kubernetes-managed hosts file (host network).\n1.1.1.1 me\n{told}"


def test_a_container_with_a_hosts_file_and_sysctls_of_its_own() -> None:
    pod = pod_of(sysctl("net/ipv4/tcp_syncookies"))
    assert dict(sandbox_config(pod, NODE, 0).linux.sysctls) == {"net.ipv4.tcp_syncookies": "1"}
    given = ContainerInput(pod, pod.spec.containers[0], 0, "app:v1", hosts=Path("/logs/x/etc-hosts"))
    assert [(m.container_path, m.host_path) for m in container_config(given, NODE).mounts] == [
        ("/etc/hosts", "/logs/x/etc-hosts")
    ]


def test_a_pod_s_own_resolver() -> None:
    option = core_pb2.PodDNSConfigOption
    own = core_pb2.PodDNSConfig(
        nameservers=["10.96.0.10", "1.1.1.1", "2.2.2.2", "3.3.3.3"],
        searches=["x", "y"],
        options=[option(name="ndots", value="2"), option(name="edns0")],
    )
    merged = dns_config(pod_of(dnsConfig=own), NODE)
    assert list(merged.servers) == ["10.96.0.10", "1.1.1.1", "2.2.2.2"]
    assert list(merged.searches)[-2:] == ["x", "y"]
    assert list(merged.options) == ["ndots:2", "edns0"]
    alone = dns_config(pod_of(dnsConfig=own, dnsPolicy="None"), NODE)
    assert (list(alone.searches), alone.servers[0]) == (["x", "y"], "10.96.0.10")
