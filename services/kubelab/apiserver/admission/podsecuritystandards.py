"""The Pod Security Standards as checks of a pod's spec: pure, in upstream's words (``pod-security-admission/policy``).

https://kubernetes.io/docs/concepts/security/pod-security-standards/. A check gives its reason and detail where a pod
violates it. Those of ``restricted`` come after those of ``baseline``, and stand for some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.strategies.causes import quoted

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
Spec = core_pb2.PodSpec
Container = core_pb2.Container

_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
)
_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    ]
)
_CONFINED = ("RuntimeDefault", "Localhost")


class Violation(NamedTuple):
    """What a pod violates, and where."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def violations(spec: Spec, level: str) -> list[Violation]:
    """Give everything by which a pod violates a level."""
    if level not in (BASELINE, RESTRICTED):
        return []
    checks = [check for check in _BASELINE if level == BASELINE or check not in _REPLACED]
    checks += _RESTRICTED if level == RESTRICTED else ()
    return [found for check in checks if (found := check(spec)) is not None]


def _containers(spec: Spec) -> Iterable[Container]:
    yield from spec.initContainers
    yield from spec.containers
    for one in spec.ephemeralContainers:
        yield Container.FromString(one.ephemeralContainerCommon.SerializeToString())  # the same fields and numbers


def _names(containers: Iterable[Container]) -> tuple[str, bool]:
    """``container "a"`` or ``containers "a", "b"``, and whether there are several."""
    names = [container.name for container in containers]
    several = len(names) > 1
    return f"container{'s' if several else ''} {_list(names)}", several


def _list(values: Iterable[str]) -> str:
    return ", ".join(quoted(value) for value in values)


def _must(spec: Spec, reason: str, bad: Callable[[Container], bool], what: str) -> Violation | None:
    """Make the violation of a rule that each container keeps or does not."""
    found = [container for container in _containers(spec) if bad(container)]
    return Violation(reason, f"{_names(found)[0]} {what}") if found else None


def _app_armor(spec: Spec) -> Violation | None:
    where: list[str] = []
    if spec.securityContext.appArmorProfile.type == "Unconfined":
        where.append("pod")
    if found := [c for c in _containers(spec) if c.securityContext.appArmorProfile.type == "Unconfined"]:
        where.append(_names(found)[0])
    if not where:
        return None
    what = 'must not set AppArmor profile type to "Unconfined"'
    return Violation("forbidden AppArmor profile", f"{' and '.join(where)} {what}")


def _baseline_capabilities(spec: Spec) -> Violation | None:
    found = [c for c in _containers(spec) if {*c.securityContext.capabilities.add} - _CAPABILITIES]
    if not found:
        return None
    added = sorted({name for c in found for name in c.securityContext.capabilities.add} - _CAPABILITIES)
    what = f"must not include {_list(added)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", f"{_names(found)[0]} {what}")


def _host_namespaces(spec: Spec) -> Violation | None:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if getattr(spec, name)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def _host_paths(spec: Spec) -> Violation | None:
    names = [volume.name for volume in spec.volumes if volume.volumeSource.HasField("hostPath")]
    plural = "s" if len(names) > 1 else ""
    return Violation("hostPath volumes", f"volume{plural} {_list(names)}") if names else None


def _host_ports(spec: Spec) -> Violation | None:
    found = [c for c in _containers(spec) if any(port.hostPort for port in c.ports)]
    if not found:
        return None
    ports = sorted({port.hostPort for c in found for port in c.ports if port.hostPort})
    who, several = _names(found)
    plural = "s" if len(ports) > 1 else ""
    return Violation("hostPort", f"{who} {'use' if several else 'uses'} hostPort{plural} {', '.join(map(str, ports))}")


def _privileged(spec: Spec) -> Violation | None:
    what = "must not set securityContext.privileged=true"
    return _must(spec, "privileged", lambda c: c.securityContext.privileged, what)


def _proc_mount(spec: Spec) -> Violation | None:
    what = 'must not set securityContext.procMount to "Unmasked"'
    return _must(spec, "procMount", lambda c: c.securityContext.procMount == "Unmasked", what)


def _selinux(spec: Spec) -> Violation | None:
    where: list[str] = []
    bad: list[core_pb2.SELinuxOptions] = []
    if _is_bad(spec.securityContext.seLinuxOptions):
        where.append("pod")
        bad.append(spec.securityContext.seLinuxOptions)
    if found := [c for c in _containers(spec) if _is_bad(c.securityContext.seLinuxOptions)]:
        where.append(_names(found)[0])
        bad += [c.securityContext.seLinuxOptions for c in found]
    if not bad:
        return None
    types = sorted({options.type for options in bad} - _SELINUX_TYPES)
    what = [f"type{'s' if len(types) > 1 else ''} {_list(types)}"] if types else []
    what += ["user may not be set"] if any(options.user for options in bad) else []
    what += ["role may not be set"] if any(options.role for options in bad) else []
    detail = f"{' and '.join(where)} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}"
    return Violation("seLinuxOptions", detail)


def _is_bad(options: core_pb2.SELinuxOptions) -> bool:
    return options.type not in _SELINUX_TYPES or bool(options.user or options.role)


