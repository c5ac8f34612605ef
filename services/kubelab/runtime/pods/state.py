"""Pods and containers as this node's runtime knows them, each in a folder of its own on disk.

A container's state is never written down; it follows from what is there::

    config.pb            ─▶ CREATED
      └ started.json     ─▶ RUNNING     the monitor wrote it: pid, monitor, when
          └ exit.json    ─▶ EXITED      the monitor wrote it: exit code, when

So a runtime that was killed reads everything again and goes on. A container without an exit.json whose monitor is gone
(the machine was restarted, or it was killed) counts as ended with code 137, as containerd counts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.files import statefile
from kubelab.linux.processes import start_time
from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.network import sysctls
from kubelab.runtime.rootfs.inroot import remove_tree

UNKNOWN_EXIT = 137
MAX_HOSTNAME = 64  # bytes, sethostname(2)
CGROUPS = "cgroups.json"  # where the node's control groups are
SANDBOX, CONTAINER = (
    "sandbox.json",
    "container.json",
)  # written last and deleted first: without it a folder is half of one
SANDBOX_FACTS: dict[str, type] = {"created_at": int, "pid": int, "pid_start": int, "address": str, "stopped": bool}
CONTAINER_FACTS: dict[str, type] = {
    "sandbox_id": str,
    "image_ref": str,
    "log_path": str,
    "created_at": int,
    "stop_signal": str,
}
STARTED: dict[str, type] = {"pid": int, "pid_start": int, "monitor": int, "monitor_start": int, "started_at": int}
ENDED: dict[str, type] = {"exit_code": int, "finished_at": int}


def read_json(path: Path, **kinds: statefile.Kind) -> dict[str, Any] | None:
    """A file's content, or None where it is not there, or does not have these keys of these types: a power cut may
    leave it empty."""
    try:
        return statefile.read(path, statefile.json_with(**kinds), remedy="")
    except statefile.BrokenFile:
        return None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write so that a reader sees all of it or nothing. Not for a power cut: no pod outlives that, and what was half
    written is forgotten when it is read. Making a pod need not wait for the disk."""
    statefile.write(path, json.dumps(content))


def read_groups(state_dir: Path) -> dict[str, Any] | None:
    """Where the node's control groups are; None where that was not written, or cannot be read."""
    recorded = read_json(state_dir / CGROUPS, trees=list, missing=dict, name=str)
    try:
        if recorded:
            Offer.from_json(recorded)
    except statefile.UNREADABLE:
        return None
    return recorded


@dataclass(slots=True)
class Sandbox:
    """A pod's namespaces. Ready while the process that holds them lives and the pod has not been stopped."""

    id: str
    folder: Path
    config: cri.PodSandboxConfig
    created_at: int
    pid: int = 0
    pid_start: int = 0
    address: str = ""
    stopped: bool = False

    @property
    def host_network(self) -> bool:
        return self.config.linux.security_context.namespace_options.network == cri.NODE

    def unusable(self) -> str:
        """Say what of the configuration no kernel takes; nothing where all is well."""
        hostname = self.config.hostname
        if len(hostname.encode()) > MAX_HOSTNAME or (hostname and not hostname.isprintable()):
            return f"hostname: {hostname!r}: expected at most {MAX_HOSTNAME} bytes of printable text"
        return sysctls.refusal(self.config.linux.sysctls, host_network=self.host_network)

    @property
    def alive(self) -> bool:
        return self.pid > 0 and start_time(self.pid) == self.pid_start

    @property
    def ready(self) -> bool:
        return not self.stopped and self.alive

    def save(self) -> None:
        (self.folder / "config.pb").write_bytes(self.config.SerializeToString())
        write_json(
            self.folder / SANDBOX,
            {
                "created_at": self.created_at,
                "pid": self.pid,
                "pid_start": self.pid_start,
                "address": self.address,
                "stopped": self.stopped,
            },
        )

    @property
    def state(self) -> cri.PodSandboxState.ValueType:
        return cri.SANDBOX_READY if self.ready else cri.SANDBOX_NOTREADY

    def status(self) -> cri.PodSandboxStatus:
        return cri.PodSandboxStatus(
            id=self.id,
            metadata=self.config.metadata,
            state=self.state,
            created_at=self.created_at,
            network=cri.PodSandboxNetworkStatus(ip=self.address),
            linux=cri.LinuxPodSandboxStatus(
                namespaces=cri.Namespace(options=self.config.linux.security_context.namespace_options)
            ),
            labels=self.config.labels,
            annotations=self.config.annotations,
        )

    def summary(self) -> cri.PodSandbox:
        return cri.PodSandbox(
            id=self.id,
            metadata=self.config.metadata,
            state=self.state,
            created_at=self.created_at,
            labels=self.config.labels,
            annotations=self.config.annotations,
        )


