"""``kctl create ingress``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.networking.v1 import networking_pb2

# host/path=service:port[,tls[=secret]], as kubectl's own expression has it
_RULE = re.compile(r"(?P<host>[\w*\-.]*)(?P<path>/.*)=(?P<service>[\w\-]+):(?P<port>[\w\-]+)(?P<tls>(,.*)?)", re.ASCII)
_TLS = re.compile(r",tls(?:=(?P<secret>[\w\-]+))?", re.ASCII)
_BACKEND = re.compile(r"(?P<service>[\w\-.]+):(?P<port>[\w\-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class IngressOptions(GenerateOptions):
    class_name: str
    rule: tuple[str, ...]
    default_backend: str
    annotation: tuple[str, ...]


def _create_ingress(session: Session, args: tuple[str, ...], options: IngressOptions) -> int:
    from kubelab.kctl.create.generated import create_one

    return create_one(
        session,
        generate(only_name(session, args), options),
        options,
        failing=lambda message: f"error: failed to create ingress: {message}",
    )


def generate(name: str, options: IngressOptions) -> networking_pb2.Ingress:
    """Make the ingress of the flags. Raises Failed."""
    from kubelab.api.networking.v1 import networking_pb2

    if not options.rule and not options.default_backend:
        raise Failed(
            "error: not enough information provided: every ingress has to either specify a default-backend (which "
            "catches all traffic) or a list of rules (which catch specific paths)"
        )
    _check(options)
    obj = networking_pb2.Ingress()
    obj.metadata.name = name
    for annotation in options.annotation:
        key, _, value = annotation.partition("=")
        obj.metadata.annotations[key] = value
    if options.class_name:
        obj.spec.ingressClassName = options.class_name
    if options.default_backend:
        service, _, port = options.default_backend.partition(":")
        _backend(obj.spec.defaultBackend, service, port)
    _rules(obj, options.rule)
    return obj


def _check(options: IngressOptions) -> None:
    for rule in options.rule:
        found = _RULE.fullmatch(rule)
        if found is None or (found["tls"] and not _TLS.fullmatch(found["tls"])):
            raise Failed(
                f"error: rule {rule} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            )
    for annotation in options.annotation:
        key, separator, _ = annotation.partition("=")
        if not separator or not key:
            raise Failed(f"error: annotation {annotation} is invalid and should be in format key=[value]")
    if options.default_backend and not _BACKEND.fullmatch(options.default_backend):
        raise Failed("error: default-backend should be in format servicename:serviceport")


def _rules(obj: networking_pb2.Ingress, rules: Sequence[str]) -> None:
    """Put the paths of one host into one rule, and the hosts of one secret into one entry."""
    hosts: dict[str, networking_pb2.IngressRule] = {}
    secrets: dict[str, networking_pb2.IngressTLS] = {}
    for text in rules:
        found = _RULE.fullmatch(text)
        assert found is not None, "checked before"
        host = found["host"]
        rule = hosts.get(host)
        if rule is None:
            rule = hosts[host] = obj.spec.rules.add(host=host)
        path, kind = found["path"], "Exact"
        if path.endswith("*"):
            path, kind = path[:-1], "Prefix"
        added = rule.ingressRuleValue.http.paths.add(path=path, pathType=kind)
        _backend(added.backend, found["service"], found["port"])
        if found["tls"] and host:
            tls = _TLS.fullmatch(found["tls"])
            secret = (tls["secret"] if tls else "") or ""
            entry = secrets.get(secret)
            if entry is None:
                entry = secrets[secret] = obj.spec.tls.add(secretName=secret)
            if host not in entry.hosts:
                entry.hosts.append(host)


def _backend(backend: networking_pb2.IngressBackend, service: str, port: str) -> None:
    backend.service.name = service
    if port.isdecimal():
        backend.service.port.number = int(port)
    else:
        backend.service.port.name = port


INGRESS = Command(
    "ingress",
    run=_create_ingress,
    options=IngressOptions,
    flags=(
        Flag("--class", "class_name", help="Ingress Class to be used"),
        Flag(
            "--rule",
            kind="list",
            help="Rule in format host/path=service:port[,tls=secretname]. Paths containing the leading character '*' "
            "are considered pathType=Prefix. tls argument is optional.",
        ),
        Flag("--default-backend", help="Default service for backend, in format of svcname:port"),
        Flag(
            "--annotation",
            kind="list",
            help="Annotation to insert in the ingress object, in the format annotation=value",
        ),
        *GENERATE_FLAGS,
    ),
    about="Create an ingress with the specified name.",
    examples="""\
# Create a single ingress called 'simple' that directs requests to foo.com/bar to svc
# svc1:8080 with a TLS secret "my-cert"
kctl create ingress simple --rule="foo.com/bar=svc1:8080,tls=my-cert"

# Create a catch all ingress of "/path" pointing to service svc:port and Ingress Class as "otheringress"
kctl create ingress catch-all --class=otheringress --rule="/path=svc:port"

# Create an ingress with multiple hosts and the pathType as Prefix
kctl create ingress ingress1 --class=default --rule="foo.com/path*=svc:8080" --rule="bar.com/admin*=svc2:http"

# Create an ingress with a default backend
kctl create ingress ingdefault --class=default --default-backend=defaultsvc:http --rule="foo.com/*=svc:8080,tls=secret1"
""",
    usage="kctl create ingress NAME --rule=host/path=service:port[,tls[=secret]]",
)
