"""What a delete request does to an object: a pure decision, upstream's ``rest.BeforeDelete`` and what follows it
(https://github.com/kubernetes/apiserver/blob/master/pkg/registry/rest/delete.go)."""

from __future__ import annotations

import enum
import math

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.meta import meta_of
from kubelab.apiserver.strategies.metadata import next_generation
from kubelab.apiserver.strategies.rules import Rules

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Foreground", "Background", "Orphan")


class DeletionStep(enum.Enum):
    REMOVE = "remove"  # from the store
    MARK = "mark"  # write the changed object: a kubelet or a finalizer has to finish first
    NOTHING = "nothing"  # it is on its way already


def check_options(options: meta_pb2.DeleteOptions) -> None:
    """Refuse what makes no sense; Invalid."""
    causes: list[errors.Cause] = []
    policy = options.propagationPolicy
    if options.HasField("propagationPolicy") and policy not in _POLICIES:
        message = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        causes.append(errors.Cause("propagationPolicy", message, "FieldValueNotSupported"))
    if options.HasField("gracePeriodSeconds") and options.gracePeriodSeconds < 0:
        options.gracePeriodSeconds = 1  # as upstream: an immediate, but still graceful, deletion
    if any(value != "All" for value in options.dryRun):
        given = ", ".join(f'"{value}"' for value in options.dryRun)
        message = f'Unsupported value: []string{{{given}}}: supported values: "All"'
        causes.append(errors.Cause("dryRun", message, "FieldValueNotSupported"))
    if options.HasField("orphanDependents") and options.HasField("propagationPolicy"):
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(errors.Cause("propagationPolicy", message))
    if causes:
        raise errors.invalid("DeleteOptions", "", causes, "meta.k8s.io")


def decide(obj: Message, options: meta_pb2.DeleteOptions, rules: Rules, now: float) -> DeletionStep:
    """Change ``obj`` as the deletion asks and say what to do with it. ``now`` is wall time in seconds.

    Kinds with another way of going have a hook of their own.
    """
    m = meta_of(obj)
    graceful, pending = _grace(obj, m, options, rules, now)
    if pending:
        return DeletionStep.NOTHING
    _finalizers(m, options, rules.default_policy)
    if m.finalizers:
        if not graceful and not m.HasField("deletionTimestamp"):
            _mark(m, 0, now)
        return DeletionStep.MARK
    if graceful and m.deletionGracePeriodSeconds > 0:
        return DeletionStep.MARK
    return DeletionStep.REMOVE


def finished(obj: Message) -> bool:
    """Whether nothing holds up an object that is being deleted: the update after which that is so removes it."""
    m = meta_of(obj)
    if not m.HasField("deletionTimestamp") or m.finalizers:
        return False
    return m.deletionGracePeriodSeconds == 0


def _grace(
    obj: Message, m: meta_pb2.ObjectMeta, options: meta_pb2.DeleteOptions, rules: Rules, now: float
) -> tuple[bool, bool]:
    """(the object was given a grace period now, it has one already and keeps it)."""
    seconds = rules.graceful_delete_seconds(obj, options)
    if seconds is None:
        return False, False
    if not m.HasField("deletionTimestamp"):
        _mark(m, seconds, now)
        return True, False
    if m.deletionGracePeriodSeconds == 0:
        return False, False
    # Already being deleted: the time can only be made shorter.
    if not options.HasField("gracePeriodSeconds") or options.gracePeriodSeconds >= m.deletionGracePeriodSeconds:
        return False, True
    m.deletionTimestamp.seconds += options.gracePeriodSeconds - m.deletionGracePeriodSeconds
    m.deletionGracePeriodSeconds = options.gracePeriodSeconds
    return True, False


def _mark(m: meta_pb2.ObjectMeta, seconds: int, now: float) -> None:
    m.deletionTimestamp.seconds = math.floor(now) + seconds
    m.deletionGracePeriodSeconds = seconds
    if m.generation > 0:
        m.generation = next_generation(m.generation)


def _finalizers(m: meta_pb2.ObjectMeta, options: meta_pb2.DeleteOptions, default: str) -> None:
    """The garbage collector's finalizers follow the propagation policy; without one they stay, and only where there is
    none of them the resource's default counts."""
    policy = options.propagationPolicy
    if options.HasField("orphanDependents"):
        policy = "Orphan" if options.orphanDependents else "Background"
    elif not options.HasField("propagationPolicy"):
        if not default or ORPHAN in m.finalizers or FOREGROUND in m.finalizers:
            return
        policy = default
    kept = [f for f in m.finalizers if f not in (ORPHAN, FOREGROUND)]
    policy_finalizers = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
    if kept + policy_finalizers != list(m.finalizers):
        m.ClearField("finalizers")
        m.finalizers.extend(kept + policy_finalizers)