@dataclass(slots=True)
class Container:
    id: str
    folder: Path
    sandbox_id: str
    config: cri.ContainerConfig
    image_ref: str
    log_path: str
    created_at: int
    stop_signal: str = "SIGTERM"
    started: dict[str, Any] | None = None
    exit: dict[str, Any] | None = field(default=None)
    verdict: tuple[str, str] | None = None  # the reason and message of an end that the runtime has decided

    @property
    def state(self) -> cri.ContainerState.ValueType:
        if self.exit is not None:
            return cri.CONTAINER_EXITED
        return cri.CONTAINER_RUNNING if self.started is not None else cri.CONTAINER_CREATED

    @property
    def monitored(self) -> bool:
        """Whether its monitor still lives, by pid and start: pids are used again."""
        return self.started is not None and (start_time(self.started["monitor"]) == self.started["monitor_start"] != 0)

    @property
    def pid(self) -> int:
        """The container's process, which may be over; 0 before there is one."""
        return self.started["pid"] if self.started is not None else 0

    @property
    def alive(self) -> bool:
        """Whether its process lives, by pid and start."""
        return self.started is not None and (start_time(self.started["pid"]) == self.started["pid_start"] != 0)

    @property
    def orphan(self) -> int:
        """The pid of the container's process where its monitor is gone and it is not; else 0."""
        return self.pid if self.exit is None and not self.monitored and self.alive else 0

    @property
    def unwanted(self) -> int:
        """The pid of a process that was started while its container counted as ended already; else 0."""
        return self.pid if self.exit is not None and self.alive else 0

    def save(self) -> None:
        (self.folder / "config.pb").write_bytes(self.config.SerializeToString())
        write_json(
            self.folder / CONTAINER,
            {
                "sandbox_id": self.sandbox_id,
                "image_ref": self.image_ref,
                "log_path": self.log_path,
                "created_at": self.created_at,
                "stop_signal": self.stop_signal,
            },
        )

    def refresh(self) -> None:
        """Take in what the monitor has written."""
        self.started = self.started or read_json(self.folder / "started.json", **STARTED)
        self.exit = self.exit or read_json(self.folder / "exit.json", **ENDED)
        if self.exit is not None and self.verdict is not None:
            reason, message = self.verdict
            self.verdict = None
            self.end(self.exit["exit_code"], self.exit["finished_at"], reason, message)

    def end(self, code: int, now: int, reason: str = "", message: str = "") -> None:
        """Write down an end that no monitor saw."""
        self.exit = {"exit_code": code, "finished_at": now, "reason": reason, "message": message}
        with contextlib.suppress(OSError):  # a full disk: a runtime that reads it all again finds out for itself
            write_json(self.folder / "exit.json", self.exit)

    def status(self) -> cri.ContainerStatus:
        ended = self.exit or {}
        code = ended.get("exit_code", 0)
        return cri.ContainerStatus(
            id=self.id,
            metadata=self.config.metadata,
            state=self.state,
            created_at=self.created_at,
            started_at=(self.started or {}).get("started_at", 0),
            finished_at=ended.get("finished_at", 0),
            exit_code=code,
            image=self.config.image,
            image_ref=self.image_ref,
            reason=str(ended.get("reason") or ("Completed" if code == 0 else "Error")) if ended else "",
            message=str(ended.get("message", "")),
            labels=self.config.labels,
            annotations=self.config.annotations,
            mounts=self.config.mounts,
            log_path=self.log_path,
        )

    def summary(self) -> cri.Container:
        return cri.Container(
            id=self.id,
            pod_sandbox_id=self.sandbox_id,
            metadata=self.config.metadata,
            image=self.config.image,
            image_ref=self.image_ref,
            state=self.state,
            created_at=self.created_at,
            labels=self.config.labels,
            annotations=self.config.annotations,
        )


def load(root: Path) -> tuple[dict[str, Sandbox], dict[str, Container]]:
    """Read everything that is on disk; what was only half made, or half deleted, is removed."""
    sandboxes: dict[str, Sandbox] = {}
    containers: dict[str, Container] = {}
    for folder in _folders(root / "sandboxes"):
        facts, config = read_json(folder / SANDBOX, **SANDBOX_FACTS), _read_config(folder, cri.PodSandboxConfig)
        if facts is None or config is None:
            _end_half_made(folder)
            continue
        sandboxes[folder.name] = Sandbox(folder.name, folder, config, **{key: facts[key] for key in SANDBOX_FACTS})
    for folder in _folders(root / "containers"):
        facts, config = read_json(folder / CONTAINER, **CONTAINER_FACTS), _read_config(folder, cri.ContainerConfig)
        if facts is None or config is None:
            remove_tree(folder)
            continue
        facts_of_container = {key: facts[key] for key in CONTAINER_FACTS}
        containers[folder.name] = container = Container(folder.name, folder, config=config, **facts_of_container)
        container.refresh()
    return sandboxes, containers


C = TypeVar("C", cri.PodSandboxConfig, cri.ContainerConfig)


def _read_config(folder: Path, kind: type[C]) -> C | None:
    """None where it is not there or cannot be read. An empty file is a message without anything, thus no metadata."""
    try:
        config = kind.FromString((folder / "config.pb").read_bytes())
    except (OSError, DecodeError):
        return None
    return config if config.HasField("metadata") else None


def delete(folder: Path) -> None:
    """Delete a sandbox's or a container's folder; nothing there is no error.

    A runtime that is killed while it deletes leaves half of one, which :func:`load` deletes. Raises OSError.
    """
    for name in (SANDBOX, CONTAINER):
        (folder / name).unlink(missing_ok=True)
    if folder.exists():
        remove_tree(folder)


def _end_half_made(folder: Path) -> None:
    """Take back a sandbox whose runtime was killed while it made it: what holds the namespaces, then the folder."""
    gone = folder.with_suffix(".gone")
    if gone != folder:
        folder.rename(gone)  # a monitor that would write into it only now fails instead, and ends
    pause = read_json(gone / "pause.json", pid=int, pid_start=int)
    if pause and start_time(pause["pid"]) == pause["pid_start"] != 0:
        os.kill(pause["pid"], signal.SIGKILL)
    remove_tree(gone)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
