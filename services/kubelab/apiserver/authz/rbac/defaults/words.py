"""Rules written in words: ``rule("get list", "pods services")``."""

from __future__ import annotations

from kubelab.apimachinery.rbac.rules import Rule

CORE = "core"
"""The group without a name."""
READ = "get list watch"
WRITE = "create delete deletecollection patch update"
ALL_VERBS = f"{READ} {WRITE}"


def rule(verbs: str, resources: str, groups: str = CORE, names: str = "") -> Rule:
    """Make a rule for resources; every argument is a list of words."""
    found = ("" if group == CORE else group for group in groups.split())
    return Rule(_sorted(verbs), tuple(sorted(found)), _sorted(resources), _sorted(names))


def paths(verbs: str, urls: str) -> Rule:
    """Make a rule for paths that are no resources."""
    return Rule(_sorted(verbs), urls=_sorted(urls))


def _sorted(words: str) -> tuple[str, ...]:
    return tuple(sorted(words.split()))


EVENTS = rule("create patch update", "events", "core events.k8s.io")
