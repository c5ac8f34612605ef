"""The served resources by group and version, in upstream's order of preference.

A client that is given a bare word (``kubectl get events``) takes the first group that has it, so the order matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import Resource

# Upstream's group priorities, highest first (kube-aggregator's defaultGenericAPIServicePriorities). A group that is not
# here, as those of custom resources, comes after these, by name.
_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)
_PLACE = {group: place for place, group in enumerate(_ORDER)}
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STABILITY = {"alpha": 0, "beta": 1, None: 2}


class Served(NamedTuple):
    """A resource, and the verbs of each of its subresources."""

    resource: Resource[Message]
    subresources: Mapping[str, tuple[str, ...]]


class Version(NamedTuple):
    """A version of a group, with its resources by name."""

    group: str
    name: str
    served: tuple[Served, ...]

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.name}" if self.group else self.name

    @property
    def path(self) -> str:
        """``api/v1`` or ``apis/apps/v1``."""
        return f"apis/{self.group}/{self.name}" if self.group else f"api/{self.name}"


class Group(NamedTuple):
    """A group, its preferred version first. The group of pods has no name."""

    name: str
    versions: tuple[Version, ...]


def groups(served: Iterable[Served]) -> tuple[Group, ...]:
    """Sort what is served into groups and versions."""
    found: dict[str, dict[str, list[Served]]] = {}
    for one in served:
        found.setdefault(one.resource.group, {}).setdefault(one.resource.version, []).append(one)
    names = sorted(found, key=lambda name: (_PLACE.get(name, len(_PLACE)), name))
    return tuple(Group(name, _versions(name, found[name])) for name in names)


def _versions(group: str, found: Mapping[str, list[Served]]) -> tuple[Version, ...]:
    return tuple(
        Version(group, name, tuple(sorted(found[name], key=lambda one: one.resource.plural)))
        for name in sorted(found, key=preference)
    )


def preference(version: str) -> tuple[int, int, int, str]:
    """Sort key of a version's name: v2, v1, v1beta2, v1beta1, v1alpha1, and then other words by the alphabet."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, version)
    major, stability, minor = match.groups()
    return (-_STABILITY[stability], -int(major), -int(minor or 0), version)
