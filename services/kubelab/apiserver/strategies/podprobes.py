"""Probes and lifecycle hooks of containers: defaults and rules, in the words of upstream's validateProbe and
validateHandler."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.intstr.intstr_pb2 import IntOrString
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

SCHEMES = ("HTTP", "HTTPS")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_SECONDS_AND_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")

AnyHandler = core_pb2.ProbeHandler | core_pb2.LifecycleHandler


def default(container: core_pb2.Container) -> None:
    """Fill in what a container's probes and hooks do not say."""
    for name in _PROBES:
        if not container.HasField(name):
            continue
        probe: core_pb2.Probe = getattr(container, name)
        probe.timeoutSeconds = probe.timeoutSeconds or 1
        probe.periodSeconds = probe.periodSeconds or 10
        probe.successThreshold = probe.successThreshold or 1
        probe.failureThreshold = probe.failureThreshold or 3
        if probe.HasField("handler"):
            _default_handler(probe.handler)
    if container.HasField("lifecycle"):
        for hook in ("postStart", "preStop"):
            if container.lifecycle.HasField(hook):
                _default_handler(getattr(container.lifecycle, hook))


def _default_handler(handler: AnyHandler) -> None:
    if handler.HasField("httpGet"):
        handler.httpGet.path = handler.httpGet.path or "/"
        handler.httpGet.scheme = handler.httpGet.scheme or "HTTP"


def validate(container: core_pb2.Container, field: str) -> list[Cause]:
    """All complaints about a container's probes and hooks."""
    complaints: list[Cause] = []
    if container.HasField("lifecycle"):
        for hook in ("postStart", "preStop"):
            if container.lifecycle.HasField(hook):
                complaints += _handler(getattr(container.lifecycle, hook), f"{field}.lifecycle.{hook}")
    for name in _PROBES:
        if container.HasField(name):
            complaints += _probe(getattr(container, name), f"{field}.{name}", is_readiness=name == "readinessProbe")
    return complaints


def _probe(probe: core_pb2.Probe, field: str, *, is_readiness: bool) -> list[Cause]:
    complaints = _handler(probe.handler, field)
    for name in _SECONDS_AND_COUNTS:
        complaints += causes.non_negative(f"{field}.{name}", getattr(probe, name))
    here = f"{field}.terminationGracePeriodSeconds"
    if probe.HasField("terminationGracePeriodSeconds"):
        seconds = probe.terminationGracePeriodSeconds
        if is_readiness:
            complaints.append(causes.invalid(here, seconds, "must not be set for readinessProbes"))
        elif seconds <= 0:
            complaints.append(causes.invalid(here, seconds, "must be greater than 0"))
    if not is_readiness and probe.successThreshold != 1:
        complaints.append(causes.invalid(f"{field}.successThreshold", probe.successThreshold, "must be 1"))
    return complaints


def _handler(handler: AnyHandler, field: str) -> list[Cause]:
    given = [kind.name for kind, _ in handler.ListFields()]
    complaints = causes.exactly_one(field, given, "handler")
    match given[0] if given else "":
        case "exec" if not handler.exec.command:
            complaints.append(causes.required(f"{field}.exec.command"))
        case "httpGet":
            complaints += _port(handler.httpGet.port, f"{field}.httpGet.port")
            if handler.httpGet.scheme not in SCHEMES:
                complaints.append(causes.unsupported(f"{field}.httpGet.scheme", handler.httpGet.scheme, SCHEMES))
        case "tcpSocket":
            complaints += _port(handler.tcpSocket.port, f"{field}.tcpSocket.port")
        case "grpc" if isinstance(handler, core_pb2.ProbeHandler):
            problems = names.port_number(handler.grpc.port)
            complaints += causes.each(f"{field}.grpc.port", handler.grpc.port, problems)
        case _:
            pass
    return complaints


def _port(port: IntOrString, field: str) -> list[Cause]:
    if port.type == 1:
        return causes.each(field, port.strVal, names.port_name(port.strVal))
    return causes.each(field, port.intVal, names.port_number(port.intVal))
