"""Security contexts of pods and containers, in the words of upstream's ValidateSecurityContext and
validatePodSpecSecurityContext (https://kubernetes.io/docs/tasks/configure-pod-container/security-context/)."""

from __future__ import annotations

import re

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

MAX_ID = 2**31 - 1  # of users and groups
PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
MAX_PROFILE_NAME = 4095  # PATH_MAX - 1
MAX_SYSCTL = 253
_SYSCTL_FORMAT = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(_SYSCTL_FORMAT, re.ASCII)
NO_WINDOWS = "windows options cannot be set for a linux pod"
_CONTAINER_FIELDS = (
    "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
    "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
)  # fmt: skip
_GO_TYPES = {"runAsUser": "int64", "runAsGroup": "int64", "procMount": "core.ProcMountType"}


def container(context: core_pb2.SecurityContext, field: str, *, host_users: bool) -> list[Cause]:
    """All complaints about a container's; ``host_users``: its pod shares the node's user namespace."""
    complaints = user_and_group(context, field)
    if context.HasField("procMount"):
        if context.procMount not in ("Default", "Unmasked"):
            complaints.append(causes.unsupported(f"{field}.procMount", context.procMount, ("Default", "Unmasked")))
        if host_users and context.procMount == "Unmasked":
            message = "`hostUsers` must be false to use `Unmasked`"
            complaints.append(causes.invalid(f"{field}.procMount", context.procMount, message))
    complaints += _seccomp(context, f"{field}.seccompProfile")
    if context.HasField("allowPrivilegeEscalation") and not context.allowPrivilegeEscalation:
        message = "cannot set `allowPrivilegeEscalation` to false and"
        if context.privileged:
            complaints.append(causes.invalid(field, _as_go(context), f"{message} `privileged` to true"))
        for name in context.capabilities.add:
            if name == "CAP_SYS_ADMIN":
                complaints.append(causes.invalid(field, _as_go(context), f"{message} `capabilities.Add` CAP_SYS_ADMIN"))
    if context.HasField("windowsOptions"):
        complaints.append(causes.forbidden(f"{field}.windowsOptions", NO_WINDOWS))
    return complaints + _apparmor(context, f"{field}.appArmorProfile")


