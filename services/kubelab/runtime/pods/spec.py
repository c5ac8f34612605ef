"""The OCI bundle's config.json for one container
(https://github.com/opencontainers/runtime-spec/blob/main/config.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.host import capabilities
from kubelab.runtime.host.base import Host
from kubelab.runtime.host.capabilities import Bounds
from kubelab.runtime.seccomp import profile

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TERM = "TERM=xterm"  # with a terminal, as containerd gives it
MASKED = ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
          "/sys/devices/virtual/powercap"]  # fmt: skip
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
]


class SpecError(ValueError):
    """The container cannot be described: no command, or something that no container here can be given."""


def build(
    config: cri.ContainerConfig,
    image: Mapping[str, Any],
    *,
    root: Path,
    pause: int,
    host_network: bool,
    own_users: bool = False,
    files: Mapping[str, Path],
    hostname: str = "",
    host: Host | None = None,
    bounds: Bounds = Bounds(),  # noqa: B008 — it is frozen
) -> dict[str, Any]:
    """Describe a container. ``image`` is the image's process section; ``pause`` holds the pod's namespaces; ``files``
    are mounted: path in the container → file; ``host`` is the base of the image, where it is.

    The user is as the pod or the image names it: :func:`kubelab.runtime.rootfs.users.settle` finds it in the mounted
    root.
    """
    security = config.linux.security_context
    bounding = capabilities.granted(security, bounds)
    seccomp = profile.section(security, bounding)
    own_files = {mount.container_path for mount in config.mounts}
    binds = [_bind(source, path, read_only=False) for path, source in files.items() if path not in own_files]
    binds += [_bind(Path(m.host_path), m.container_path, read_only=m.readonly) for m in config.mounts]
    namespaces = [{"type": "pid"}, {"type": "mount"}]
    namespaces += [{"type": kind, "path": f"/proc/{pause}/ns/{kind}"} for kind in ("ipc", "uts")]
    if own_users:
        namespaces.append({"type": "user", "path": f"/proc/{pause}/ns/user"})
    if not host_network:
        namespaces.append({"type": "network", "path": f"/proc/{pause}/ns/net"})
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": config.tty,
            "user": _wanted_user(security, image),
            "args": command(config, image),
            "env": environment(config, image, hostname),
            "cwd": config.working_dir or image.get("WorkingDir") or "/",
            "capabilities": {"bounding": bounding, "effective": bounding, "permitted": bounding},
            "noNewPrivileges": security.no_new_privs,
            **_apparmor(security),
            **_oom_score_adj(config.linux, bounds),
        },
        "root": {"path": str(root), "readonly": security.readonly_rootfs},
        "mounts": [
            *_MOUNTS,
            *sorted(
                binds, key=lambda bind: bind["destination"].rstrip("/").count("/")
            ),  # what lies in another follows it
        ],
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": [*([] if security.privileged else MASKED), *(host.hidden if host else ())],
            "readonlyPaths": [
                *([] if security.privileged else READ_ONLY),
                *(host.folders if host and security.readonly_rootfs else ()),  # mounts of their own in the root
            ],
            **({"seccomp": seccomp} if seccomp else {}),
        },
    }


def check(config: cri.ContainerConfig, bounds: Bounds) -> None:
    """Raise ValueError for what no container on this machine can be given, whatever its image."""
    security = config.linux.security_context
    _texts(config)
    profile.section(security, capabilities.granted(security, bounds))
    _apparmor(security)
    if security.selinux_options.ByteSize():
        raise SpecError("SELinux: this runtime sets no labels")


def _texts(config: cri.ContainerConfig) -> None:
    """SpecError for a text that the kernel would take for a shorter one."""
    texts = [config.working_dir, *config.command, *config.args]
    texts += [text for pair in config.envs for text in (pair.key, pair.value)]
    texts += [text for mount in config.mounts for text in (mount.container_path, mount.host_path)]
    texts.append(config.linux.security_context.run_as_username)
    for text in texts:
        if "\0" in text:
            raise SpecError(f"{text!r}: expected text without NUL bytes")


def _apparmor(security: cri.LinuxContainerSecurityContext) -> dict[str, str]:
    """SpecError for the profile of a runtime that has one: this one loads none."""
    if not security.HasField("apparmor") or security.apparmor.profile_type == cri.SecurityProfile.Unconfined:
        return {}
    if security.apparmor.profile_type == cri.SecurityProfile.Localhost:
        return {"apparmorProfile": security.apparmor.localhost_ref}
    raise SpecError("AppArmor: this runtime has no default profile; name one that is loaded on the node (Localhost)")


def _oom_score_adj(linux: cri.LinuxContainerConfig, bounds: Bounds) -> dict[str, int]:
    """Who is killed first when the machine's memory runs out, as far as the machine lets us say so (proc(5))."""
    if not linux.HasField("resources"):
        return {}
    return {"oomScoreAdj": max(linux.resources.oom_score_adj, bounds.oom_score_adj)}


def _bind(source: Path, path: str, *, read_only: bool) -> dict[str, Any]:
    options = ["rbind", "rprivate", "ro" if read_only else "rw"]
    return {"destination": path, "type": "bind", "source": str(source), "options": options}


def command(config: cri.ContainerConfig, image: Mapping[str, Any]) -> list[str]:
    """Kubernetes' command replaces the image's entrypoint and its cmd, args replace the cmd alone; SpecError."""
    if config.command:
        args = [*config.command, *config.args]
    else:
        args = [*(image.get("Entrypoint") or ()), *(config.args or image.get("Cmd") or ())]
    if not args:
        raise SpecError("no command specified")
    return args


def environment(config: cri.ContainerConfig, image: Mapping[str, Any], hostname: str = "") -> list[str]:
    """The image's variables, HOSTNAME, then the pod's over them; PATH where neither says it."""
    given: list[str] = [DEFAULT_PATH, *([TERM] if config.tty else ()), *(image.get("Env") or ())]
    variables: dict[str, str] = {}
    for text in given:
        key, _, value = text.partition("=")
        variables[key] = value
    if hostname:
        variables["HOSTNAME"] = hostname
    variables.update({pair.key: pair.value for pair in config.envs})
    return [f"{key}={value}" for key, value in variables.items()]


def _wanted_user(security: cri.LinuxContainerSecurityContext, image: Mapping[str, Any]) -> dict[str, Any]:
    """The OCI specification's ``user``, with ``username`` for what :mod:`kubelab.runtime.rootfs.users` looks up."""
    name = image.get("User") or "0"
    if security.HasField("run_as_user"):
        name = str(security.run_as_user.value)
    elif security.run_as_username:
        name = security.run_as_username
    user: dict[str, Any] = {
        "username": name,
        "merge": security.supplemental_groups_policy == cri.Merge,
        "additionalGids": list(security.supplemental_groups),
    }
    if security.HasField("run_as_group"):
        user["gid"] = security.run_as_group.value
    return user
