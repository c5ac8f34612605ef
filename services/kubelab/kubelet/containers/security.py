"""From a pod's security contexts to the CRI's, and what of them this node cannot keep. Pure but for the folder of
seccomp profiles; the words are upstream's (``pkg/securitycontext``, ``pkg/kubelet/kuberuntime``).

https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers.environment import ConfigError
from kubelab.kubelet.containers.userranges import LENGTH
from kubelab.kubelet.cri.views import pod_text
from kubelab.kubelet.pods.plan import Waiting

# https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/, as of Kubernetes 1.32
SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
NET_SYSCTLS = ("net.",)


@dataclass(frozen=True, slots=True)
class NodeSecurity:
    """What of a pod's security contexts the node can keep, and how it is set up."""

    apparmor: bool = False
    """The node's kernel has AppArmor, and it is on."""
    seccomp_root: Path = Path("/var/lib/kubelab/kubelet/seccomp")
    seccomp_default: bool = True
    """RuntimeDefault where a pod does not say: upstream's seccompDefault."""
    unsafe_sysctls: Sequence[str] = field(default_factory=tuple[str, ...])
    """Allowed besides the safe ones; ``net.core.*`` is all of a kind."""


def has_own_users(pod: core_pb2.Pod) -> bool:
    """Whether the pod asks for users of its own."""
    return pod.spec.HasField("hostUsers") and not pod.spec.hostUsers


def sandbox_security(pod: core_pb2.Pod, users: int = 0) -> cri.LinuxSandboxSecurityContext:
    """The security context of the process that holds the pod's namespaces. ``users`` is the machine's number of the
    pod's root, where the pod has users of its own."""
    shared = pod.spec.securityContext
    context = cri.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod, users),
        privileged=any(c.securityContext.privileged for c in pod.spec.containers),
        supplemental_groups=_groups(shared),
        supplemental_groups_policy=_groups_policy(shared),
        seccomp=cri.SecurityProfile(),
    )
    if shared.HasField("runAsUser"):
        context.run_as_user.value = shared.runAsUser
    if shared.HasField("runAsGroup"):
        context.run_as_group.value = shared.runAsGroup
    if shared.HasField("seLinuxOptions"):
        context.selinux_options.CopyFrom(_selinux(shared.seLinuxOptions))
    return context


def container_security(
    pod: core_pb2.Pod, container: core_pb2.Container, node: NodeSecurity, image: cri.Image, users: int = 0
) -> cri.LinuxContainerSecurityContext:
    """The security context of a container: its own values over the pod's. ConfigError for a profile outside the folder
    of seccomp profiles, or of a type that is none."""
    container_context, shared = container.securityContext, pod.spec.securityContext
    security = cri.LinuxContainerSecurityContext(
        namespace_options=namespaces(pod, users),
        privileged=container_context.privileged,
        readonly_rootfs=container_context.readOnlyRootFilesystem,
        no_new_privs=container_context.HasField("allowPrivilegeEscalation")
        and not container_context.allowPrivilegeEscalation,
        supplemental_groups=_groups(shared),
        supplemental_groups_policy=_groups_policy(shared),
        seccomp=_seccomp(container_context if container_context.HasField("seccompProfile") else shared, node),
    )
    if container_context.HasField("capabilities"):
        security.capabilities.add_capabilities.extend(container_context.capabilities.add)
        security.capabilities.drop_capabilities.extend(container_context.capabilities.drop)
    if container_context.HasField("runAsUser") or shared.HasField("runAsUser"):
        security.run_as_user.value = (
            container_context.runAsUser if container_context.HasField("runAsUser") else shared.runAsUser
        )
    if container_context.HasField("runAsGroup") or shared.HasField("runAsGroup"):
        security.run_as_group.value = (
            container_context.runAsGroup if container_context.HasField("runAsGroup") else shared.runAsGroup
        )
        if not security.HasField("run_as_user"):  # the CRI takes no group without a user
            _run_as_the_image(security, image)
    for context in (shared, container_context):
        if context.HasField("seLinuxOptions"):
            security.selinux_options.CopyFrom(_selinux(context.seLinuxOptions))
        if context.HasField("appArmorProfile"):
            security.apparmor.CopyFrom(_apparmor(context.appArmorProfile))
    return security