def pod(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """All complaints about a pod's own."""
    context = spec.securityContext
    complaints: list[Cause] = []
    if context.HasField("fsGroup"):
        complaints += _id(f"{field}.fsGroup", context.fsGroup)
    complaints += user_and_group(context, field)
    for i, group in enumerate(context.supplementalGroups):
        complaints += _id(f"{field}.supplementalGroups[{i}]", group)
    complaints += _sysctls(spec, f"{field}.sysctls")
    complaints += _one_of(context, field, "fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    complaints += _seccomp(context, f"{field}.seccompProfile")
    if context.HasField("windowsOptions"):
        complaints.append(causes.forbidden(f"{field}.windowsOptions", NO_WINDOWS))
    complaints += _apparmor(context, f"{field}.appArmorProfile")
    complaints += _one_of(context, field, "supplementalGroupsPolicy", ("Merge", "Strict"))
    return complaints + _one_of(context, field, "seLinuxChangePolicy", ("MountOption", "Recursive"))


def host_users(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """A pod with a user namespace of its own can share no other with the node."""
    if not spec.HasField("hostUsers") or spec.hostUsers or not spec.hostNetwork:
        return []
    return [causes.forbidden(f"{field}.hostNetwork", "when `hostUsers` is false")]


def user_and_group(context: core_pb2.SecurityContext | core_pb2.PodSecurityContext, field: str) -> list[Cause]:
    """Complain of numbers that no user or group has."""
    return _id(f"{field}.runAsUser", context.runAsUser) + _id(f"{field}.runAsGroup", context.runAsGroup)


def _id(field: str, value: int) -> list[Cause]:
    return [] if 0 <= value <= MAX_ID else [causes.invalid(field, value, names.out_of_range(0, MAX_ID))]


def _one_of(context: core_pb2.PodSecurityContext, field: str, name: str, supported: tuple[str, ...]) -> list[Cause]:
    value = getattr(context, name)
    if not context.HasField(name) or value in supported:  # pyright: ignore[reportArgumentType]
        return []
    return [causes.unsupported(f"{field}.{name}", value, supported)]


def _seccomp(context: core_pb2.SecurityContext | core_pb2.PodSecurityContext, field: str) -> list[Cause]:
    if not context.HasField("seccompProfile"):
        return []
    profile = context.seccompProfile
    complaints: list[Cause] = []
    if not profile.type:
        complaints.append(causes.required(f"{field}.type", "type is required when seccompProfile is set"))
    elif profile.type not in PROFILE_TYPES:
        complaints.append(causes.unsupported(f"{field}.type", profile.type, PROFILE_TYPES))
    here = f"{field}.localhostProfile"
    if profile.type != "Localhost":
        if profile.HasField("localhostProfile"):
            shown = causes.Raw(
                f"core.SeccompProfile{{Type:{causes.quoted(profile.type)}, "
                f"LocalhostProfile:(*string)({causes.quoted(profile.localhostProfile)})}}"
            )
            complaints.append(causes.invalid(here, shown, "can only be set when seccomp type is Localhost"))
    elif not profile.HasField("localhostProfile"):
        complaints.append(causes.required(here, "must be set when seccomp type is Localhost"))
    else:
        complaints += causes.descending_path(here, profile.localhostProfile)
    return complaints


def _apparmor(context: core_pb2.SecurityContext | core_pb2.PodSecurityContext, field: str) -> list[Cause]:
    if not context.HasField("appArmorProfile"):
        return []
    profile, here = context.appArmorProfile, f"{field}.localhostProfile"
    name = profile.localhostProfile
    if not profile.type:
        return [causes.required(f"{field}.type", "type is required when appArmorProfile is set")]
    if profile.type not in PROFILE_TYPES:
        return [causes.unsupported(f"{field}.type", profile.type, PROFILE_TYPES)]
    if profile.type != "Localhost":
        message = "can only be set when AppArmor type is Localhost"
        return [causes.invalid(here, name, message)] if profile.HasField("localhostProfile") else []
    if not name:
        return [causes.required(here, "must be set when AppArmor type is Localhost")]
    complaints = [causes.invalid(here, name, "must not be padded with whitespace")] if name != name.strip() else []
    return complaints + ([causes.too_long(here, MAX_PROFILE_NAME)] if len(name.encode()) > MAX_PROFILE_NAME else [])


def _sysctls(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, sysctl in enumerate(spec.securityContext.sysctls):
        here, name = f"{field}[{i}].name", sysctl.name
        if not name:
            complaints.append(causes.required(here))
        elif len(name) > MAX_SYSCTL or not _SYSCTL.fullmatch(name):
            message = f"must have at most {MAX_SYSCTL} characters and match regex ^{_SYSCTL_FORMAT}$"
            complaints.append(causes.invalid(here, name, message))
        elif name in seen:
            complaints.append(causes.duplicate(here, name))
        if spec.hostNetwork and name.replace("/", ".").startswith("net."):
            complaints.append(causes.invalid(here, name, "may not be specified when 'hostNetwork' is true"))
        seen.add(name)
    return complaints


def _as_go(context: core_pb2.SecurityContext) -> causes.Raw:
    """A container's context as upstream prints it, but for the pointers' addresses: the values stand there."""
    shown: list[str] = []
    for name in _CONTAINER_FIELDS:
        value: object = getattr(context, name)
        go = f"core.{type(value).DESCRIPTOR.name}" if isinstance(value, Message) else _GO_TYPES.get(name, "bool")
        label = f"{name[0].upper()}{name[1:]}".replace("SeLinux", "SELinux")
        message = "nil"
        if context.HasField(name):  # pyright: ignore[reportArgumentType]
            message = "{…}" if isinstance(value, Message) else causes.shown(value)
        shown.append(f"{label}:(*{go})({message})")
    return causes.Raw(f"core.SecurityContext{{{', '.join(shown)}}}")
