"""Hostile and plausible values, by the type and the name of a field. The caller brings the randomness."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from kubelab.apimachinery.manifest import jsonmapping

NOW = 1_780_000_000  # seconds since the epoch; "about now" of generated times

PLAUSIBLE: dict[str, Sequence[str]] = {
    "address": ("192.168.49.2", "192.168.49.3", "node-1"),
    "apiVersion": ("v1", "coordination.k8s.io/v1"),
    "clusterIP": ("", "None", "10.96.0.17"),
    "dnsPolicy": ("ClusterFirst", "Default", "ClusterFirstWithHostNet"),
    "effect": ("NoSchedule", "NoExecute", "PreferNoSchedule"),
    "externalTrafficPolicy": ("Cluster", "Local", ""),
    "fieldPath": ("metadata.name", "status.podIP", "metadata.labels['app']", "spec.nodeName"),
    "finalizers": ("orphan", "foregroundDeletion", "kubernetes", "example.com/hold"),
    "image": ("host", "busybox:1.36", "registry.example:5000/a/b@sha256:" + "0" * 64),
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "internalTrafficPolicy": ("Cluster", "Local"),
    "ip": ("10.244.1.5", "10.244.2.9", "fd00::5"),
    "kind": ("Pod", "Node", "ReplicationController"),
    "name": ("web", "node-1", "default", "a", "http"),
    "namespace": ("default", "kube-system"),
    "nodeName": ("node-1", "node-2", ""),
    "operator": ("Exists", "Equal", ""),
    "phase": ("Pending", "Running", "Succeeded", "Failed", "Active", "Terminating"),
    "podCIDR": ("10.244.1.0/24", ""),
    "podCIDRs": ("10.244.1.0/24", "fd00::/64"),
    "podIP": ("10.244.1.5", ""),
    "propagationPolicy": ("Background", "Foreground", "Orphan"),
    "protocol": ("TCP", "UDP", "SCTP", ""),
    "reason": ("Completed", "Error", "CrashLoopBackOff", "NodeLost"),
    "resource": ("pods", "nodes", "services", "configmaps", "leases", "secrets", "events", "endpoints", "namespaces"),
    "resourceVersion": ("", "0", "1", "7"),
    "resourceVersionMatch": ("", "Exact", "NotOlderThan"),
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "schedulerName": ("default-scheduler",),
    "status": ("True", "False", "Unknown"),
    "subresource": ("", "status", "binding", "scale", "log", "finalize"),
    "type": ("Ready", "ClusterIP", "NodePort", "Opaque", "InternalIP", "Hostname", "Normal"),
    "version": ("v1", ""),
}
WORDS = ("", "a", "web", "node-1", "app", "10.0.0.1", "v1", "True", "example.com/a", "0")
HOSTILE = (
    "",
    " ",
    "-",
    ".",
    "..",
    "../../etc/passwd",
    "/",
    "/etc",
    "a/b/c",
    "a//b",
    "A",
    "a_b",
    "\0",
    "a\0b",
    "a\nb",
    "a\r\nb",
    "\t\t\t",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "\u200b",
    "\ufeff",
    "\u2028\u2029",
    "\U0001f4a5" * 3,
    "e\u0301" * 40,
    "\u0665",
    "\uff11\uff10",
    "a" * 63,
    "a" * 64,
    "a" * 254,
    "x" * 5000,
    "9" * 5000,
    "-1",
    "1e999",
    "1e-999",
    "NaN",
    "Infinity",
    "0x7f",
    "1.1Gi",
    "256.1.1.1",
    "010.0.0.1",
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "::1",
    "fe80::1%lo",
    "10.244.1.7/24",
    "10.244.1.0/33",
    "10.244.1.0/255.255.255.0",
    "fd00::/64",
    "{ drop; }",
    "; flush ruleset",
    "$(HOME)",
    "%s%n%x",
    "{0}{a.b}",
    "a=b,c in (d,e),!f",
    "(" * 2000,
    "a," * 2000,
    "None",
    "null",
    "system:masters",
)
QUANTITIES = ("1", "500m", "64Mi", "1Gi", "2", "0", "1e3", "0.5", "128974848", "1.1Gi")
HOSTILE_QUANTITIES = (
    "",
    "-1",
    "x",
    "1e999",
    "-1e999",
    "9" * 200,
    "9" * 5000,
    "0." + "0" * 100 + "1",
    "8Ei",
    "NaN",
    "1KB",
)
EDGES = (0, 1, -1, 2, 80, 255, 10250, 30000, 65535, 65536, 10**6, 10**9, 2**31 - 1, -(2**31), 2**32, 2**62, 2**63 - 1)
_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


class Values:
    """Values for fields. ``wild`` is how likely a value is a hostile one, from 0 to 1. ``known`` may know a text for a
    field of a name."""

    def __init__(self, pick: random.Random, wild: float, names: Callable[[str], str | None] | None = None) -> None:
        self.pick, self.wild, self._names = pick, wild, names
        self._special: dict[str, Callable[[Any], None]] = {
            jsonmapping.TIME: self._time,
            jsonmapping.MICRO_TIME: self._time,
            jsonmapping.QUANTITY: self._quantity,
        }

    def hostile(self) -> bool:
        return self.pick.random() < self.wild

    def text(self, name: str) -> str:
        """A text for a field of this name."""
        if self._names is not None and (name_value := self._names(name)) is not None:
            return name_value
        if not self.hostile():
            return self.pick.choice(PLAUSIBLE.get(name, WORDS))
        chosen = self.pick.choice(HOSTILE)
        return chosen if self.pick.random() < 0.8 else f"{self.pick.choice(WORDS)}{chosen}{self.pick.choice(HOSTILE)}"

    def scalar(self, field: Any) -> Any:
        """A value for a field that is no message."""
        if field.type == FieldDescriptor.TYPE_STRING:
            return self.text(field.name)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self.pick.choice((b"", b"value", b"\xff\xfe\0", self.pick.randbytes(self.pick.randrange(64))))
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self.pick.random() < 0.5
        if field.type == FieldDescriptor.TYPE_ENUM:
            numbers = [value.number for value in field.enum_type.values]
            return self.pick.choice((*numbers, 99)) if self.hostile() else self.pick.choice(numbers)
        if field.type in _RANGES:
            low, high = _RANGES[field.type]
            chosen = self.pick.choice(EDGES) if self.hostile() else self.pick.choice((0, 1, 2, 80, 8080, 30001))
            return max(low, min(chosen, high))
        return self.pick.choice((0.0, 1.0, -1.0, float("inf"), float("nan")))

    def special(self, message: Any) -> bool:
        """Fill a message whose JSON is a single value; False where it is none of those."""
        fill = self._special.get(message.DESCRIPTOR.full_name)
        if fill is None:
            return False
        fill(message)
        message.SetInParent()
        return True

    def _time(self, time: Any) -> None:
        if self.hostile():
            time.seconds = self.pick.choice(
                (0, -1, 2**63 - 1, -(2**63), jsonmapping.MAX_SECONDS, jsonmapping.MAX_SECONDS + 1)
            )
            time.nanos = self.pick.choice((0, -1, 999_999_999, 2**31 - 1))
        else:
            time.seconds, time.nanos = NOW + self.pick.randrange(-100_000, 100_000), 0

    def _quantity(self, quantity: Any) -> None:
        quantity.string = self.pick.choice(HOSTILE_QUANTITIES if self.hostile() else QUANTITIES)
