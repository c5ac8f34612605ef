"""Containers as a pod and a pod template describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.api.resource import quantity_pb2
from kubelab.kctl.describe import volumes
from kubelab.kctl.describe.writer import NONE, Writer, boolean, moment, zero_moment

Resolve = Callable[[str], str]  # a field path to its value, "" where there is none


def write(
    w: Writer,
    containers: Sequence[core_pb2.Container],
    statuses: Mapping[str, core_pb2.ContainerStatus],
    resolve: Resolve,
    indent: str = "",
) -> None:
    """Write all containers; a template's are indented and have no statuses."""
    w.line(f"{indent}Containers:{'' if containers else f'{chr(9)}{NONE}'}")
    for container in containers:
        w.line(f"{' ' if indent else ''}{container.name}:", 1)
        status = statuses.get(container.name)
        _basics(w, container, status)
        _words(w, "Command", container.command)
        _words(w, "Args", container.args)
        if status is not None:
            _status(w, status)
        for title, amounts in (("Limits", container.resources.limits), ("Requests", container.resources.requests)):
            _amounts(w, title, amounts)
        _environment_from(w, container.envFrom)
        _environment(w, container.env, resolve)
        volumes.mounts(w, container)


def _basics(w: Writer, container: core_pb2.Container, status: core_pb2.ContainerStatus | None) -> None:
    if status is not None:
        w.field("Container ID", status.containerID, 2)
    w.field("Image", container.image, 2)
    if status is not None:
        w.field("Image ID", status.imageID, 2)
    many = "s" if len(container.ports) > 1 else ""
    ports = ", ".join(f"{p.containerPort}/{p.protocol or 'TCP'}" for p in container.ports)
    w.field(f"Port{many}", ports or NONE, 2)
    host_ports = ", ".join(f"{p.hostPort}/{p.protocol or 'TCP'}" for p in container.ports)
    w.field(f"Host Port{many}", host_ports or NONE, 2)


def _words(w: Writer, title: str, words: Sequence[str]) -> None:
    if words:
        w.line(f"{title}:", 2)
        for word in words:
            for line in word.split("\n"):
                w.line(line, 3)


def _status(w: Writer, status: core_pb2.ContainerStatus) -> None:
    _state(w, "State", status.state)
    if status.lastState.HasField("terminated"):
        _state(w, "Last State", status.lastState)
    w.field("Ready", status.ready, 2)
    w.field("Restart Count", status.restartCount, 2)


def _state(w: Writer, title: str, state: core_pb2.ContainerState) -> None:
    if state.HasField("running"):
        w.field(title, "Running", 2)
        started = state.running
        w.field("Started", moment(started.startedAt) if started.HasField("startedAt") else zero_moment(), 3)
    elif state.HasField("terminated"):
        ended = state.terminated
        w.field(title, "Terminated", 2)
        if ended.reason:
            w.field("Reason", ended.reason, 3)
        if ended.message:
            w.field("Message", ended.message, 3)
        w.field("Exit Code", ended.exitCode, 3)
        if ended.signal > 0:
            w.field("Signal", ended.signal, 3)
        w.field("Started", moment(ended.startedAt) if ended.HasField("startedAt") else zero_moment(), 3)
        w.field("Finished", moment(ended.finishedAt) if ended.HasField("finishedAt") else zero_moment(), 3)
    else:
        w.field(title, "Waiting", 2)
        if state.waiting.reason:
            w.field("Reason", state.waiting.reason, 3)


def _amounts(w: Writer, title: str, amounts: Mapping[str, quantity_pb2.Quantity]) -> None:
    if amounts:
        w.line(f"{title}:", 2)
        for name in sorted(amounts):
            w.field(name, amounts[name].string, 3)


def _environment_from(w: Writer, sources: Sequence[core_pb2.EnvFromSource]) -> None:
    if sources:
        w.line("Environment Variables from:", 2)
    for source in sources:
        if source.HasField("configMapRef"):
            kind, ref = "ConfigMap", source.configMapRef
        else:
            kind, ref = "Secret", source.secretRef
        prefix = f" with prefix '{source.prefix}'" if source.prefix else ""
        w.line(f"{ref.localObjectReference.name}\t{kind}{prefix}\tOptional: {boolean(ref.optional)}", 3)


def _environment(w: Writer, variables: Sequence[core_pb2.EnvVar], resolve: Resolve) -> None:
    w.line("Environment:" if variables else f"Environment:\t{NONE}", 2)
    for variable in variables:
        source = variable.valueFrom
        if source.HasField("fieldRef"):
            path = source.fieldRef.fieldPath
            value = f"{resolve(path)} ({source.fieldRef.apiVersion or 'v1'}:{path})"
        elif source.HasField("secretKeyRef"):
            ref = source.secretKeyRef
            name = ref.localObjectReference.name
            value = f"<set to the key '{ref.key}' in secret '{name}'>\tOptional: {boolean(ref.optional)}"
        elif source.HasField("configMapKeyRef"):
            ref = source.configMapKeyRef
            name = ref.localObjectReference.name
            value = f"<set to the key '{ref.key}' of config map '{name}'>\tOptional: {boolean(ref.optional)}"
        else:
            value, *rest = variable.value.split("\n")
            w.field(variable.name, value, 3)
            for line in rest:
                w.line(f"\t{line}", 3)
            continue
        w.field(variable.name, value, 3)
