"""How a namespace goes: once the namespace controller has emptied it and taken its finalizer off."""

from __future__ import annotations

import math

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.resources import deletion
from kubelab.apiserver.resources.deletion import DeletionStep
from kubelab.apiserver.strategies.rules import Rules


def decide(ns: core_pb2.Namespace, options: meta_pb2.DeleteOptions, rules: Rules, now: float) -> DeletionStep:
    """Change the namespace as its deletion asks and say what to do with it. It has no grace period."""
    del options, rules
    held = bool(ns.spec.finalizers or ns.metadata.finalizers)
    if not ns.metadata.HasField("deletionTimestamp"):
        ns.metadata.deletionTimestamp.seconds = math.floor(now)
        ns.status.phase = "Terminating"
        return DeletionStep.MARK if held else DeletionStep.REMOVE
    return DeletionStep.NOTHING if held else DeletionStep.REMOVE


def finished(ns: core_pb2.Namespace) -> bool:
    """Whether nothing holds up a namespace that is being deleted."""
    return deletion.finished(ns) and not ns.spec.finalizers


def finalize(new: core_pb2.Namespace, old: core_pb2.Namespace) -> core_pb2.Namespace:
    """The finalize subresource changes ``spec.finalizers`` alone."""
    result = deep_copy(old)
    result.spec.ClearField("finalizers")
    result.spec.finalizers.extend(new.spec.finalizers)
    return result