def _baseline_seccomp(spec: Spec) -> Violation | None:
    where: list[str] = []
    if spec.securityContext.seccompProfile.type == "Unconfined":
        where.append("pod")
    if found := [c for c in _containers(spec) if c.securityContext.seccompProfile.type == "Unconfined"]:
        where.append(_names(found)[0])
    if not where:
        return None
    what = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    return Violation("seccompProfile", f"{' and '.join(where)} {what}")


def _sysctls(spec: Spec) -> Violation | None:
    names = [sysctl.name for sysctl in spec.securityContext.sysctls if sysctl.name not in _SYSCTLS]
    return Violation("forbidden sysctls", ", ".join(names)) if names else None


def _escalation(spec: Spec) -> Violation | None:
    def bad(container: Container) -> bool:
        context = container.securityContext
        return not context.HasField("allowPrivilegeEscalation") or context.allowPrivilegeEscalation

    what = "must set securityContext.allowPrivilegeEscalation=false"
    return _must(spec, "allowPrivilegeEscalation != false", bad, what)


def _restricted_capabilities(spec: Spec) -> Violation | None:
    missing = [c for c in _containers(spec) if "ALL" not in c.securityContext.capabilities.drop]
    adding = [c for c in _containers(spec) if {*c.securityContext.capabilities.add} - {"NET_BIND_SERVICE"}]
    details: list[str] = []
    if missing:
        details.append(f'{_names(missing)[0]} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        names = sorted({name for c in adding for name in c.securityContext.capabilities.add} - {"NET_BIND_SERVICE"})
        details.append(f"{_names(adding)[0]} must not include {_list(names)} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def _restricted_volumes(spec: Spec) -> Violation | None:
    bad: list[tuple[str, str]] = []
    for volume in spec.volumes:
        kinds = [field.name for field, _ in volume.volumeSource.ListFields()]
        bad += [(volume.name, kind) for kind in kinds[:1] if kind not in _VOLUMES]
    if not bad:
        return None
    kinds = sorted({kind for _, kind in bad})
    who = f"volume{'s' if len(bad) > 1 else ''} {_list(name for name, _ in bad)}"
    plural = "s" if len(kinds) > 1 else ""
    verb = "use" if len(bad) > 1 else "uses"
    return Violation("restricted volume types", f"{who} {verb} restricted volume type{plural} {_list(kinds)}")


def _non_root(spec: Spec) -> Violation | None:
    pod = spec.securityContext
    is_set = pod.HasField("runAsNonRoot")
    explicit: list[Container] = []
    implicit: list[Container] = []
    for container in _containers(spec):
        context = container.securityContext
        if context.HasField("runAsNonRoot"):
            if not context.runAsNonRoot:
                explicit.append(container)
        elif not is_set:
            implicit.append(container)
    where = ["pod"] if is_set and not pod.runAsNonRoot else []
    where += [_names(explicit)[0]] if explicit else []
    if where:
        what = "must not set securityContext.runAsNonRoot=false"
        return Violation("runAsNonRoot != true", f"{' and '.join(where)} {what}")
    if implicit:
        what = "must set securityContext.runAsNonRoot=true"
        return Violation("runAsNonRoot != true", f"pod or {_names(implicit)[0]} {what}")
    return None


def _run_as_user(spec: Spec) -> Violation | None:
    pod = spec.securityContext
    where = ["pod"] if pod.HasField("runAsUser") and not pod.runAsUser else []
    found = [
        c for c in _containers(spec) if c.securityContext.HasField("runAsUser") and not c.securityContext.runAsUser
    ]
    where += [_names(found)[0]] if found else []
    return Violation("runAsUser=0", f"{' and '.join(where)} must not set runAsUser=0") if where else None


def _restricted_seccomp(spec: Spec) -> Violation | None:
    pod = spec.securityContext
    is_set = pod.HasField("seccompProfile")
    where = ["pod"] if is_set and pod.seccompProfile.type not in _CONFINED else []
    explicit: list[Container] = []
    implicit: list[Container] = []
    for container in _containers(spec):
        context = container.securityContext
        if context.HasField("seccompProfile"):
            if context.seccompProfile.type not in _CONFINED:
                explicit.append(container)
        elif not is_set:
            implicit.append(container)
    where += [_names(explicit)[0]] if explicit else []
    if where:
        types = {pod.seccompProfile.type} if where[0] == "pod" else set[str]()
        types |= {c.securityContext.seccompProfile.type for c in explicit}
        what = f"must not set securityContext.seccompProfile.type to {_list(sorted(types))}"
        return Violation("seccompProfile", f"{' and '.join(where)} {what}")
    if implicit:
        what = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        return Violation("seccompProfile", f"pod or {_names(implicit)[0]} {what}")
    return None


Check = Callable[[Spec], Violation | None]
# In upstream's order: by the checks' names.
_BASELINE: Sequence[Check] = (
    _app_armor,
    _baseline_capabilities,
    _host_namespaces,
    _host_paths,
    _host_ports,
    _privileged,
    _proc_mount,
    _selinux,
    _baseline_seccomp,
    _sysctls,
)
_RESTRICTED: Sequence[Check] = (
    _escalation,
    _restricted_capabilities,
    _restricted_volumes,
    _non_root,
    _run_as_user,
    _restricted_seccomp,
)
_REPLACED = frozenset((_baseline_capabilities, _host_paths, _baseline_seccomp))
"""The checks of baseline for which restricted has one of its own."""
