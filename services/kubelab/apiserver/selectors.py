"""From the selectors of a request to a :class:`~kubelab.apiserver.cache.Selection`
(https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apiserver.cache import Kind, Selection

_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<gone>[\w./-]+)"
    r"|(?P<key>[\w./-]+)(?:\s*(?P<op>==|=|!=)\s*(?P<value>[\w./-]*)"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)


class Requirement(NamedTuple):
    """A key that must (or must not) have one of the values; no values at all: must (not) exist."""

    key: str
    wanted: bool
    values: frozenset[str] | None


class Requirements(tuple[Requirement, ...]):
    """All must hold. As upstream, ``!=`` and ``notin`` are true where the key is missing."""

    def matches(self, values: Mapping[str, str], /) -> bool:
        for key, wanted, among in self:
            found = values.get(key)
            held = found is not None and (among is None or found in among)
            if held is not wanted:
                return False
        return True


def parse_labels(text: str) -> Requirements:
    """Read ``app=node,tier in (a, b),!old``; BadRequest."""
    found: list[Requirement] = []
    at = 0
    while at < len(text):
        match = _REQUIREMENT.match(text, at)
        if match is None or match.end() == at:
            raise errors.BadRequest(f'unable to parse requirement: found {text[at:]!r} in selector "{text}"')
        at = match.end()
        key, op, values = match["key"] or match["gone"], match["op"], match["values"]
        if match["absent"]:
            found.append(Requirement(key, False, None))
        elif op:
            found.append(Requirement(key, op != "!=", frozenset({match["value"]})))
        elif values is not None:
            among = frozenset(value.strip() for value in values.split(","))
            found.append(Requirement(key, match["set"] == "in", among))
        else:
            found.append(Requirement(key, True, None))
    return Requirements(found)


def parse_fields(text: str) -> Requirements:
    """Read ``spec.nodeName=node-1,status.phase!=Failed``; BadRequest."""
    found: list[Requirement] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([\w.\[\]/-]+)(==|=|!=)(.*)", part)
        if match is None:
            raise errors.BadRequest(f'invalid selector: "{text}"; can\'t understand "{part}"')
        found.append(Requirement(match[1], match[2] != "!=", frozenset({match[3]})))
    return Requirements(found)


def selection(kind: Kind, namespace: str, options: meta_pb2.ListOptions) -> Selection:
    """Parse what a list or watch asks for; BadRequest for a bad selector or a field that cannot be selected."""
    by_label = parse_labels(options.labelSelector) if options.labelSelector else None
    by_field = parse_fields(options.fieldSelector) if options.fieldSelector else None
    if by_field is not None:
        known = kind.selectable_fields(kind.resource.message())
        for requirement in by_field:
            if requirement.key not in known:
                raise errors.BadRequest(f"field label not supported: {requirement.key}")
    return Selection(namespace, by_label, by_field)