def namespaces(pod: core_pb2.Pod, users: int = 0) -> cri.NamespaceOption:
    network = cri.NODE if pod.spec.hostNetwork else cri.POD
    options = cri.NamespaceOption(network=network, pid=cri.CONTAINER, ipc=cri.POD)
    if users:
        mapping = cri.IDMapping(host_id=users, container_id=0, length=LENGTH)
        options.userns_options.CopyFrom(cri.UserNamespace(mode=cri.POD, uids=[mapping], gids=[mapping]))
    return options


def check_user(pod: core_pb2.Pod, container: core_pb2.Container, image: cri.Image) -> None:
    """Refuse root where the pod asks for another user (``runAsNonRoot``). Raises ConfigError."""
    container_context, shared = container.securityContext, pod.spec.securityContext
    if not (container_context.runAsNonRoot if container_context.HasField("runAsNonRoot") else shared.runAsNonRoot):
        return
    where = f"(pod: {_quoted(pod_text(pod))}, container: {container.name})"
    if container_context.HasField("runAsUser") or shared.HasField("runAsUser"):
        if not (container_context.runAsUser if container_context.HasField("runAsUser") else shared.runAsUser):
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    elif not image.HasField("uid") and image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    elif not image.uid.value:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


def refusal(pod: core_pb2.Pod, node: NodeSecurity) -> Waiting | None:
    """Say what of the pod this node would not keep, so that it does not take it; None when there is nothing."""
    contexts = (pod.spec.securityContext, *(c.securityContext for c in pod.spec.containers))
    if not node.apparmor and any(c.appArmorProfile.type not in ("", "Unconfined") for c in contexts):
        return Waiting("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    for sysctl in pod.spec.securityContext.sysctls:
        name = sysctl.name.replace("/", ".")
        if pod.spec.hostNetwork and name.startswith(NET_SYSCTLS):
            return Waiting("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled')
        if name not in SAFE_SYSCTLS and not any(_covers(one, name) for one in node.unsafe_sysctls):
            return Waiting("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
    return None


def sysctls(pod: core_pb2.Pod) -> Mapping[str, str]:
    """What the pod's own namespaces are to be set to, with dots in the names."""
    return {one.name.replace("/", "."): one.value for one in pod.spec.securityContext.sysctls}


def _covers(allowed: str, name: str) -> bool:
    return name.startswith(allowed[:-1]) if allowed.endswith("*") else name == allowed


def _groups(shared: core_pb2.PodSecurityContext) -> list[int]:
    groups = [shared.fsGroup] if shared.HasField("fsGroup") else []
    return [*groups, *shared.supplementalGroups]


def _groups_policy(shared: core_pb2.PodSecurityContext) -> cri.SupplementalGroupsPolicy.ValueType:
    return cri.Strict if shared.supplementalGroupsPolicy == "Strict" else cri.Merge


def _seccomp(
    context: core_pb2.SecurityContext | core_pb2.PodSecurityContext, node: NodeSecurity
) -> cri.SecurityProfile:
    profile = context.seccompProfile
    kind = profile.type or ("RuntimeDefault" if node.seccomp_default else "Unconfined")
    if kind != "Localhost":
        return cri.SecurityProfile(profile_type=_profile_type(kind))
    root = node.seccomp_root.resolve()
    path = (root / profile.localhostProfile.lstrip("/")).resolve()
    if root not in path.parents:
        raise ConfigError(f'seccomp profile "{profile.localhostProfile}" leads out of the folder {root}')
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=str(path))


def _apparmor(profile: core_pb2.AppArmorProfile) -> cri.SecurityProfile:
    return cri.SecurityProfile(profile_type=_profile_type(profile.type), localhost_ref=profile.localhostProfile)


def _profile_type(kind: str) -> cri.SecurityProfile.ProfileType.ValueType:
    """ConfigError for a type that the api-server would not let in, but etcd may hold."""
    try:
        return cri.SecurityProfile.ProfileType.Value(kind)
    except ValueError:
        raise ConfigError(f"unknown type of a security profile: {kind!a}") from None


def _selinux(options: core_pb2.SELinuxOptions) -> cri.SELinuxOption:
    return cri.SELinuxOption(user=options.user, role=options.role, type=options.type, level=options.level)


def _run_as_the_image(context: cri.LinuxContainerSecurityContext, image: cri.Image) -> None:
    if image.username and not image.HasField("uid"):
        context.run_as_username = image.username
    else:
        context.run_as_user.value = image.uid.value


def _quoted(text: str) -> str:
    return f'"{text}"'
